"""net_spec: nets written in Python."""

import copy

import numpy as np
import pytest

from sscaffe import TEST, Net, prototxt
from sscaffe.net_spec import (
    NetSpec,
    assign_proto,
    layers as L,
    param_name_dict,
    params as P,
    to_proto,
)
from sscaffe.proto import caffe_pb2

LENET = """
layer { name: "data" type: "DummyData" top: "data" top: "label" transform_param { scale: 0.5 }
        dummy_data_param { shape { dim: 3 dim: 1 dim: 28 dim: 28 } shape { dim: 3 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
        param { lr_mult: 1 } param { lr_mult: 2 }
        convolution_param { num_output: 20 kernel_size: 5 weight_filler { type: "xavier" } } }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
        pooling_param { kernel_size: 2 stride: 2 pool: AVE } }
layer { name: "ip1" type: "InnerProduct" bottom: "pool1" top: "ip1"
        inner_product_param { num_output: 10 } }
layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip1" bottom: "label" top: "loss"
        include { phase: TEST } loss_weight: 0.5 }
"""


def lenet():
    n = NetSpec()
    n.data, n.label = L.DummyData(
        shape=[{"dim": [3, 1, 28, 28]}, {"dim": 3}], transform_param={"scale": 0.5}, ntop=2
    )
    n.conv1 = L.Convolution(
        n.data,
        num_output=np.int64(20),
        kernel_size=5,
        weight_filler={"type": "xavier"},
        param=[{"lr_mult": 1}, {"lr_mult": 2}],
    )
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.AVE)
    n.ip1 = L.InnerProduct(n.pool1, inner_product_param={"num_output": 10})
    n["relu1"] = L.ReLU(n.ip1, in_place=True)
    n.loss = L.SoftmaxWithLoss(n.relu1, n.label, include={"phase": TEST}, loss_weight=0.5)
    return n


def test_a_net_is_what_its_prototxt_says():
    assert lenet().to_proto() == prototxt.parse_net(LENET)


def test_the_text_of_a_net_runs(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(str(lenet().to_proto()))
    net = Net(path, TEST)
    net.forward()
    assert net.layer_names[-1] == "loss"


def test_names_are_made_where_there_are_none():
    data = L.Input(shape={"dim": [1, 4]})
    one = L.InnerProduct(data, num_output=2)
    two = L.InnerProduct(L.ReLU(one, in_place=True), num_output=3, name="last")
    net = to_proto(two, L.Softmax(one))
    assert [(layer.name, *layer.bottom, *layer.top) for layer in net.layer] == [
        ("Input1", "Input1"),
        ("InnerProduct1", "Input1", "InnerProduct1"),
        ("ReLU1", "InnerProduct1", "InnerProduct1"),
        ("last", "InnerProduct1", "InnerProduct2"),
        ("Softmax1", "InnerProduct1", "Softmax1"),
    ]
    assert two.to_proto().layer[3].name == "last"


def test_layers_without_tops():
    n = NetSpec()
    n.a, n.b = L.DummyData(shape={"dim": 3}, ntop=2)
    n.quiet = L.Silence(n.a, ntop=0)
    n.rest = L.Silence(n.b, ntop=0)
    assert [layer.name for layer in n.to_proto().layer] == ["a", "quiet", "rest"]


def test_deep_nets_need_no_deep_stack():
    top = L.Input(shape={"dim": [1, 1]})
    for _ in range(3000):
        top = L.Power(top)
    assert len(top.to_proto().layer) == 3001


def test_types_that_share_the_parameters_of_another():
    top = L.Deconvolution(L.Input(), num_output=3, kernel_size=[4, 5])
    assert top.to_proto().layer[1].convolution_param.kernel_size == [4, 5]


def test_names_can_be_taken_back_and_looked_at():
    n = lenet()
    assert "conv1" in n
    assert "conv1" in dir(n)
    del n.loss
    del n["relu1"]
    assert [layer.name for layer in n.to_proto().layer][-1] == "ip1"
    assert copy.copy(n).conv1 is n.conv1


def test_assign_proto_takes_every_kind_of_value():
    layer = caffe_pb2.LayerParameter()
    assign_proto(layer, "loss_weight", np.array([0.5, 2]))
    assign_proto(layer, "bottom", ("a", "b"))
    assign_proto(layer, "pooling_param", {"pool": "AVE", "global_pooling": np.bool_(True)})
    assign_proto(layer, "transform_param", caffe_pb2.TransformationParameter(scale=3))
    assign_proto(layer, "include", [{"phase": "TEST"}, {}])
    assign_proto(layer, "param", [])
    assert layer.loss_weight == [0.5, 2]
    assert list(layer.bottom) == ["a", "b"]
    assert layer.pooling_param == caffe_pb2.PoolingParameter(pool="AVE", global_pooling=True)
    assert layer.transform_param.scale == 3
    assert [rule.HasField("phase") for rule in layer.include] == [True, False]
    assert not layer.param


def test_names_of_parameters():
    names = param_name_dict()
    assert names["InnerProduct"] == "inner_product"
    assert names["Transformation"] == "transform"
    assert names["LRN"] == "lrn"


def test_an_input_that_is_a_tuple():
    pair = L.DummyData(ntop=2)
    with pytest.raises(
        TypeError, match=r"^Silence input 0 is not a Top \(type is <class 'tuple'>\)$"
    ):
        L.Silence(pair, ntop=0)
    n = NetSpec()
    n.data = pair
    with pytest.raises(TypeError, match="data: expected a Top, got a tuple"):
        n.to_proto()


def test_a_field_that_there_is_not():
    with pytest.raises(
        AttributeError,
        match="Convolution: kernal_size: neither ConvolutionParameter nor LayerParameter has a "
        "field 'kernal_size'; did you mean 'kernel_size'",
    ):
        L.Convolution(L.Input(), kernal_size=3).to_proto()
    with pytest.raises(AttributeError, match="FillerParameter has a field 'typ'"):
        L.Convolution(L.Input(), weight_filler={"typ": "xavier"}).to_proto()
    with pytest.raises(AttributeError, match="there is no PolingParameter; did you mean 'Pooling'"):
        _ = P.Poling
    with pytest.raises(AttributeError, match=r"no blob of this name; .* 'conv1'"):
        _ = lenet().conv2


def test_a_value_of_another_type():
    with pytest.raises(
        TypeError, match="expected a dict of the fields of FillerParameter"
    ) as error:
        L.Convolution(L.Input(), weight_filler="xavier").to_proto()
    assert "field: weight_filler of ConvolutionParameter" in error.value.__notes__[0]
    with pytest.raises(TypeError):
        L.Convolution(L.Input(), num_output="three").to_proto()
