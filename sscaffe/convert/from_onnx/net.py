"""A Caffe net as it grows, and the ONNX node that is added to it."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sscaffe.convert.from_onnx.model import Array, Model, Shape
from sscaffe.convert.saved import SavedLayer
from sscaffe.errors import UnsupportedError
from sscaffe.proto import caffe_pb2

Layer = caffe_pb2.LayerParameter


class NetBuilder:
    """The layers that were made so far, their weights, and the blob that each ONNX value is.

    Attributes
    ----------
    model : Model
        What is read.
    net : NetParameter
        The layers.
    weights : list of SavedLayer
        Their blobs.
    blobs : dict of str to str
        The blob of each value.
    """

    def __init__(self, model: Model) -> None:
        self.model, self.net = model, caffe_pb2.NetParameter(name=model.name)
        self.weights: list[SavedLayer] = []
        self.blobs: dict[str, str] = {}
        self._names: set[str] = set()
        self._tops: set[str] = set()

    def layer(
        self, kind: str, name: str, bottoms: Sequence[str], tops: Sequence[str], *arrays: Array
    ) -> Layer:
        """Add a layer.

        Parameters
        ----------
        kind, name : str
            Its type; the name gets a number where it is taken.
        bottoms, tops : sequence of str
            Blobs, as `blob` and `top` give them.
        *arrays : ndarray
            Its weights.
        """
        layer = self.net.layer.add(name=_fresh(name, self._names), type=kind)
        layer.bottom.extend(bottoms)
        layer.top.extend(tops)
        if arrays:
            singles = [np.asarray(array, np.float32, order="C") for array in arrays]
            self.weights.append(SavedLayer(layer.name, kind, singles))
        return layer

    def top(self, wanted: str) -> str:
        """Return a name for a new blob."""
        return _fresh(wanted, self._tops)

    def blob(self, value: str) -> str:
        """Return the blob that a value is; a constant becomes one by a Parameter layer."""
        if value not in self.blobs:
            array = self.model.constants.get(value)
            if array is None:
                raise self.model.fault(f"{value!r:.60} is read before it is made")
            top = self.top(value)
            layer = self.layer("Parameter", value, [], [top], array)
            layer.parameter_param.shape.dim.extend(array.shape)
            self.blobs[value] = top
        return self.blobs[value]


class Node:
    """An ONNX node, in the words of who turns it into layers.

    Attributes
    ----------
    op, name : str
        Its operator; its name, or that of what it makes.
    opset : int
        The version of the operators.
    inputs, outputs : list of str
        The values; an input that is left out is an empty text.
    """

    def __init__(self, builder: NetBuilder, proto: Any) -> None:
        self._builder, self._model = builder, builder.model
        self.op, self.opset = proto.op_type, builder.model.opset
        self.inputs, self.outputs = list(proto.input), list(proto.output)
        self.name = proto.name or next((o for o in self.outputs if o), self.op)
        self._attributes = {attribute.name: attribute for attribute in proto.attribute}

    def refuse(self, reason: str) -> UnsupportedError:
        """Return the error for a node that no layer means the same as."""
        return UnsupportedError(f"node {self.name!r:.60} ({self.op}) has no layer: {reason}")

    def has(self, index: int) -> bool:
        """Tell whether an input is given."""
        return index < len(self.inputs) and bool(self.inputs[index])

    def is_constant(self, index: int) -> bool:
        """Tell whether an input is given and known."""
        return self.has(index) and self.inputs[index] in self._model.constants

    def constant(self, index: int, what: str) -> Array:
        """Return an input that has to be known."""
        if not self.is_constant(index):
            raise self.refuse(f"its {what} is not constant")
        return self._model.constants[self.inputs[index]]

    def shape(self, index: int = 0) -> Shape:
        """Return the shape of an input."""
        return self._model.shape(self.inputs[index])

    def output_shape(self, index: int = 0) -> Shape:
        """Return the shape of an output."""
        return self._model.shape(self.outputs[index])

    def number(self, name: str, default: Any) -> Any:
        """Return an attribute that is one number."""
        attribute = self._attributes.get(name)
        if attribute is None:
            return default
        return attribute.f if isinstance(default, float) else attribute.i

    def numbers(self, name: str, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """Return an attribute that is several whole numbers."""
        attribute = self._attributes.get(name)
        return default if attribute is None else tuple(attribute.ints)

    def text(self, name: str, default: str) -> str:
        """Return an attribute that is a text."""
        attribute = self._attributes.get(name)
        return default if attribute is None else attribute.s.decode("utf-8", "replace")

    def tensor(self, name: str) -> Array | None:
        """Return an attribute that is an array."""
        attribute = self._attributes.get(name)
        return None if attribute is None else self._model.array(attribute.t)

    def axis(self, default: int) -> int:
        """Return the axis of the first input that the node means."""
        axes = len(self.shape())
        axis = int(self.number("axis", default))
        return axis + axes if axis < 0 else axis

    def add(self, kind: str, *arrays: Array, bottoms: Sequence[str] | None = None) -> Layer:
        """Add the layer that makes the first output of the first input."""
        bottom = [self._builder.blob(self.inputs[0])] if bottoms is None else bottoms
        top = self._builder.top(self.outputs[0])
        self._builder.blobs[self.outputs[0]] = top
        return self._builder.layer(kind, self.name, bottom, [top], *arrays)

    def before(self, kind: str, bottom: str, what: str, *arrays: Array) -> Layer:
        """Add a layer whose top only this node reads; ``layer.top[0]`` is it."""
        top = self._builder.top(f"{self.outputs[0]}_{what}")
        return self._builder.layer(kind, f"{self.name}_{what}", [bottom], [top], *arrays)

    def blob(self, index: int) -> str:
        """Return the blob that an input is."""
        return self._builder.blob(self.inputs[index])

    def cut(self, axis: int, points: Sequence[int], values: Sequence[str]) -> None:
        """Add the Slice that makes several values of the first input."""
        tops = [self._builder.top(value or f"{self.name}_rest") for value in values]
        param = self._builder.layer("Slice", self.name, [self.blob(0)], tops).slice_param
        param.axis = axis
        param.slice_point.extend(points)
        self._builder.blobs.update(zip(values, tops, strict=True))

    def crop(self, parts: Sequence[tuple[int, int, int]], shape: Shape) -> None:
        """Add Slice for each axis of which a part is wanted."""
        blob, builder = self.blob(0), self._builder
        for i, (axis, start, end) in enumerate(parts):
            is_last = i == len(parts) - 1
            wanted = builder.top(self.outputs[0] if is_last else f"{self.outputs[0]}_part")
            before = [builder.top(f"{self.outputs[0]}_before")] if start > 0 else []
            after = [builder.top(f"{self.outputs[0]}_after")] if end < shape[axis] else []
            tops = [*before, wanted, *after]
            param = builder.layer("Slice", self.name, [blob], tops).slice_param
            param.axis = axis
            param.slice_point.extend(p for p in (start, end) if 0 < p < shape[axis])
            blob = wanted
        builder.blobs[self.outputs[0]] = blob

    def pass_on(self) -> None:
        """Let the first output be the first input."""
        if self.is_constant(0):
            self._model.constants[self.outputs[0]] = self.constant(0, "input")
        else:
            self._builder.blobs[self.outputs[0]] = self.blob(0)

    def make_constant(self, array: Array) -> None:
        """Let the first output be a constant."""
        self._model.constants[self.outputs[0]] = array


def _fresh(wanted: str, taken: set[str]) -> str:
    name, number = wanted, 2
    while name in taken:
        name, number = f"{wanted}_{number}", number + 1
    taken.add(name)
    return name


Importer = Callable[[Node], None]
IMPORTERS: dict[str, Importer] = {}
"""By ONNX operator: adds the layers that mean the same."""


def imports(*ops: str) -> Callable[[Importer], Importer]:
    """Register a function for nodes of these operators."""

    def register(function: Importer) -> Importer:
        IMPORTERS.update(dict.fromkeys(ops, function))
        return function

    return register
