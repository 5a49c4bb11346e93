"""Export to ONNX: every layer type against ONNX Runtime, and what is refused."""

import pytest

from sscaffe.convert.to_onnx import EXPORTERS, export
from sscaffe.errors import UnsupportedError
from tests.convert.onnx_runs import assert_close, need_onnx, net_of, outputs_of, run_onnx


def layer(kind, settings="", bottom='bottom: "x"', top='top: "y"'):
    return f'layer {{ name: "l" type: "{kind}" {bottom} {top} {settings} }}'


def conv(settings):
    return layer("Convolution", f"convolution_param {{ {settings} }}")


def deconv(settings):
    return layer("Deconvolution", f"convolution_param {{ {settings} }}")


def pool(settings):
    return layer("Pooling", f"pooling_param {{ {settings} }}")


NCHW = (2, 6, 9, 8)
CASES = {
    "conv": (conv("num_output: 4 kernel_size: 3"), NCHW),
    "conv stride pad": (conv("num_output: 4 kernel_size: 3 stride: 2 pad: 1"), NCHW),
    "conv group": (conv("num_output: 4 kernel_size: 3 group: 2 bias_term: false"), NCHW),
    "conv dilation": (conv("num_output: 4 kernel_size: 3 dilation: 2 pad: 2"), NCHW),
    "conv h w": (
        conv("num_output: 4 kernel_h: 1 kernel_w: 5 stride_h: 2 stride_w: 1 pad_h: 0 pad_w: 2"),
        NCHW,
    ),
    "conv sides": (conv("num_output: 4 kernel_size: 3 pad_l: 2 pad_t: 1"), NCHW),
    "conv 1-D": (conv("num_output: 4 kernel_size: 3 pad: 1"), (2, 3, 9)),
    "conv 3-D": (conv("num_output: 4 kernel_size: 2 pad: 1 stride: 2"), (2, 3, 5, 4, 6)),
    "conv two bottoms": (
        layer("Convolution", "convolution_param { num_output: 4 kernel_size: 3 }")
        .replace('bottom: "x"', 'bottom: "x" bottom: "x"')
        .replace('top: "y"', 'top: "y" top: "z"'),
        NCHW,
    ),
    "conv ccnmm": (conv("num_output: 4 kernel_size: 3 conv_mode: LOWERED_CCNMM"), NCHW),
    "depthwise": (
        layer("DepthwiseConvolution", "convolution_param { num_output: 6 kernel_size: 3 }"),
        NCHW,
    ),
    "deconv": (deconv("num_output: 4 kernel_size: 4 stride: 2 pad: 1"), NCHW),
    "deconv group": (deconv("num_output: 6 kernel_size: 3 group: 3 dilation: 2"), NCHW),
    "ip": (layer("InnerProduct", "inner_product_param { num_output: 5 }"), NCHW),
    "ip transpose": (
        layer("InnerProduct", "inner_product_param { num_output: 5 transpose: true }"),
        NCHW,
    ),
    "ip axis 2": (
        layer("InnerProduct", "inner_product_param { num_output: 5 axis: 2 bias_term: false }"),
        NCHW,
    ),
    "ip plain": (layer("InnerProduct", "inner_product_param { num_output: 5 }"), (3, 7)),
    "max": (pool("kernel_size: 3 stride: 2"), NCHW),
    "max pad": (pool("kernel_size: 3 stride: 2 pad: 1"), NCHW),
    "max h w": (pool("kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 3 pad_h: 1 pad_w: 0"), NCHW),
    "max floor": (pool("kernel_size: 2 stride: 2 round_mode: FLOOR"), NCHW),
    "max global": (pool("global_pooling: true"), NCHW),
    "ave": (pool("pool: AVE kernel_size: 3 stride: 2"), NCHW),
    "ave ceil": (pool("pool: AVE kernel_size: 2 stride: 2"), NCHW),
    "ave ceil 3": (pool("pool: AVE kernel_size: 3 stride: 2"), (1, 3, 32, 32)),
    "ave pad": (pool("pool: AVE kernel_size: 3 stride: 2 pad: 1"), NCHW),
    "ave pad ceil": (pool("pool: AVE kernel_size: 4 stride: 3 pad: 1"), (2, 3, 9, 10)),
    "ave not the padding": (
        pool("pool: AVE kernel_size: 3 stride: 2 pad: 1 avg_include_pad: false"),
        NCHW,
    ),
    "ave global": (pool("pool: AVE global_pooling: true"), NCHW),
    "ave 1-D": (pool("pool: AVE kernel_size: 3 stride: 2 pad: 1"), (2, 3, 10)),
    "lrn": (layer("LRN", "lrn_param { local_size: 3 alpha: 0.5 beta: 0.75 k: 2 }"), NCHW),
    "lrn within": (
        layer("LRN", "lrn_param { local_size: 3 alpha: 0.5 norm_region: WITHIN_CHANNEL }"),
        NCHW,
    ),
    "bn": (layer("BatchNorm"), NCHW),
    "bn 2-D": (layer("BatchNorm", "batch_norm_param { eps: 0.1 }"), (4, 3)),
    "scale": (layer("Scale", "scale_param { bias_term: true }"), NCHW),
    "scale axis": (layer("Scale", "scale_param { axis: 2 num_axes: 2 }"), NCHW),
    "scale one": (layer("Scale", "scale_param { axis: 0 num_axes: 0 }"), NCHW),
    "bias": (layer("Bias"), NCHW),
    "prelu": (layer("PReLU"), NCHW),
    "prelu shared": (layer("PReLU", "prelu_param { channel_shared: true }"), NCHW),
    "prelu 2-D": (layer("PReLU"), (3, 5)),
    "relu": (layer("ReLU"), NCHW),
    "leaky": (layer("ReLU", "relu_param { negative_slope: 0.3 }"), NCHW),
    "elu": (layer("ELU", "elu_param { alpha: 0.7 }"), NCHW),
    "sigmoid": (layer("Sigmoid"), NCHW),
    "tanh": (layer("TanH"), NCHW),
    "abs": (layer("AbsVal"), NCHW),
    "bnll": (layer("BNLL"), NCHW),
    "clip": (layer("Clip", "clip_param { min: -0.5 max: 0.25 }"), NCHW),
    "relu6": (layer("ReLU6"), NCHW),
    "threshold": (layer("Threshold", "threshold_param { threshold: 0.5 }"), NCHW),
    "swish": (layer("Swish", "swish_param { beta: 1.5 }"), NCHW),
    "power": (layer("Power", "power_param { power: 2 scale: 0.5 shift: 1 }"), NCHW),
    "power 1": (layer("Power", "power_param { shift: 1 }"), NCHW),
    "power nothing": (layer("Power"), NCHW),
    "exp": (layer("Exp", "exp_param { base: 2 scale: 0.5 shift: 1 }"), NCHW),
    "log": (
        layer("AbsVal", top='top: "a"')
        + layer("Log", "log_param { base: 3 scale: 2 shift: 1 }", bottom='bottom: "a"'),
        NCHW,
    ),
    "dropout": (layer("Dropout"), NCHW),
    "dropout in place": (layer("ReLU") + layer("Dropout", bottom='bottom: "y"'), NCHW),
    "softmax": (layer("Softmax"), NCHW),
    "softmax axis": (layer("Softmax", "softmax_param { axis: -1 }"), NCHW),
    "flatten": (layer("Flatten"), NCHW),
    "flatten axes": (layer("Flatten", "flatten_param { axis: 2 end_axis: 3 }"), NCHW),
    "reshape": (layer("Reshape", "reshape_param { shape { dim: 0 dim: -1 dim: 4 } }"), NCHW),
    "concat": (layer("Concat", bottom='bottom: "x" bottom: "x"'), NCHW),
    "concat axis": (
        layer("Concat", "concat_param { axis: 2 }", bottom='bottom: "x" bottom: "x"'),
        NCHW,
    ),
    "slice": (
        layer("Slice", "slice_param { slice_point: 1 slice_point: 4 }").replace(
            'top: "y"', 'top: "y" top: "z" top: "w"'
        ),
        NCHW,
    ),
    "sum": (
        layer("ReLU", top='top: "r"')
        + layer(
            "Eltwise",
            "eltwise_param { coeff: 1 coeff: -2 coeff: 0.5 }",
            bottom='bottom: "x" bottom: "r" bottom: "x"',
        ),
        NCHW,
    ),
    "product": (
        layer("Eltwise", "eltwise_param { operation: PROD }", bottom='bottom: "x" bottom: "x"'),
        NCHW,
    ),
    "maximum": (
        layer("TanH", top='top: "t"')
        + layer("Eltwise", "eltwise_param { operation: MAX }", bottom='bottom: "x" bottom: "t"'),
        NCHW,
    ),
    "permute": (layer("Permute", "permute_param { order: 0 order: 2 order: 3 order: 1 }"), NCHW),
    "shuffle": (layer("ShuffleChannel", "shuffle_channel_param { group: 3 }"), NCHW),
    "crop": (
        pool("kernel_size: 3").replace('top: "y"', 'top: "p"')
        + layer("Crop", "crop_param { offset: 1 offset: 2 }", bottom='bottom: "x" bottom: "p"'),
        NCHW,
    ),
    "scale by a bottom": (
        pool("global_pooling: true").replace('top: "y"', 'top: "p"')
        + layer("Flatten", bottom='bottom: "p"', top='top: "f"')
        + layer("Scale", "scale_param { axis: 0 }", bottom='bottom: "x" bottom: "f"'),
        NCHW,
    ),
    "parameter": (
        layer("Parameter", "parameter_param { shape { dim: 6 } }", bottom="", top='top: "p"')
        + layer("Bias", bottom='bottom: "x" bottom: "p"'),
        NCHW,
    ),
    "in place": (
        layer("TanH") + layer("ReLU", bottom='bottom: "y"') + layer("Scale", bottom='bottom: "y"'),
        NCHW,
    ),
    "read before and after": (
        layer("TanH", top='top: "t"')
        + layer("Concat", bottom='bottom: "t" bottom: "x"', top='top: "c"')
        + layer("AbsVal", bottom='bottom: "t"', top='top: "z"')
        + layer("Silence", bottom='bottom: "z"', top=""),
        NCHW,
    ),
}


