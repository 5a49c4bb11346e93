"""An ONNX file, read without trust in it."""

import os
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from sscaffe.convert.onnx_library import import_onnx
from sscaffe.errors import UnsupportedError, WeightsError
from sscaffe.serialized import LARGEST_COUNT, LARGEST_FILE, open_binary

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

_OLDEST_OPSET = 7  # before, broadcasting was another


class Model:
    """The graph of an ONNX file, with the constants and shapes in it.

    Parameters
    ----------
    path : path-like
        The file.
    batch : int
        What an input's first axis is where the file leaves it open.

    Attributes
    ----------
    name : str
        The graph's name.
    opset : int
        The version of the operators.
    nodes : list of onnx.NodeProto
        In an order in which they can run.
    inputs : list of str
        The values that are neither constant nor made.
    outputs : list of str
        What the graph returns.
    constants : dict of str to ndarray
        Values that are known; those that are computed from them may be added.

    Raises
    ------
    WeightsError
        If it cannot be read, keeps numbers in other files, or says something that cannot be.
    UnsupportedError
        If onnx is not installed, or the shapes are not known.
    """

    def __init__(self, path: str | os.PathLike[str], batch: int = 1) -> None:
        self._onnx, self._path = import_onnx(), os.fspath(path)
        model = self._read()
        self.opset = self._opset(model)
        graph = model.graph
        self.name, self.nodes = graph.name, list(graph.node)
        self.constants = {tensor.name: self.array(tensor) for tensor in graph.initializer}
        self.inputs = [value.name for value in graph.input if value.name not in self.constants]
        self.outputs = [value.name for value in graph.output]
        self._fix_shapes(graph, batch)
        self._shapes = self._infer(model)

    def fault(self, reason: str) -> WeightsError:
        """Return an error that names the file."""
        return WeightsError(f"{self._path}: {reason}")

    def shape(self, value: str) -> Shape:
        """Return the shape of a value.

        Raises
        ------
        UnsupportedError
            If it is not known.
        """
        if value in self.constants:
            return self.constants[value].shape
        if value not in self._shapes:
            raise UnsupportedError(
                f"{self._path}: the shape of {value!r} is not known; export the model with inputs "
                "of fixed shapes"
            )
        return self._shapes[value]

    def array(self, tensor: Any) -> Array:
        """Return the values of a tensor in the file.

        Raises
        ------
        WeightsError
            If they are in another file, or are not as many as its shape says.
        """
        if tensor.external_data or tensor.data_location == self._onnx.TensorProto.EXTERNAL:
            raise self.fault(
                f"{tensor.name!r:.60} is kept in another file, which is not read; save the model "
                "as one file"
            )
        dims = list(tensor.dims)
        if min(dims, default=0) < 0 or np.prod([float(d) for d in dims]) > LARGEST_COUNT:
            raise self.fault(f"{tensor.name!r:.60} cannot have the shape {dims}")
        try:
            array: Array = self._onnx.numpy_helper.to_array(tensor)
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise self.fault(f"{tensor.name!r:.60} cannot be read: {error}") from None
        return array

    def _read(self) -> Any:
        with open_binary(self._path) as file:
            content = file.read(LARGEST_FILE + 1)
        model = self._onnx.ModelProto()
        try:
            if len(content) > LARGEST_FILE:
                raise ValueError("it has more than 2^31 - 1 bytes")
            model.ParseFromString(content)
        except Exception as error:  # of one of the classes of the installed protobuf
            raise self.fault(f"cannot be read as ONNX: {error}") from None
        if not model.graph.node:
            raise self.fault("expected an ONNX model, got a file without nodes")
        for node in model.graph.node:
            if node.domain not in ("", "ai.onnx"):
                raise UnsupportedError(
                    f"{self._path}: node {node.name!r:.60} has operator {node.domain}."
                    f"{node.op_type}, which is not imported"
                )
        if model.graph.sparse_initializer:
            raise self.fault("sparse initializers are not read; save the model with dense ones")
        return model

    def _opset(self, model: Any) -> int:
        versions = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")]
        if not versions or versions[0] < _OLDEST_OPSET:
            got = versions[0] if versions else "none"
            raise UnsupportedError(
                f"{self._path}: expected ONNX operators of version {_OLDEST_OPSET} or later, "
                f"got {got}"
            )
        return int(versions[0])

    def _fix_shapes(self, graph: Any, batch: int) -> None:
        """Give the inputs whole shapes, and forget those that the file says of all the rest."""
        for value in graph.input:
            for i, dim in enumerate(value.type.tensor_type.shape.dim):
                if dim.HasField("dim_value") and dim.dim_value >= 0:
                    continue
                if i:
                    raise UnsupportedError(
                        f"{self._path}: axis {i} of input {value.name!r} is left open; export the "
                        "model with inputs of fixed shapes"
                    )
                dim.dim_value = batch
        del graph.value_info[:]
        for value in graph.output:
            value.type.tensor_type.ClearField("shape")

    def _infer(self, model: Any) -> dict[str, Shape]:
        try:
            inferred = self._onnx.shape_inference.infer_shapes(model, data_prop=True)
        except Exception as error:  # the library has no base of its own for its errors
            raise self.fault(f"the shapes in it cannot be: {_first_line(error)}") from None
        graph = inferred.graph
        return dict(_shapes((*graph.input, *graph.value_info, *graph.output)))


def _shapes(values: Iterable[Any]) -> Iterable[tuple[str, Shape]]:
    for value in values:
        kind = value.type.tensor_type
        if kind.HasField("shape") and all(d.HasField("dim_value") for d in kind.shape.dim):
            yield value.name, tuple(dim.dim_value for dim in kind.shape.dim)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
