"""net_graph: the boxes and arrows of a net."""

import numpy as np
import pytest

from sscaffe import prototxt
from sscaffe.draw import net_graph
from sscaffe.proto import caffe_pb2

NET = """
name: "mixed"
layer { name: "train" type: "Data" top: "data" top: "label" include { phase: TRAIN }
        data_param { batch_size: 64 } }
layer { name: "test" type: "Data" top: "data" top: "label" include { phase: TEST }
        data_param { batch_size: 100 } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
        param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
        convolution_param { num_output: 20 kernel_size: 5 stride: 2 pad: 1 group: 2 } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "drop1" type: "Dropout" bottom: "conv1" top: "conv1"
        dropout_param { dropout_ratio: 0.4 } }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
        pooling_param { pool: AVE kernel_h: 3 kernel_w: 2 stride: 2 } }
layer { name: "ip1" type: "InnerProduct" bottom: "pool1" top: "ip1"
        inner_product_param { num_output: 10 } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip1" bottom: "label" include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip1" bottom: "label" }
"""


@pytest.fixture
def net():
    return prototxt.parse_net(NET)


def arrows(graph):
    return {(graph.boxes[e.source].name, graph.boxes[e.target].name, e.blob) for e in graph.edges}


def test_both_phases(net):
    graph = net_graph(net)
    assert [box.name for box in graph.boxes] == [
        "train", "test", "conv1", "pool1", "ip1", "accuracy", "loss"
    ]  # fmt: skip
    assert arrows(graph) == {
        ("train", "conv1", "data"),
        ("test", "conv1", "data"),
        ("conv1", "pool1", "conv1"),
        ("pool1", "ip1", "pool1"),
        ("ip1", "accuracy", "ip1"),
        ("test", "accuracy", "label"),
        ("ip1", "loss", "ip1"),
        ("train", "loss", "label"),
        ("test", "loss", "label"),
    }


def test_one_phase(net):
    graph = net_graph(net, caffe_pb2.NetState(phase="TRAIN"))
    assert [box.name for box in graph.boxes] == ["train", "conv1", "pool1", "ip1", "loss"]


def test_words_and_parts(net):
    boxes = {box.name: box for box in net_graph(net, show_rates=True).boxes}
    assert boxes["conv1"].lines == [
        "20 x 5x5",
        "stride 2, pad 1, group 2",
        "lr_mult 1, decay_mult 1",
        "lr_mult 2, decay_mult 0",
    ]
    assert boxes["conv1"].in_place == ["ReLU relu1", "Dropout drop1 0.4"]
    assert boxes["pool1"].lines == ["AVE 3x2, stride 2"]
    assert boxes["ip1"].lines == ["10 outputs"]
    assert boxes["train"].lines == ["batch 64"]
    parts = {name: box.part for name, box in boxes.items()}
    assert list(parts.values()) == [
        "data", "data", "convolution", "pooling", "product", "result", "result"
    ]  # fmt: skip


def test_zeros(net):
    weights = np.ones((20, 1, 5, 5))
    weights[:5] = 0
    weights[:, :, 0, 0] = 0
    graph = net_graph(net, weights={"conv1": weights})
    box = graph.boxes[2]
    assert box.zeros == pytest.approx(100 * (5 * 25 + 15) / 500)
    assert box.lines[-2:] == ["20 x 25: 28.0 % zero", "rows 25 %, columns 4 %"]
    assert graph.boxes[4].zeros is None


def test_layers_that_share_a_source_and_a_shortcut():
    text = """
    input: "x" input_shape { dim: 1 dim: 2 }
    layer { name: "a" type: "TanH" bottom: "x" top: "y" }
    layer { name: "sum" type: "Eltwise" bottom: "x" bottom: "y" top: "sum" }
    """
    assert arrows(net_graph(prototxt.parse_net(text))) == {
        ("input", "a", "x"), ("input", "sum", "x"), ("a", "sum", "y")
    }  # fmt: skip
