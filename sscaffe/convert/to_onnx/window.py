"""Pooling and LRN as ONNX nodes."""

import math

import numpy as np

from sscaffe.convert.pooled import divisors
from sscaffe.convert.to_onnx.graph import Array, Graph, Source, exports
from sscaffe.geometry import PoolGeometry
from sscaffe.layer_types.lrn import LRNLayer
from sscaffe.layer_types.pooling import PoolingLayer
from sscaffe.proto import caffe_pb2


@exports("Pooling")
def pooling(graph: Graph, source: Source) -> list[str]:
    """Add MaxPool or AveragePool, or their global forms.

    Caffe rounds pooled sizes up; here the padding at the end is made as large as the last window
    wants it. Its mean counts padding, but nothing beyond it; where the last window reaches further,
    a factor for each place puts the mean right.
    """
    layer, param = source.layer, source.param.pooling_param
    assert isinstance(layer, PoolingLayer)
    if layer.method == "STOCHASTIC":
        raise source.refuse("pool: STOCHASTIC")
    if len(source.tops) > 1:
        raise source.refuse("a second top, with the places of the maxima")
    is_max = layer.method == "MAX"
    if param.global_pooling:
        return [graph.add("GlobalMaxPool" if is_max else "GlobalAveragePool", [source.x])]
    _, channels, *image = source.bottoms[0]
    axes = len(image)
    geometry = PoolGeometry(
        channels,
        tuple(image),
        _each(layer.kernel, axes),
        _each(layer.stride, axes),
        _each(layer.pad, axes),
        layer.ceil,
        _each(layer.pad_end, axes),
    )
    return [_pool(graph, source, source.x, geometry, is_max, bool(param.avg_include_pad))]


def _each(sizes: tuple[int, ...], axes: int) -> tuple[int, ...]:
    return sizes if len(sizes) == axes else sizes[:1] * axes


def _pool(
    graph: Graph, source: Source, x: str, g: PoolGeometry, is_max: bool, counts_padding: bool
) -> str:
    reach = zip(g.input, g.kernel, g.stride, g.pad, g.output, strict=True)
    end = tuple(max(0, (o - 1) * s + k - i - p) for i, k, s, p, o in reach)
    if any(e >= k for e, k in zip(end, g.kernel, strict=True)):
        raise source.refuse("its last window is outside of the image")
    attributes = {"kernel_shape": g.kernel, "strides": g.stride, "pads": (*g.pad, *end)}
    if is_max:
        return graph.add("MaxPool", [x], **attributes)
    mean = graph.add("AveragePool", [x], count_include_pad=int(counts_padding), **attributes)
    if not counts_padding:
        return mean
    factors: Array = math.prod(g.kernel) / divisors(g)
    if (factors == 1).all():
        return mean
    return graph.add("Mul", [mean, graph.constant(factors.astype(np.float32), "border")])


@exports("LRN")
def lrn(graph: Graph, source: Source) -> list[str]:
    """Add LRN, or for WITHIN_CHANNEL what it stands for."""
    layer = source.layer
    assert isinstance(layer, LRNLayer)
    size, alpha, beta, k = layer.size, float(layer.alpha), float(layer.beta), float(layer.k)
    region = caffe_pb2.LRNParameter.ACROSS_CHANNELS
    if source.param.lrn_param.norm_region == region:
        return [graph.add("LRN", [source.x], alpha=alpha, beta=beta, bias=k, size=size)]
    _, channels, *image = source.bottoms[0]
    half = (size // 2,) * 2
    geometry = PoolGeometry(channels, tuple(image), (size,) * 2, (1, 1), half)
    squares = graph.add("Mul", [source.x, source.x])
    mean = _pool(graph, source, squares, geometry, is_max=False, counts_padding=True)
    weighted = graph.add("Mul", [mean, graph.scalar(alpha, "alpha")])
    total = graph.add("Add", [weighted, graph.scalar(1, "one")])
    factor = graph.add("Pow", [total, graph.scalar(-beta, "beta")])
    return [graph.add("Mul", [source.x, factor])]
