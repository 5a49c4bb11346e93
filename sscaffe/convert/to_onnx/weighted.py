"""Convolution, Deconvolution, InnerProduct, BatchNorm, Scale, Bias and PReLU as ONNX nodes."""

import math

import numpy as np

from sscaffe.conv.padding import read_padding
from sscaffe.convert.to_onnx.graph import Array, Graph, Shape, Source, exports
from sscaffe.layer_types.batch_norm import BatchNormLayer
from sscaffe.layer_types.convolution import ConvolutionLayer, one_for_each, sizes
from sscaffe.layer_types.covered import covered_axes
from sscaffe.layer_types.inner_product import InnerProductLayer


@exports("Convolution", "DepthwiseConvolution", "Deconvolution")
def convolution(graph: Graph, source: Source) -> list[str]:
    """Add Conv or ConvTranspose, one node for each bottom."""
    layer, param = source.layer, source.param.convolution_param
    assert isinstance(layer, ConvolutionLayer)
    axes = len(source.bottoms[0]) - 2
    if layer.axis != 1 or axes < 1:
        raise source.refuse("the channels have to be axis 1, with spatial axes behind them")
    pad = sizes(param, "pad", "pad", axes, 0)
    padding = read_padding(param, axes)
    begin, end = (pad, pad) if padding is None else (padding.before, padding.after)
    weights = [graph.constant(source.blobs[0], "weight")]
    weights += [graph.constant(bias, "bias") for bias in source.blobs[1:]]
    op = "ConvTranspose" if source.param.type == "Deconvolution" else "Conv"
    return [
        graph.add(
            op,
            [value, *weights],
            kernel_shape=source.blobs[0].shape[2:],
            strides=sizes(param, "stride", "stride", axes, 1),
            dilations=one_for_each("dilation", param.dilation, axes, 1),
            pads=(*begin, *end),
            group=layer.group,
        )
        for value in source.values
    ]


@exports("InnerProduct")
def inner_product(graph: Graph, source: Source) -> list[str]:
    """Add Flatten and Gemm, and Reshape where the rows have several axes."""
    layer = source.layer
    assert isinstance(layer, InnerProductLayer)
    bottom, top = source.bottoms[0], source.tops[0]
    rows = source.x
    if len(bottom) != 2 or layer.axis != 1:
        rows = graph.prepare("Flatten", [rows], axis=layer.axis)
    inputs = [rows, graph.constant(source.blobs[0], "weight")]
    inputs += [graph.constant(bias, "bias") for bias in source.blobs[1:]]
    product = graph.add("Gemm", inputs, transB=int(not layer.transpose))
    return [product if len(top) == 2 else graph.reshape(product, top)]


@exports("BatchNorm")
def batch_norm(graph: Graph, source: Source) -> list[str]:
    """Add BatchNormalization with the gathered statistics, a scale of 1 and a bias of 0."""
    assert isinstance(source.layer, BatchNormLayer)
    if not source.layer.global_stats:
        raise source.refuse("use_global_stats: false takes the statistics of each batch")
    if len(source.bottoms[0]) < 2:
        raise source.refuse(f"a bottom of shape {source.bottoms[0]} has no channels")
    mean, variance, weight = source.blobs
    factor = 0.0 if weight[0] == 0 else 1 / float(weight[0])
    constants = {
        "scale": np.ones_like(mean),
        "bias": np.zeros_like(mean),
        "mean": mean * np.float32(factor),
        "variance": variance * np.float32(factor),
    }
    inputs = [source.x, *(graph.constant(a, name) for name, a in constants.items())]
    return [graph.add("BatchNormalization", inputs, epsilon=float(source.layer.eps))]


@exports("Scale")
def scale(graph: Graph, source: Source) -> list[str]:
    """Add Mul, and Add for the bias."""
    axis, shape = covered_axes(source.param.scale_param, source.inputs, "factor")
    factor = _given_or_learned(graph, source, axis, shape, "scale")
    y = graph.add("Mul", [source.x, factor])
    if source.param.scale_param.bias_term:
        y = graph.add("Add", [y, _constant(graph, source, source.blobs[-1], axis, "bias")])
    return [y]


@exports("Bias")
def bias(graph: Graph, source: Source) -> list[str]:
    """Add Add."""
    axis, shape = covered_axes(source.param.bias_param, source.inputs, "bias")
    return [graph.add("Add", [source.x, _given_or_learned(graph, source, axis, shape, "bias")])]


def _given_or_learned(graph: Graph, source: Source, axis: int, shape: Shape, what: str) -> str:
    """Return the factor or bias, with ones behind its shape so that it broadcasts."""
    if len(source.values) == 1:
        return _constant(graph, source, source.blobs[0], axis, what)
    wanted = _broadcast(shape, axis, len(source.bottoms[0]))
    return source.values[1] if wanted == shape else _reshaped(graph, source, wanted)


def _reshaped(graph: Graph, source: Source, shape: Shape) -> str:
    return graph.prepare("Reshape", [source.values[1], graph.numbers(shape, "shape")])


def _constant(graph: Graph, source: Source, array: Array, axis: int, what: str) -> str:
    shape = _broadcast(array.shape, axis, len(source.bottoms[0]))
    return graph.constant(array.reshape(shape), what)


def _broadcast(shape: Shape, axis: int, axes: int) -> Shape:
    return (*shape, *(1,) * (axes - axis - len(shape))) if shape else ()


@exports("PReLU")
def prelu(graph: Graph, source: Source) -> list[str]:
    """Add PRelu."""
    slope, axes = source.blobs[0], len(source.bottoms[0])
    shape = (math.prod(slope.shape), *(1,) * max(0, axes - 2))
    return [graph.add("PRelu", [source.x, graph.constant(slope.reshape(shape), "slope")])]
