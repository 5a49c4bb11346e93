"""Timing: what is counted, what inputs hold, what stands in for data that is not there."""

import numpy as np
import pytest

from sscaffe import timing
from sscaffe.errors import DataError
from sscaffe.layer import TEST, TRAIN
from sscaffe.net import Net
from sscaffe.prototxt import parse_net
from sscaffe.timing import (
    Spread,
    fill_inputs,
    is_sparse,
    stand_in_for_missing_data,
    time_in_turns,
    time_net,
)

NET = """
layer { name: "in" type: "Input" top: "data" top: "label"
        input_param { shape { dim: 2 dim: 1 dim: 4 dim: 4 } shape { dim: 2 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 4 kernel_size: 3 group: 1
                            weight_filler { type: "xavier" } } }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "acc" type: "Accuracy" bottom: "ip" bottom: "label" top: "acc"
        include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""

DATA = """
layer {{ name: "d" type: "Data" top: "data" top: "label" include {{ phase: TRAIN }}
        transform_param {{ {} }}
        data_param {{ source: "not/here" backend: LMDB batch_size: 6 }} }}
"""


def test_spread_of_known_numbers():
    spread = Spread.of([float(n) for n in (11, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)])
    assert (spread.median, spread.low, spread.high, spread.mean) == (6, 2, 10, 6)


def test_every_layer_is_timed_in_both_directions():
    net = Net(parse_net(NET), TRAIN)
    fill_inputs(net)
    result = time_net(net, 4)
    assert result.iterations == 4
    assert [layer.name for layer in result.layers] == ["in", "conv", "ip", "loss"]
    assert all(layer.forward.median > 0 and layer.backward.median > 0 for layer in result.layers)
    parts = sum(layer.forward.mean + layer.backward.mean for layer in result.layers)
    assert result.total.mean == pytest.approx(parts)
    assert result.forward.mean + result.backward.mean == pytest.approx(result.total.mean)


def test_each_time_is_that_of_its_layer(monkeypatch):
    monkeypatch.setattr(
        timing, "_milliseconds", lambda run, layer: layer + (run.__name__ == "_backward") / 2
    )
    net = Net(parse_net(NET), TRAIN)
    layers = time_net(net, 2).layers
    assert [layer.forward.median for layer in layers] == [0, 1, 2, 3]
    assert [layer.backward.median for layer in layers] == [0.5, 1.5, 2.5, 3.5]


def test_macs_by_hand():
    net = Net(parse_net(NET), TRAIN)
    net.params["conv"][0].data[1:3] = 0  # filters
    net.params["conv"][0].data[:, :, 0] = 0  # a row of the kernel: three columns
    net.params["ip"][0].data[:, 4:] = 0
    layers = {layer.name: layer for layer in time_net(net, 1).layers}
    conv, ip = layers["conv"], layers["ip"]
    assert (conv.macs, conv.kept_macs) == (2 * 4 * 9 * 4, 2 * 2 * 6 * 4)
    assert (conv.zero_rows, conv.zero_columns) == (50, pytest.approx(100 / 3))
    assert (ip.macs, ip.kept_macs) == (2 * 3 * 16, 2 * 3 * 4)
    assert layers["loss"].macs is None
    assert layers["loss"].kernel == ""


def test_without_backward():
    net = Net(parse_net(NET), TRAIN)
    result = time_net(net, 2, backward=False)
    assert result.backward is None
    assert result.layers[1].backward is None
    assert result.total == result.forward


def test_nets_in_turns_run_as_often():
    nets = [Net(parse_net(NET), TEST) for _ in range(2)]
    runs = []
    for net in nets:
        forward = net.forward
        net.forward = lambda i, j, f=forward, n=net: (runs.append((nets.index(n), i)), f(i, j))
    time_in_turns(nets, 2, warm_up=1)
    layers = len(nets[0].layers)
    turn = [(0, i) for i in range(layers)] + [(1, i) for i in range(layers)]
    assert runs == turn * 3


@pytest.mark.parametrize("phase", [TRAIN, TEST])
def test_inputs_are_random_and_labels_are_zero(phase):
    net = Net(parse_net(NET), phase)  # in TEST, both go through Split layers
    fill_inputs(net)
    data = net.blobs["data"].const_data
    assert abs(data.mean()) < 0.6
    assert 0.5 < data.std() < 1.5
    np.testing.assert_array_equal(net.blobs["label"].const_data, [0, 0])
    net.forward()


@pytest.mark.parametrize(
    ("field", "expected"),
    [("", False), ("conv_mode: LOWERED_GEMM", False), ("conv_mode: DIRECT_DCONV", False)]
    + [(f"conv_mode: {m}", True) for m in ("LOWERED_CSRMM", "LOWERED_CCNMM", "DIRECT_SCONV")],
)
def test_sparse_modes_are_known(field, expected):
    assert is_sparse(parse_net(NET.replace("group: 1", field))) is expected


def test_a_sparse_inner_product_is_known():
    assert is_sparse(parse_net(NET.replace("num_output: 3", "num_output: 3 gemm_mode: SPMDM")))


@pytest.mark.parametrize(
    ("transform", "given", "shape"),
    [
        ("", (1, 28, 28), [6, 1, 28, 28]),
        ("crop_size: 24 mean_value: 1 mean_value: 2 mean_value: 3", None, [6, 3, 24, 24]),
    ],
)
def test_an_input_stands_in_for_a_missing_database(transform, given, shape):
    param = parse_net(DATA.format(transform))
    (layer,) = stand_in_for_missing_data(param, given).layer
    assert param.layer[0].type == "Data"
    assert layer.type == "Input"
    assert [list(s.dim) for s in layer.input_param.shape] == [shape, [6]]
    assert layer.include == param.layer[0].include


@pytest.mark.parametrize("transform", ["", "crop_size: 24", "crop_size: 24 mean_value: 1"])
def test_a_shape_that_nobody_knows_is_refused(transform):
    message = r"source: there is no LMDB 'not/here'.* give it with --shape"
    with pytest.raises(DataError, match=message):
        stand_in_for_missing_data(parse_net(DATA.format(transform)))


@pytest.mark.parametrize("root", ["", "root"])
def test_a_database_that_is_there_is_used(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / root / "digits"
    folder.mkdir(parents=True)
    param = parse_net(DATA.format("").replace("not/here", "digits"))
    with pytest.raises(DataError, match="there is no LMDB 'digits'"):
        stand_in_for_missing_data(param, root=root)  # an empty folder is none
    (folder / "data.mdb").touch()
    assert stand_in_for_missing_data(param, root=root).layer[0].type == "Data"


def test_a_database_is_looked_for_under_the_root_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits" / "data.mdb").touch()
    param = parse_net(DATA.format("").replace("not/here", "digits"))
    assert stand_in_for_missing_data(param, (1, 4, 4), "other").layer[0].type == "Input"
