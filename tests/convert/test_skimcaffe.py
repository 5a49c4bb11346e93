"""SkimCaffe's conv_mode: its numbers become names, its names stay."""

import pytest

from sscaffe.convert.skimcaffe import rename_modes, renumber_modes
from sscaffe.errors import SscaffeError
from sscaffe.proto import caffe_pb2
from sscaffe.prototxt import parse_net

TEXT = """
# conv_mode: 1 is no field here
layer { name: "conv_mode: 2" type: "Convolution"
  convolution_param { num_output: 2 conv_mode: %s  # a comment
  } }
"""


@pytest.mark.parametrize(
    ("theirs", "ours", "changes"),
    [
        ("0", "LOWERED_GEMM", 1),
        ("1", "LOWERED_CCNMM", 1),
        ("2", "DIRECT_SCONV", 1),
        ("3", "DIRECT_DCONV", 1),
        ("DIRECT_SCONV", "DIRECT_SCONV", 0),
    ],
)
def test_numbers_of_a_prototxt_become_names(theirs, ours, changes):
    assert rename_modes(TEXT % theirs) == (TEXT % ours, changes)
    assert parse_net(TEXT % ours)


def test_several_numbers():
    text = "".join(TEXT % number for number in (3, 1, 2))
    expected = "".join(TEXT % n for n in ("DIRECT_DCONV", "LOWERED_CCNMM", "DIRECT_SCONV"))
    assert rename_modes(text) == (expected, 3)


def test_numbers_of_a_caffemodel():
    model = caffe_pb2.NetParameter()
    for number in (0, 1, 2, 3):
        model.layer.add().convolution_param.conv_mode = number
    model.layer.add(type="ReLU")
    assert renumber_modes(model) == 4
    modes = [layer.convolution_param.conv_mode for layer in model.layer[:4]]
    mode = caffe_pb2.ConvolutionParameter
    assert modes == [
        mode.LOWERED_GEMM,
        mode.LOWERED_CCNMM,
        mode.DIRECT_SCONV,
        mode.DIRECT_DCONV,
    ]
    assert not model.layer[4].HasField("convolution_param")


def test_what_skimcaffe_does_not_have_is_refused():
    with pytest.raises(SscaffeError, match=r"net\.prototxt: conv_mode: expected 0 to 3, .* got 4"):
        rename_modes(TEXT % 4, "net.prototxt")
