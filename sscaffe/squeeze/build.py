"""From the layers of a net to the channels that flow through them."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from sscaffe.net.rules import is_included, test_state
from sscaffe.proto import caffe_pb2
from sscaffe.squeeze import constants
from sscaffe.squeeze.graph import Array, Channels, Graph, Node, Value

Shapes = Mapping[str, Sequence[tuple[int, ...]]]
"""The shapes of the tops of each layer of the net in TEST, by the layer's name."""

_DENSE = ("Convolution", "Deconvolution", "InnerProduct", "DepthwiseConvolution")
_ELEMENTWISE = (
    *("AbsVal", "BNLL", "Clip", "Dropout", "ELU", "Exp", "Log", "Power", "ReLU", "ReLU6"),
    *("Sigmoid", "Swish", "TanH", "Threshold"),
)


def build(
    param: caffe_pb2.NetParameter, blobs: Mapping[str, Sequence[Array]], shapes: Shapes
) -> Graph:
    """Follow the channels through a net.

    Parameters
    ----------
    param : NetParameter
        The net, upgraded, with the layers of all phases.
    blobs : mapping of str to sequence of ndarray
        The weights of each layer.
    shapes : mapping of str to sequence of tuple of int
        Of the tops of each layer that TEST has. Only axis 0 and those after axis 1 count.
    """
    builder = _Builder(blobs, shapes, _shared_names(param), test_state(param))
    for layer in param.layer:
        builder.add(layer)
    return builder.finish()


