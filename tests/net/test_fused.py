"""Fused, renamed and masked layer types: read as the layers that they stand for."""

from pathlib import Path

import numpy as np
import pytest

from sscaffe.errors import UnsupportedError
from sscaffe.layer import TEST, TRAIN
from sscaffe.net.fused import FUSED, RENAMED, expand
from sscaffe.proto import caffe_pb2
from sscaffe.prototxt import parse_net
from sscaffe.serialized import fill_blobproto
from tests.net.layers import input_layer, loss, make_net

INPUT = input_layer("x", 2, 3, 6, 6)
CONV = "convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: 'xavier' } }"
IP = "inner_product_param { num_output: 5 weight_filler { type: 'xavier' } }"
POOL = "pooling_param { kernel_size: 2 stride: 2 }"
LRN = "lrn_param { alpha: 2 local_size: 3 }"
RELU = "relu_param { negative_slope: 0.1 }"
DROPOUT = "dropout_param { dropout_ratio: 0.25 }"

SETTINGS = {
    "ConvolutionReLU": CONV + RELU,
    "ConvolutionReLUPool": CONV + RELU + POOL,
    "ConvolutionReLUPoolLRN": CONV + RELU + POOL + LRN,
    "InnerProductReLUDropout": IP + RELU + DROPOUT,
    "ReLUPooling": RELU + POOL,
}


def layer(name, kind, bottom, top, settings):
    return f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{top}" {settings} }} '


APART = {
    "ConvolutionReLU": [("Convolution", "x", "y", CONV), ("ReLU", "y", "y", RELU)],
    "ConvolutionReLUPool": [
        ("Convolution", "x", "c", CONV),
        ("ReLU", "c", "c", RELU),
        ("Pooling", "c", "y", POOL),
    ],
    "ConvolutionReLUPoolLRN": [
        ("Convolution", "x", "c", CONV),
        ("ReLU", "c", "c", RELU),
        ("Pooling", "c", "p", POOL),
        ("LRN", "p", "y", LRN),
    ],
    "InnerProductReLUDropout": [
        ("InnerProduct", "x", "y", IP),
        ("ReLU", "y", "y", RELU),
        ("Dropout", "y", "y", DROPOUT),
    ],
    "ReLUPooling": [("ReLU", "x", "r", RELU), ("Pooling", "r", "y", POOL)],
}


@pytest.mark.parametrize("phase", [TRAIN, TEST])
@pytest.mark.parametrize("kind", FUSED)
def test_a_fused_layer_is_the_layers_one_after_the_other(kind, phase, rng):
    fused = make_net(INPUT + layer("f", kind, "x", "y", SETTINGS[kind]) + loss("y"), phase)
    parts = [layer("f" if i == 0 else f"f{i}", *part) for i, part in enumerate(APART[kind])]
    apart = make_net(INPUT + "".join(parts) + loss("y"), phase)
    x = rng.standard_normal((2, 3, 6, 6))
    assert [one.type for one in fused.layers] == [one.type for one in apart.layers]
    assert list(fused.params) == list(apart.params)
    for net in (fused, apart):
        net.blobs["x"].set_data(x)
        net.forward_backward()
    np.testing.assert_array_equal(fused.blobs["y"].const_data, apart.blobs["y"].const_data)
    for one, other in zip(fused.learnable_params, apart.learnable_params, strict=True):
        np.testing.assert_array_equal(one.const_diff, other.const_diff)


def test_names_are_new_and_settings_go_to_their_part():
    text = layer("f", "ConvolutionReLUPool", "x", "y", SETTINGS["ConvolutionReLUPool"])
    more = "param { lr_mult: 2 } connectivity_mode: DISCONNECTED_ELTWISE loss_weight: 3 }"
    text = text.rstrip("} ") + "} " + more
    net = expand(parse_net(input_layer("y_convolution", 1) + INPUT + text))
    conv, relu, pool = net.layer[2:]
    assert [one.name for one in net.layer[2:]] == ["f", "f_relu", "f_pooling"]
    assert list(conv.top) == list(relu.bottom) == list(relu.top) == ["y_convolution_"]
    assert list(pool.top) == ["y"]
    assert conv.param[0].lr_mult == 2
    assert conv.connectivity_mode == caffe_pb2.LayerParameter.DISCONNECTED_ELTWISE
    assert not relu.param
    assert not conv.loss_weight
    assert list(pool.loss_weight) == [3]
    assert pool.HasField("pooling_param")
    assert not conv.HasField("pooling_param")


def test_several_bottoms_of_one_convolution():
    two = 'layer { name: "f" type: "ConvolutionReLU" bottom: "x" bottom: "z" top: "y" top: "w" '
    net = make_net(INPUT + input_layer("z", 2, 3, 6, 6) + two + CONV + "}")
    assert [one.type for one in net.layers[2:]] == ["Convolution", "ReLU", "ReLU"]
    assert sorted(net.outputs) == ["w", "y"]


def test_the_rules_of_a_fused_layer_are_kept():
    rule = "include { phase: TRAIN }"
    text = INPUT + layer("f", "ReLUPooling", "x", "y", SETTINGS["ReLUPooling"] + rule)
    assert len(make_net(text, TEST).layers) == 1
    assert len(make_net(text, TRAIN).layers) == 3


@pytest.mark.parametrize("kind", RENAMED)
def test_a_renamed_layer(kind):
    settings = {"Convolution": CONV, "Pooling": POOL}.get(RENAMED[kind], "")
    net = make_net(INPUT + layer("f", kind, "x", "y", settings))
    assert net.layers[1].type == RENAMED[kind]


@pytest.mark.parametrize(
    ("kind", "settings", "own"),
    [
        ("CConvolution", CONV, "cconvolution_param { gamma: 1 c_rate: 2 }"),
        ("CInnerProduct", IP, "cinner_product_param { iter_stop: 3 }"),
    ],
)
@pytest.mark.parametrize("bias", [True, False])
def test_masks_in_a_caffemodel_are_applied(kind, settings, own, bias, tmp_path, rng):
    if not bias:
        settings = settings.replace("num_output", "bias_term: false num_output")
    net = make_net(INPUT + layer("f", kind, "x", "y", settings + own))
    assert net.layers[1].type == kind[1:]
    shapes = [blob.shape for blob in net.params["f"]]
    values = [rng.standard_normal(shape) for shape in shapes]
    masks = [rng.integers(0, 2, shape) for shape in shapes]
    for with_masks in (True, False):
        model = caffe_pb2.NetParameter()
        saved = model.layer.add(name="f", type=kind)
        for array in values + (masks if with_masks else []):
            fill_blobproto(saved.blobs.add(), array)
        path = Path(tmp_path, "surgery.caffemodel")
        path.write_bytes(model.SerializeToString())
        net.copy_from(path)
        for blob, value, mask in zip(net.params["f"], values, masks, strict=True):
            expected = value * mask if with_masks else value
            np.testing.assert_allclose(blob.const_data, expected, rtol=1e-6)


def test_surgery_in_training_is_refused():
    with pytest.raises(UnsupportedError) as caught:
        make_net(INPUT + layer("f", "CConvolution", "x", "y", CONV), TRAIN)
    assert str(caught.value) == (
        "type: layer 'f' (CConvolution) would prune its weights while it trains, which is not "
        "built; use Convolution, with connectivity_mode: DISCONNECTED_ELTWISE to keep weights that "
        "are 0"
    )


def test_other_nets_are_left_as_they_are():
    param = parse_net(INPUT)
    assert expand(param) is param
