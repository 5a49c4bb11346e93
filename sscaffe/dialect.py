"""Whose numbers a net gives where the scnn fork and BVLC Caffe 1.0 differ."""

import os

from sscaffe.errors import UnsupportedError

VARIABLE = "SSCAFFE_DIALECT"
_KNOWN = ("caffe", "scnn")


def is_scnn() -> bool:
    """Return whether nets are read as the scnn fork reads them: ``SSCAFFE_DIALECT=scnn``.

    By default the rules are those of BVLC Caffe 1.0. With scnn's,

    * of equal scores that of the larger class counts as the higher one in Accuracy;
    * InfogainLoss takes probabilities, and has no softmax inside;
    * SigmoidCrossEntropyLoss knows no ``ignore_label`` and is divided by the number of items;
    * the bilinear filler of an odd kernel has its centre half a pixel off.

    Raises
    ------
    UnsupportedError
        If the variable names another one.
    """
    name = os.environ.get(VARIABLE) or "caffe"
    if name not in _KNOWN:
        raise UnsupportedError(f"{VARIABLE}: expected {' or '.join(_KNOWN)}, got {name!r}")
    return name == "scnn"