class _Builder:
    def __init__(
        self,
        blobs: Mapping[str, Sequence[Array]],
        shapes: Shapes,
        shared: set[str],
        state: caffe_pb2.NetState,
    ) -> None:
        self._blobs, self._shapes, self._shared = blobs, shapes, shared
        self._state = state
        self._values: dict[str, Value] = {}
        self.channels, self.nodes = Channels(), list[Node]()
        self._rules: dict[str, Callable[[Node], bool]] = {
            **dict.fromkeys(_DENSE, self._dense),
            **dict.fromkeys(_ELEMENTWISE, self._each),
            "BatchNorm": self._each,
            "Bias": lambda node: node.param.bias_param.axis == 1 and self._with_own(node),
            "Concat": self._join,
            "Eltwise": self._sum,
            "Flatten": self._flatten,
            "LRN": self._lrn,
            "MVN": lambda node: not node.param.mvn_param.across_channels and self._each(node),
            "PReLU": self._each,
            "Pooling": self._each,
            "Reshape": self._reshape,
            "Scale": lambda node: node.param.scale_param.axis == 1 and self._with_own(node),
            "Slice": self._cut,
            "Split": self._copy,
        }

    def add(self, layer: caffe_pb2.LayerParameter) -> None:
        """Take the next layer."""
        node = Node(layer, [np.asarray(blob) for blob in self._blobs.get(layer.name, ())])
        node.bottoms = [self._values[name] for name in layer.bottom if name in self._values]
        self.nodes.append(node)
        if not is_included(layer, self._state):
            if layer.name in self._shapes:
                node.kind, node.blobs = "twin", []
            else:
                self._keep(node, f"{layer.name} is for TRAIN alone")
            return
        rule = self._rules.get(layer.type)
        if any(spec.name in self._shared for spec in layer.param if spec.name):
            self._end(node, f"{layer.name} shares its weights")
        elif not node.bottoms or rule is None or not rule(node):
            self._end(node, f"{layer.type} {layer.name} wants all channels")
        for value in node.tops:
            self._values[value.name] = value
            if any(layer.loss_weight):
                self.channels.keep(value.channels, f"{layer.name} is part of the loss")

    def finish(self) -> Graph:
        """Return the graph; what nobody reads is an output, and stays."""
        graph = Graph(self.nodes, self.channels)
        read = {id(value) for node in self.nodes for value in node.bottoms}
        for node in self.nodes:
            for value in node.tops:
                if id(value) not in read:
                    self.channels.keep(value.channels, f"{value.name} is an output of the net")
        return graph

    def _keep(self, node: Node, reason: str) -> None:
        for value in node.bottoms:
            self.channels.keep(value.channels, reason)

    def _end(self, node: Node, reason: str) -> None:
        """Keep all that a layer reads, and all that it makes."""
        if node.param.type != "Silence":
            self._keep(node, reason)
        node.kind = "end"
        for i in range(len(node.param.top)):
            shape = self._shape(node, i)
            made = self.channels.new(shape[1] if len(shape) > 1 else 1)
            self.channels.keep(made, f"{node.param.name} makes it")
            node.tops.append(self._value(node, i, made, np.full(len(made), np.nan)))

    def _value(self, node: Node, top: int, channels: Array, constant: Array) -> Value:
        name, shape = node.param.top[top], self._shape(node, top)
        batch = shape[0] if shape else 1
        ones = np.ones(len(channels), int)
        return Value(name, channels, ones, constant, math.prod(shape[2:]), batch)

    def _shape(self, node: Node, top: int = 0) -> tuple[int, ...]:
        return self._shapes[node.param.name][top]

    def _dense(self, node: Node) -> bool:
        (bottom,), product = node.bottoms[:1], node.param.type == "InnerProduct"
        if len(node.bottoms) > 1 or len(node.param.top) > 1 or not node.blobs:
            return False
        if product and node.param.inner_product_param.axis != 1:
            return False
        if not product and ((bottom.width != 1).any() or node.param.convolution_param.axis != 1):
            return False
        if _is_depthwise(node):
            return self._each(node)
        node.kind = "dense"
        emits = constants.of_dense(node, bottom)
        made = self.channels.new(len(emits))
        node.tops = [self._value(node, 0, made, emits)]
        return True

    def _each(self, node: Node) -> bool:
        if len(node.bottoms) != 1 or len(node.param.top) != 1:
            return False
        (bottom,), node.kind = node.bottoms, "each"
        if node.blobs and (bottom.width != 1).any():
            return False
        top = bottom.like(node.param.top[0], constants.of_each(node, bottom))
        top.spatial = math.prod(self._shape(node)[2:])
        node.tops = [top]
        return True

    def _with_own(self, node: Node) -> bool:
        """Scale and Bias with one factor of their own for each channel."""
        fits = all(blob.size == len(node.bottoms[0].channels) for blob in node.blobs)
        return bool(node.blobs) and fits and self._each(node)

    def _lrn(self, node: Node) -> bool:
        across = node.param.lrn_param.norm_region == caffe_pb2.LRNParameter.ACROSS_CHANNELS
        return not across and self._each(node)

    def _join(self, node: Node) -> bool:
        param = node.param.concat_param
        axis = param.concat_dim if param.HasField("concat_dim") else param.axis
        if axis != 1 or len({bottom.spatial for bottom in node.bottoms}) > 1:
            return False
        node.kind = "join"
        first = node.bottoms[0]
        channels, width, constant = (
            np.concatenate([getattr(bottom, name) for bottom in node.bottoms])
            for name in ("channels", "width", "constant")
        )
        name = node.param.top[0]
        node.tops = [Value(name, channels, width, constant, first.spatial, first.batch)]
        return True

    def _cut(self, node: Node) -> bool:
        param, (bottom,) = node.param.slice_param, node.bottoms
        axis = param.slice_dim if param.HasField("slice_dim") else param.axis
        if axis != 1:
            return False
        ends = np.cumsum(bottom.width)
        count = len(node.param.top)
        points = list(param.slice_point) or [ends[-1] * i // count for i in range(1, count)]
        if not set(points) <= set(ends.tolist()):
            return False
        node.kind = "cut"
        places = [0, *(np.searchsorted(ends, points) + 1).tolist(), len(ends)]
        for name, first, last in zip(node.param.top, places, places[1:], strict=False):
            part = slice(first, last)
            node.tops.append(
                Value(
                    name,
                    bottom.channels[part],
                    bottom.width[part],
                    bottom.constant[part],
                    bottom.spatial,
                    bottom.batch,
                )
            )
        return True

    def _copy(self, node: Node) -> bool:
        node.kind = "copy"
        (bottom,) = node.bottoms
        node.tops = [bottom.like(name, bottom.constant) for name in node.param.top]
        return True

    def _sum(self, node: Node) -> bool:
        first = node.bottoms[0]
        if len(node.bottoms) != len(node.param.bottom):
            return False
        if any(not np.array_equal(bottom.width, first.width) for bottom in node.bottoms):
            return False
        node.kind = "sum"
        for bottom in node.bottoms[1:]:
            self.channels.tie(first.channels, bottom.channels)
        node.tops = [first.like(node.param.top[0], constants.of_sum(node))]
        return True

    def _flatten(self, node: Node) -> bool:
        """Flatten of all axes after the first."""
        if node.param.flatten_param.axis != 1 or len(self._shape(node)) != 2:
            return False
        node.kind = "flatten"
        (bottom,) = node.bottoms
        width = bottom.width * bottom.spatial
        name = node.param.top[0]
        node.tops = [Value(name, bottom.channels, width, bottom.constant, 1, bottom.batch)]
        return True

    def _reshape(self, node: Node) -> bool:
        """Reshape that does what Flatten does."""
        param, (bottom,) = node.param.reshape_param, node.bottoms
        whole = param.axis == 0 and param.num_axes == -1
        elements = int((bottom.width * bottom.spatial).sum())
        dims = list(param.shape.dim)
        rows = (0, bottom.batch)
        if not whole or len(dims) != 2 or dims[0] not in rows or dims[1] not in (-1, elements):
            return False
        return self._flatten(node)


def _is_depthwise(node: Node) -> bool:
    channels = len(node.bottoms[0].channels)
    if node.param.type == "DepthwiseConvolution":
        return node.param.convolution_param.num_output == channels
    param = node.param.convolution_param
    return (
        node.param.type == "Convolution"
        and 1 < param.group == channels
        and param.num_output == channels
    )


def _shared_names(param: caffe_pb2.NetParameter) -> set[str]:
    """Return the names of parameters that more than one layer has."""
    counts = Counter(spec.name for layer in param.layer for spec in layer.param if spec.name)
    return {name for name, count in counts.items() if count > 1}