def distinct(text):
    """Give each layer a name of its own."""
    parts = text.split('name: "l"')
    named = [f'{part}name: "l{i}"' for i, part in enumerate(parts[:-1])]
    return "".join([*named, parts[-1]])


@pytest.mark.parametrize("name", CASES)
def test_onnx_runtime_computes_the_same(name):
    need_onnx()
    text, shape = CASES[name]
    net = net_of(distinct(text), shape)
    expected = outputs_of(net)
    model = export(net)
    assert_close(run_onnx(model.SerializeToString(), net), expected)


def test_every_type_that_is_exported_has_a_case():
    text = "".join(text for text, _ in CASES.values())
    missing = [kind for kind in EXPORTERS if f'type: "{kind}"' not in text and kind != "Split"]
    assert missing == []


def test_names_are_those_of_blobs_and_layers():
    need_onnx()
    net = net_of(distinct(layer("TanH") + layer("ReLU", bottom='bottom: "y"')))
    graph = export(net).graph
    assert [value.name for value in graph.input] == ["x"]
    assert [value.name for value in graph.output] == ["y"]
    assert [node.name for node in graph.node] == ["l0", "l1"]
    assert [list(node.output) for node in graph.node] == [["y_l0"], ["y"]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (layer("MVN"), "layer 'l0' has type MVN, which is not exported to ONNX"),
        (
            layer("EuclideanLoss", bottom='bottom: "x" bottom: "x"'),
            "EuclideanLoss, .* give a net for deployment",
        ),
        (pool("pool: STOCHASTIC kernel_size: 2"), "'l0' .Pooling. has no form in ONNX: pool: STOC"),
        (pool("kernel_size: 1 stride: 3"), "its last window is outside of the image"),
        (
            pool("kernel_size: 2").replace('top: "y"', 'top: "y" top: "mask"'),
            "places of the maxima",
        ),
        (layer("BatchNorm", "batch_norm_param { use_global_stats: false }"), "of each batch"),
        (conv("num_output: 4 kernel_size: 3 axis: 2"), "channels have to be axis 1"),
    ],
)
def test_what_onnx_cannot_say_is_refused(text, message):
    need_onnx()
    with pytest.raises(UnsupportedError, match=message):
        export(net_of(distinct(text), (2, 6, 9, 8)))
