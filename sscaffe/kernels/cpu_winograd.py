"""Which convolutions train by Winograd's algorithm.

What is chosen depends on the shape alone, never on a timing or the batch, so that a net trains to
the same bits every time.
"""

import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sscaffe.geometry import ConvGeometry

SWITCH = "SSCAFFE_WINOGRAD"


class Passes(NamedTuple):
    """The passes that are Winograd's."""

    forward: bool
    backward_data: bool
    backward_weights: bool


NONE = Passes(False, False, False)


def passes(g: "ConvGeometry") -> Passes:
    """Return the passes of a convolution in which Winograd's algorithm is clearly faster."""
    if os.environ.get(SWITCH) == "0" or not _is_possible(g):
        return NONE
    return Passes(True, True, True)


def _is_possible(g: "ConvGeometry") -> bool:
    return (
        g.kernel in ((3, 3), (5, 5))
        and g.stride == g.dilation == (1, 1)
        and g.group == 1
        and min(g.in_channels, g.out_channels) >= 16
    )
