"""SkimCaffe's numbers of ``conv_mode``, which are others than those of scnn and of sscaffe.

Names are the same in both, so that only numbers, in a prototxt or a caffemodel, are rewritten.
"""

from sscaffe.errors import SscaffeError
from sscaffe.proto import caffe_pb2
from sscaffe.prototxt_errors import tokens

_Mode = caffe_pb2.ConvolutionParameter

CONV_MODES = {
    0: _Mode.LOWERED_GEMM,
    1: _Mode.LOWERED_CCNMM,
    2: _Mode.DIRECT_SCONV,
    3: _Mode.DIRECT_DCONV,
}
"""sscaffe's value for each of SkimCaffe's."""


def rename_modes(text: str, source: str = "") -> tuple[str, int]:
    """Write the names of SkimCaffe's modes where a prototxt has their numbers.

    Parameters
    ----------
    text : str
        A net that can be parsed; comments and spaces stay as they are.
    source : str
        Its file, for errors.

    Returns
    -------
    str, int
        The text, and how many numbers were rewritten.

    Raises
    ------
    SscaffeError
        If a number is none of SkimCaffe's.
    """
    words = list(tokens(text))
    changes = 0
    for first, colon, value in reversed(list(zip(words, words[1:], words[2:], strict=False))):
        if first.text != "conv_mode" or colon.text != ":" or not value.text.isdecimal():
            continue
        name = _Mode.ConvMode.Name(_mode(int(value.text), source))
        text = text[: value.offset] + name + text[value.offset + len(value.text) :]
        changes += 1
    return text, changes


def renumber_modes(model: caffe_pb2.NetParameter, source: str = "") -> int:
    """Put sscaffe's number for SkimCaffe's into each convolution of a caffemodel.

    Returns
    -------
    int
        How many layers had a mode.

    Raises
    ------
    SscaffeError
        If a number is none of SkimCaffe's.
    """
    changed = 0
    for layer in model.layer:
        if layer.convolution_param.HasField("conv_mode"):
            mode = _mode(layer.convolution_param.conv_mode, source)
            layer.convolution_param.conv_mode = mode
            changed += 1
    return changed


def _mode(number: int, source: str) -> "_Mode.ConvMode":
    if number not in CONV_MODES:
        raise SscaffeError(
            f"{source}: conv_mode: expected 0 to {max(CONV_MODES)}, as SkimCaffe has them, got "
            f"{number}"
        )
    return CONV_MODES[number]
