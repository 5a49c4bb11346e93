"""Prototxts that are read, and what they hold."""

import pytest

from sscaffe.errors import PrototxtError, SscaffeError
from sscaffe.proto import caffe_pb2
from sscaffe.prototxt import (
    format_net,
    parse_net,
    parse_solver,
    read_net,
    read_solver,
    write_text,
)

NET = """
name: "tiny"  # a comment with "quotes" and a back\\slash
layer {
  name: 'conv1' type: "Convo" "lution"
  bottom: "data", top: "conv1";
  param { lr_mult: 1 block_group_lasso { group: SHAPE block_decay_mult: .5 } }
  connectivity_mode: DISCONNECTED_GRPWISE
  convolution_param: { num_output: 0x14 kernel_size: [3, 5] pad: 01 bias_term: t conv_mode: 2 }
}
layer < name: "relu" type: "ReLU" relu_param { negative_slope: -1e-1f } >
"""


def test_reads_what_caffe_reads():
    net = parse_net(NET)
    conv, relu = net.layer
    assert (conv.name, conv.type, list(conv.bottom)) == ("conv1", "Convolution", ["data"])
    assert conv.param[0].block_group_lasso[0].group == caffe_pb2.BlockGroupLassoSpec.SHAPE
    assert conv.param[0].block_group_lasso[0].block_decay_mult == 0.5
    assert conv.connectivity_mode == caffe_pb2.LayerParameter.DISCONNECTED_GRPWISE
    setting = conv.convolution_param
    assert (setting.num_output, list(setting.kernel_size), list(setting.pad)) == (20, [3, 5], [1])
    assert setting.bias_term
    assert setting.conv_mode == caffe_pb2.ConvolutionParameter.LOWERED_CCNMM
    assert relu.relu_param.negative_slope == pytest.approx(-0.1)


@pytest.mark.parametrize("word", ["true", "True", "t", "1"])
def test_reads_the_words_for_true(word):
    assert parse_net(f"force_backward: {word}").force_backward


@pytest.mark.parametrize("word", ["inf", "-inf", "Infinity", "1e3", "1.", ".5", "-3", "2f", "nan"])
def test_reads_the_forms_of_a_number(word):
    solver = parse_solver(f"base_lr: {word}")
    assert solver.base_lr == pytest.approx(
        float(word.removesuffix("f") if word == "2f" else word), nan_ok=True
    )


def test_reads_layers_of_2013_and_2014():
    net = parse_net("""
        layers { layer { name: "c" type: "conv" num_output: 3 kernelsize: 5 } bottom: "data" }
        layers { name: "i" type: INNER_PRODUCT blobs_lr: 1 blobs_lr: 2 param: "w" }
    """)
    assert net.layers[0].layer.kernelsize == 5
    assert net.layers[1].type == caffe_pb2.V1LayerParameter.INNER_PRODUCT


def test_reads_the_solvers_of_all_relatives():
    solver = parse_solver("""
        net: "train_val.prototxt" weights: "a.caffemodel" layer_wise_reduce: false
        breadth_decay: 0.1 kernel_shape_decay: 0.2 block_group_decay: 0.3
        force_type: "Constant" force_decay: 0.4 force_direction: "same"
        prune_threshold: 1e-3 measure_threshold: 1e-4 max_threshold_factor: 5 prune_scope: ALL
        plateau_winsize: 100 warmup_iter: 5
    """)
    assert solver.block_group_decay == pytest.approx(0.3)
    assert solver.force_direction == "same"
    assert solver.prune_scope == caffe_pb2.SolverParameter.ALL
    assert solver.net == "train_val.prototxt"


@pytest.mark.parametrize(
    "text",
    [NET.encode(), "\ufeff" + NET, NET.replace("\n", "\r\n"), NET.replace("\n", "\r")],
    ids=["bytes", "BOM", "CRLF", "CR"],
)
def test_reads_other_encodings_of_the_same_text(text):
    assert parse_net(text) == parse_net(NET)


def test_reads_an_empty_text_as_an_empty_net():
    assert parse_net(" # nothing\n") == caffe_pb2.NetParameter()


def test_text_comes_back(tmp_path):
    net = parse_net(NET)
    net.name = 'é "quoted"\n'
    write_text(tmp_path / "net.prototxt", net)
    assert read_net(tmp_path / "net.prototxt") == net
    assert "é" in format_net(net)
    assert [file.name for file in tmp_path.iterdir()] == ["net.prototxt"]


def test_numbers_come_back_short():
    assert format_net(caffe_pb2.SolverParameter(base_lr=0.1)) == "base_lr: 0.1\n"


def test_a_file_is_named_in_its_errors(tmp_path):
    path = tmp_path / "solver.prototxt"
    path.write_text('net: "a"\n\n  base_lrr: 1\n')
    with pytest.raises(PrototxtError) as caught:
        read_solver(path)
    error = caught.value
    assert (error.source, error.line, error.column) == (str(path), 3, 3)
    assert str(error) == (
        f"{path}:3:3: SolverParameter has no field 'base_lrr'; the nearest is 'base_lr'"
    )


@pytest.mark.parametrize(
    ("name", "reason"), [("none.prototxt", "no such file"), (".", "is a directory")]
)
def test_a_file_that_cannot_be_opened(tmp_path, name, reason):
    with pytest.raises(PrototxtError, match=f"cannot be read: {reason}"):
        read_net(tmp_path / name)


def test_a_folder_that_is_not_there_to_write_to(tmp_path):
    with pytest.raises(SscaffeError, match=r"cannot be written: folder .*none does not exist"):
        write_text(tmp_path / "none" / "net.prototxt", caffe_pb2.NetParameter())
