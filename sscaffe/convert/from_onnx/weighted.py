"""Conv, ConvTranspose, Gemm, MatMul, BatchNormalization and PRelu as layers."""

import numpy as np

from sscaffe.convert.from_onnx.net import Layer, Node, imports
from sscaffe.convert.from_onnx.window import read_pads
from sscaffe.convert.saved import Array


@imports("Conv")
def conv(node: Node) -> None:
    """Add Convolution."""
    weights = node.constant(1, "weight")
    arrays = [weights] + ([node.constant(2, "bias")] if node.has(2) else [])
    layer = node.add("Convolution", *arrays)
    _set_convolution(node, layer, weights, int(weights.shape[0]))


@imports("ConvTranspose")
def conv_transpose(node: Node) -> None:
    """Add Deconvolution."""
    weights = node.constant(1, "weight")
    if any(node.numbers("output_padding", ())) or node.numbers("output_shape"):
        raise node.refuse("output_padding or output_shape")
    if node.text("auto_pad", "NOTSET") != "NOTSET":
        raise node.refuse(f"auto_pad: {node.text('auto_pad', '')}")
    arrays = [weights] + ([node.constant(2, "bias")] if node.has(2) else [])
    layer = node.add("Deconvolution", *arrays)
    outputs = int(weights.shape[1]) * int(node.number("group", 1))
    _set_convolution(node, layer, weights, outputs)


def _set_convolution(node: Node, layer: Layer, weights: Array, outputs: int) -> None:
    kernel = tuple(int(size) for size in weights.shape[2:])
    axes = len(kernel)
    stride = node.numbers("strides", (1,) * axes)
    dilation = node.numbers("dilations", (1,) * axes)
    before, after = read_pads(node, kernel, stride, dilation)
    param, group = layer.convolution_param, int(node.number("group", 1))
    param.num_output = outputs
    if group != 1:
        param.group = group
    if not node.has(2):
        param.bias_term = False
    param.kernel_size.extend(_once(kernel))
    if any(size != 1 for size in stride):
        param.stride.extend(_once(stride))
    if any(size != 1 for size in dilation):
        param.dilation.extend(_once(dilation))
    if before == after:
        param.pad.extend(_once(before) if any(before) else ())
    elif axes == 2 and layer.type == "Convolution":
        (param.pad_t, param.pad_l), (param.pad_b, param.pad_r) = before, after
    else:
        raise node.refuse(f"pads {before} before and {after} after the image")


def _once(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Return one number where it stands for all axes."""
    return sizes[:1] if len(set(sizes)) == 1 else sizes


@imports("Gemm")
def gemm(node: Node) -> None:
    """Add InnerProduct."""
    if node.number("transA", 0):
        raise node.refuse("transA")
    weights = node.constant(1, "second input")
    weights = weights if node.number("transB", 0) else weights.T
    weights = weights * np.float32(node.number("alpha", 1.0))
    arrays = [weights]
    if node.has(2):
        bias = node.constant(2, "third input") * np.float32(node.number("beta", 1.0))
        if bias.size not in (1, len(weights)) or bias.shape[:-1] not in ((), (1,)):
            raise node.refuse(f"a third input of shape {bias.shape}")
        arrays.append(np.broadcast_to(bias.reshape(-1), len(weights)))
    param = node.add("InnerProduct", *arrays).inner_product_param
    param.num_output, param.bias_term = len(weights), node.has(2)


@imports("MatMul")
def matmul(node: Node) -> None:
    """Add InnerProduct without a bias."""
    weights = node.constant(1, "second input")
    if weights.ndim != 2:
        raise node.refuse(f"a second input of shape {weights.shape}")
    param = node.add("InnerProduct", weights.T).inner_product_param
    param.num_output, param.bias_term = int(weights.shape[1]), False
    param.axis = len(node.shape()) - 1


@imports("BatchNormalization")
def batch_norm(node: Node) -> None:
    """Add BatchNorm, and Scale where it would change anything."""
    if node.number("training_mode", 0):
        raise node.refuse("training_mode")
    names = ("scale", "bias", "mean", "variance")
    scale, bias, mean, variance = (node.constant(i, name) for i, name in enumerate(names, 1))
    eps = float(node.number("epsilon", 1e-5))
    statistics = mean, variance, np.ones(1)
    if (scale == 1).all() and (bias == 0).all():
        node.add("BatchNorm", *statistics).batch_norm_param.eps = eps
        return
    normalized = node.before("BatchNorm", node.blob(0), "norm", *statistics)
    normalized.batch_norm_param.eps = eps
    node.add("Scale", scale, bias, bottoms=normalized.top).scale_param.bias_term = True


@imports("PRelu")
def prelu(node: Node) -> None:
    """Add PReLU."""
    slope, shape = node.constant(1, "slope"), node.shape()
    if slope.size == 1:
        node.add("PReLU", slope.reshape(())).prelu_param.channel_shared = True
        return
    per_channel = (1,) * (len(shape) - slope.ndim) + slope.shape
    if len(shape) < 2 or per_channel != (1, shape[1], *(1,) * (len(shape) - 2)):
        raise node.refuse(f"a slope of shape {slope.shape} for {shape}")
    node.add("PReLU", slope.reshape(-1))
