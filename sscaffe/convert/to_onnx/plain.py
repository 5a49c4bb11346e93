"""Layers without weights or windows as ONNX nodes."""

import numpy as np

from sscaffe.convert.to_onnx.graph import Graph, Source, exports
from sscaffe.layer import canonical_axis
from sscaffe.layer_types.concat import ConcatLayer
from sscaffe.layer_types.eltwise import EltwiseLayer
from sscaffe.layer_types.neuron import log_of_base
from sscaffe.layer_types.permute import PermuteLayer
from sscaffe.layer_types.slice import SliceLayer

_SIMPLE = {"Sigmoid": "Sigmoid", "TanH": "Tanh", "AbsVal": "Abs", "BNLL": "Softplus"}


@exports(*_SIMPLE)
def simple(graph: Graph, source: Source) -> list[str]:
    """Add the one node that means the same."""
    return [graph.add(_SIMPLE[source.param.type], [source.x])]


@exports("ReLU")
def relu(graph: Graph, source: Source) -> list[str]:
    """Add Relu or LeakyRelu."""
    slope = source.param.relu_param.negative_slope
    if slope:
        return [graph.add("LeakyRelu", [source.x], alpha=slope)]
    return [graph.add("Relu", [source.x])]


@exports("ELU")
def elu(graph: Graph, source: Source) -> list[str]:
    """Add Elu."""
    return [graph.add("Elu", [source.x], alpha=source.param.elu_param.alpha)]


@exports("Clip", "ReLU6")
def clip(graph: Graph, source: Source) -> list[str]:
    """Add Clip."""
    param = source.param.clip_param
    low, high = (0.0, 6.0) if source.param.type == "ReLU6" else (param.min, param.max)
    limits = [graph.scalar(low, "min"), graph.scalar(high, "max")]
    return [graph.add("Clip", [source.x, *limits])]


@exports("Threshold")
def threshold(graph: Graph, source: Source) -> list[str]:
    """Add Greater and Cast."""
    limit = graph.scalar(source.param.threshold_param.threshold, "threshold")
    return [graph.add("Cast", [graph.add("Greater", [source.x, limit])], to=1)]


@exports("Swish")
def swish(graph: Graph, source: Source) -> list[str]:
    """Add Sigmoid of beta x, and Mul."""
    scaled = _affine(graph, source.x, source.param.swish_param.beta, 0)
    return [graph.add("Mul", [source.x, graph.add("Sigmoid", [scaled])])]


@exports("Power")
def power(graph: Graph, source: Source) -> list[str]:
    """Add Mul, Add and Pow, those of them that change anything."""
    param = source.param.power_param
    y = _affine(graph, source.x, param.scale, param.shift)
    if param.power != 1:
        y = graph.add("Pow", [y, graph.scalar(param.power, "power")])
    return [y]


@exports("Exp")
def exponential(graph: Graph, source: Source) -> list[str]:
    """Add Exp of the logarithm of the base times the exponent."""
    param = source.param.exp_param
    base = log_of_base(param.base)
    return [graph.add("Exp", [_affine(graph, source.x, base * param.scale, base * param.shift)])]


@exports("Log")
def logarithm(graph: Graph, source: Source) -> list[str]:
    """Add Log, and a division by that of the base."""
    param = source.param.log_param
    y = graph.add("Log", [_affine(graph, source.x, param.scale, param.shift)])
    return [_affine(graph, y, 1 / log_of_base(param.base), 0)]


def _affine(graph: Graph, x: str, scale: float, shift: float) -> str:
    if scale != 1:
        x = graph.add("Mul", [x, graph.scalar(scale, "scale")])
    if shift != 0:
        x = graph.add("Add", [x, graph.scalar(shift, "shift")])
    return x


@exports("Dropout", "Split")
def copy(graph: Graph, source: Source) -> list[str]:
    """Add nothing: the tops are the bottom."""
    return [source.x] * len(source.tops)


@exports("Silence")
def silence(graph: Graph, source: Source) -> list[str]:
    """Add nothing: there are no tops."""
    return []


@exports("Parameter")
def parameter(graph: Graph, source: Source) -> list[str]:
    """Add a constant, which the top is."""
    return [graph.constant(source.blobs[0], "value")]


@exports("Softmax")
def softmax(graph: Graph, source: Source) -> list[str]:
    """Add Softmax."""
    axis = canonical_axis(source.param.softmax_param.axis, len(source.bottoms[0]))
    return [graph.add("Softmax", [source.x], axis=axis)]


@exports("Flatten", "Reshape")
def reshape(graph: Graph, source: Source) -> list[str]:
    """Add Flatten where it means the same, else Reshape to the shape that the top has."""
    bottom, top = source.bottoms[0], source.tops[0]
    if source.param.type == "Flatten" and top == (bottom[0], int(np.prod(bottom[1:]))):
        return [graph.add("Flatten", [source.x], axis=1)]
    return [graph.reshape(source.x, top)]


@exports("Concat")
def concat(graph: Graph, source: Source) -> list[str]:
    """Add Concat."""
    assert isinstance(source.layer, ConcatLayer)
    return [graph.add("Concat", source.values, axis=source.layer.axis)]


@exports("Slice")
def slices(graph: Graph, source: Source) -> list[str]:
    """Add Split."""
    assert isinstance(source.layer, SliceLayer)
    axis = source.layer.axis
    if len(source.tops) == 1:
        return [source.x]
    lengths = graph.numbers([shape[axis] for shape in source.tops], "lengths")
    return graph.add_many("Split", [source.x, lengths], len(source.tops), axis=axis)


@exports("Eltwise")
def eltwise(graph: Graph, source: Source) -> list[str]:
    """Add Mul, Max, or Add of the weighted bottoms."""
    layer = source.layer
    assert isinstance(layer, EltwiseLayer)
    name = source.param.eltwise_param.EltwiseOp.Name(layer.operation)
    if name == "MAX":
        return [graph.add("Max", source.values)]
    values = source.values
    if name == "SUM":
        pairs = zip(values, layer.coeff, strict=True)
        values = [_affine(graph, value, coeff, 0) for value, coeff in pairs]
    y = values[0]
    for value in values[1:]:
        y = graph.add("Mul" if name == "PROD" else "Add", [y, value])
    return [y]


@exports("Permute")
def permute(graph: Graph, source: Source) -> list[str]:
    """Add Transpose."""
    assert isinstance(source.layer, PermuteLayer)
    return [graph.add("Transpose", [source.x], perm=source.layer.order)]


@exports("ShuffleChannel")
def shuffle(graph: Graph, source: Source) -> list[str]:
    """Add Reshape, Transpose and Reshape."""
    batch, channels, *image = source.bottoms[0]
    group = source.param.shuffle_channel_param.group
    parted = graph.reshape(source.x, (batch, group, channels // group, *image))
    order = (0, 2, 1, *range(3, 3 + len(image)))
    return [graph.reshape(graph.add("Transpose", [parted], perm=order), source.bottoms[0])]


@exports("Crop")
def crop(graph: Graph, source: Source) -> list[str]:
    """Add Slice."""
    param, top = source.param.crop_param, source.tops[0]
    first = canonical_axis(param.axis, len(top))
    axes = range(first, len(top))
    offsets = list(param.offset) or [0]
    starts = offsets if len(offsets) > 1 else offsets * len(axes)
    ends = [start + top[axis] for start, axis in zip(starts, axes, strict=True)]
    numbers = ((starts, "starts"), (ends, "ends"), (list(axes), "axes"))
    return [graph.add("Slice", [source.x, *(graph.numbers(n, what) for n, what in numbers)])]
