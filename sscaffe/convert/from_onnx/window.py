"""Poolings and LRN as layers."""

from dataclasses import replace

from sscaffe.convert.from_onnx.net import Layer, Node, imports
from sscaffe.convert.pooled import divisors
from sscaffe.geometry import PoolGeometry
from sscaffe.proto import caffe_pb2

Sizes = tuple[int, ...]

_Pool = caffe_pb2.PoolingParameter


def read_pads(node: Node, kernel: Sizes, stride: Sizes, dilation: Sizes) -> tuple[Sizes, Sizes]:
    """Return the padding before and after the image, for each spatial axis."""
    axes, mode = len(kernel), node.text("auto_pad", "NOTSET")
    if mode in ("NOTSET", "VALID"):
        pads = node.numbers("pads") if mode == "NOTSET" else ()
        pads = pads or (0,) * 2 * axes
        return pads[:axes], pads[axes:]
    image = node.shape()[2:]
    each = zip(image, kernel, stride, dilation, strict=True)
    totals = [max(0, (-(-i // s) - 1) * s + (k - 1) * d + 1 - i) for i, k, s, d in each]
    less, more = tuple(t // 2 for t in totals), tuple(-(-t // 2) for t in totals)
    return (less, more) if mode == "SAME_UPPER" else (more, less)


@imports("GlobalMaxPool", "GlobalAveragePool")
def global_pool(node: Node) -> None:
    """Add Pooling over the whole image."""
    param = node.add("Pooling").pooling_param
    param.pool = _Pool.MAX if node.op == "GlobalMaxPool" else _Pool.AVE
    param.global_pooling = True


@imports("ReduceMean")
def reduce_mean(node: Node) -> None:
    """Add Pooling over the whole image, where that is what is meant."""
    shape = node.shape()
    axes = node.constant(1, "axes").tolist() if node.has(1) else node.numbers("axes")
    spatial = list(range(2, len(shape)))
    if len(shape) < 3 or sorted(axis % len(shape) for axis in axes) != spatial:
        raise node.refuse(f"a mean over other axes than {spatial}")
    if node.number("keepdims", 1):
        node.inputs = node.inputs[:1]
        global_pool(node)
        return
    pooled = node.before("Pooling", node.blob(0), "pool")
    pooled.pooling_param.pool, pooled.pooling_param.global_pooling = _Pool.AVE, True
    node.add("Flatten", bottoms=pooled.top)


@imports("MaxPool", "AveragePool")
def pool(node: Node) -> None:
    """Add Pooling, and Scale where a mean divides by another number at the border."""
    shape, output = node.shape(), node.output_shape()[2:]
    kernel = node.numbers("kernel_shape")
    axes = len(kernel)
    stride = node.numbers("strides", (1,) * axes)
    if axes != len(output) or axes < 1:
        raise node.refuse(f"kernel_shape {kernel} for {shape}")
    if any(d != 1 for d in node.numbers("dilations", (1,))):
        raise node.refuse("dilations")
    if len([value for value in node.outputs if value]) > 1 or node.number("storage_order", 0):
        raise node.refuse("a second output, with the places of the maxima")
    before, after = read_pads(node, kernel, stride, (1,) * axes)
    if axes != 2 and max(len(set(kernel)), len(set(stride)), len(set(before))) > 1:
        raise node.refuse(f"windows that differ from axis to axis, and {axes} axes")
    geometry = _fitting(node, shape, (kernel, stride, before), output)
    if node.op == "MaxPool":
        _set_pool(node.add("Pooling"), geometry, _Pool.MAX)
        return
    # ONNX counts the padding or not; what ceil_mode adds behind it never counts.
    counted = PoolGeometry(1, geometry.input, kernel, stride, before, pad_end=after)
    reach = _same_windows(node, counted, output)
    counts = bool(node.number("count_include_pad", 0))
    factors = divisors(geometry) / divisors(reach, count_padding=counts)
    if (factors == 1).all():
        _set_pool(node.add("Pooling"), geometry, _Pool.AVE)
        return
    mean = node.before("Pooling", node.blob(0), "pool")
    _set_pool(mean, geometry, _Pool.AVE)
    scale = node.add("Scale", factors, bottoms=mean.top).scale_param
    scale.axis, scale.num_axes = 2, axes


def _fitting(
    node: Node, shape: Sizes, sizes: tuple[Sizes, Sizes, Sizes], output: Sizes
) -> PoolGeometry:
    """Return the pooling as Caffe has it that makes the windows of the node."""
    kernel, stride, before = sizes
    for ceil in (True, False):
        geometry = PoolGeometry(shape[1], shape[2:], kernel, stride, before, ceil)
        if geometry.output == output:
            return geometry
    raise node.refuse(
        f"{output} windows of {kernel} with stride {stride} on {shape[2:]}, padded by {before} in "
        "front; Caffe pads behind as it does in front"
    )


def _same_windows(node: Node, counted: PoolGeometry, output: Sizes) -> PoolGeometry:
    """Return `counted` rounded so that it has these windows."""
    for ceil in (True, False):
        found = replace(counted, ceil=ceil)
        if found.output == output:
            return found
    raise node.refuse(f"{output} windows that are not those of its pads")


def _set_pool(layer: Layer, g: PoolGeometry, method: "_Pool.PoolMethod") -> None:
    param = layer.pooling_param
    param.pool = method
    if len(set(g.kernel)) == len(set(g.stride)) == len(set(g.pad)) == 1:
        param.kernel_size, param.stride, param.pad = g.kernel[0], g.stride[0], g.pad[0]
    else:
        (param.kernel_h, param.kernel_w), (param.stride_h, param.stride_w) = g.kernel, g.stride
        param.pad_h, param.pad_w = g.pad
    if not g.ceil:
        param.round_mode = _Pool.FLOOR


@imports("LRN")
def lrn(node: Node) -> None:
    """Add LRN."""
    param = node.add("LRN").lrn_param
    param.local_size = int(node.number("size", 5))
    param.alpha, param.beta = node.number("alpha", 1e-4), node.number("beta", 0.75)
    param.k = node.number("bias", 1.0)
