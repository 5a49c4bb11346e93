"""The prototxt with the best modes: what is set, what is kept, what is refused."""

import pytest

from sscaffe.errors import SscaffeError
from sscaffe.proto import caffe_pb2
from sscaffe.prototxt import read_net
from sscaffe.timing.auto_file import require_another_file, trains, write_modes

TEXT = """# the net of the tests
name: "tiny"
layer { name: "a" type: "Convolution"  # a comment
        convolution_param { num_output: 2 } }
layer { name: "b" type: "InnerProduct" inner_product_param { num_output: 3 gemm_mode: SPMDM } }
layer { name: "c" type: "InnerProduct" inner_product_param { num_output: 3 } }
layer { name: "d" type: "ReLU" }
"""
MODES = {"a": "LOWERED_CCNMM", "b": "GEMM", "c": "GEMM"}


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(TEXT)
    return str(path)


def test_modes_are_set_and_all_else_is_kept(source, tmp_path):
    write_modes(str(tmp_path / "fast.prototxt"), source, MODES)
    text = (tmp_path / "fast.prototxt").read_text()
    expected = TEXT.replace("{ num_output: 2", "{ conv_mode: LOWERED_CCNMM num_output: 2")
    assert text == expected.replace("SPMDM", "GEMM")


def test_text_that_cannot_be_edited_is_written_anew(source, tmp_path):
    odd = TEXT.replace('name: "a"', 'name: "\\x61"')  # an escape for a
    (tmp_path / "net.prototxt").write_text(odd)
    write_modes(str(tmp_path / "fast.prototxt"), source, MODES)
    param = read_net(tmp_path / "fast.prototxt")
    mode = caffe_pb2.ConvolutionParameter.LOWERED_CCNMM
    assert param.layer[0].convolution_param.conv_mode == mode
    param.layer[0].convolution_param.ClearField("conv_mode")
    param.layer[1].inner_product_param.gemm_mode = caffe_pb2.InnerProductParameter.SPMDM
    assert param == read_net(source)


def test_another_file_may_be_overwritten(source, tmp_path):
    (tmp_path / "fast.prototxt").write_text("old")
    require_another_file(str(tmp_path / "fast.prototxt"), source)
    write_modes(str(tmp_path / "fast.prototxt"), source, MODES)
    assert (tmp_path / "fast.prototxt").read_text().startswith("# the net")


def test_the_net_itself_is_not_overwritten(source, tmp_path):
    (tmp_path / "link.prototxt").symlink_to(source)
    for path in (source, str(tmp_path / "link.prototxt")):
        with pytest.raises(SscaffeError, match="is the net itself; give another file"):
            require_another_file(path, source)


@pytest.mark.parametrize(
    ("path", "message"),
    [("nowhere/x", "nowhere does not exist; make it first"), ("", "is a folder; give a file")],
)
def test_where_nothing_can_be_written(source, tmp_path, path, message):
    with pytest.raises(SscaffeError, match=message):
        require_another_file(str(tmp_path / path), source)


def test_nets_that_are_trained_too_are_known():
    param = caffe_pb2.NetParameter()
    layer = param.layer.add()
    assert not trains(param)
    layer.include.add().phase = caffe_pb2.TEST
    assert not trains(param)
    layer.include.add().phase = caffe_pb2.TRAIN
    assert trains(param)
