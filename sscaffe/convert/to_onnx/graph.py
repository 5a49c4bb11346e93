"""An ONNX graph as it grows, and the layer that is added to it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sscaffe.blob import Blob
from sscaffe.convert.onnx_library import import_onnx
from sscaffe.errors import UnsupportedError
from sscaffe.layer import Layer
from sscaffe.proto import caffe_pb2

Array = npt.NDArray[Any]
Shape = tuple[int, ...]


@dataclass
class Source:
    """A layer of the net, set up in TEST.

    Attributes
    ----------
    layer : Layer
        The layer.
    param : LayerParameter
        What the prototxt says of it.
    values : list of str
        The ONNX values that its bottoms are.
    inputs : list of Blob
        The bottoms.
    bottoms, tops : list of tuple of int
        The shapes of bottoms and tops.
    blobs : list of ndarray
        Its weights.
    """

    layer: Layer
    param: caffe_pb2.LayerParameter
    values: list[str]
    inputs: list[Blob]
    bottoms: list[Shape]
    tops: list[Shape]
    blobs: list[Array]

    @property
    def x(self) -> str:
        """The value that the first bottom is."""
        return self.values[0]

    def refuse(self, reason: str) -> UnsupportedError:
        """Return the error for a layer that ONNX cannot say."""
        return UnsupportedError(
            f"layer {self.param.name!r} ({self.param.type}) has no form in ONNX: {reason}"
        )


class Graph:
    """Nodes, constants, inputs and outputs of an ONNX graph."""

    def __init__(self) -> None:
        self._onnx = import_onnx()
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.layer = ""
        self._values: set[str] = set()
        self._node_names: set[str] = set()

    def fresh(self, wanted: str) -> str:
        """Return a name for a value that no other has."""
        return _fresh(wanted, self._values)

    def add(self, op: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Add a node of one output, and return the value that it makes.

        The first node of a layer has the layer's name, by which weights are found.
        """
        return self.add_many(op, inputs, 1, **attributes)[0]

    def prepare(self, op: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Add a node as `add` does, in front of the one that has the layer's name."""
        layer, self.layer = self.layer, f"{self.layer}_{op.lower()}"
        value = self.add(op, inputs, **attributes)
        self.layer = layer
        return value

    def add_many(self, op: str, inputs: Sequence[str], count: int, **attributes: Any) -> list[str]:
        """Add a node, and return the values that it makes."""
        wanted = self.layer if self.layer not in self._node_names else f"{self.layer}_{op.lower()}"
        name = _fresh(wanted, self._node_names)
        made = [self.fresh(f"{name}_value") for _ in range(count)]
        self.nodes.append(self._onnx.helper.make_node(op, inputs, made, name, **attributes))
        return made

    def constant(self, array: Array, what: str) -> str:
        """Add a constant, and return its name."""
        name = self.fresh(f"{self.layer}_{what}")
        contiguous = np.ascontiguousarray(array).reshape(array.shape)
        self.constants.append(self._onnx.numpy_helper.from_array(contiguous, name))
        return name

    def numbers(self, values: Sequence[int], what: str) -> str:
        """Add a constant of whole numbers, such as a shape."""
        return self.constant(np.array(values, np.int64), what)

    def scalar(self, value: float, what: str) -> str:
        """Add a constant of one number."""
        return self.constant(np.array(value, np.float32), what)

    def reshape(self, value: str, shape: Shape) -> str:
        """Give a value another shape."""
        return self.add("Reshape", [value, self.numbers(shape, "shape")])

    def rename(self, first: int, old: str, new: str) -> None:
        """Rename a value in the nodes from `first` on."""
        for node in self.nodes[first:]:
            for names in (node.input, node.output):
                for i, name in enumerate(names):
                    if name == old:
                        names[i] = new

    def drop_unread(self) -> None:
        """Drop the nodes and constants that lead to no output."""
        wanted = {value.name for value in self.outputs}
        kept = []
        for node in reversed(self.nodes):
            if not wanted.isdisjoint(node.output):
                kept.append(node)
                wanted.update(node.input)
        self.nodes = kept[::-1]
        self.constants = [constant for constant in self.constants if constant.name in wanted]

    def declare(self, name: str, shape: Shape) -> Any:
        """Return the description of an input or output."""
        onnx = self._onnx
        return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)


def _fresh(wanted: str, taken: set[str]) -> str:
    name, number = wanted, 2
    while name in taken:
        name, number = f"{wanted}_{number}", number + 1
    taken.add(name)
    return name


Exporter = Callable[[Graph, Source], list[str]]
EXPORTERS: dict[str, Exporter] = {}
"""By layer type: adds a layer to a graph and returns the values that its tops are."""


def exports(*types: str) -> Callable[[Exporter], Exporter]:
    """Register a function for layers of these types."""

    def register(function: Exporter) -> Exporter:
        EXPORTERS.update(dict.fromkeys(types, function))
        return function

    return register
