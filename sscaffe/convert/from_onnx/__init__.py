"""An ONNX model as a prototxt and its weights."""

import os
from typing import Any

from sscaffe.convert.from_onnx import arithmetic, shapes, weighted, window
from sscaffe.convert.from_onnx.model import Model
from sscaffe.convert.from_onnx.net import IMPORTERS, NetBuilder, Node
from sscaffe.convert.from_onnx.tidy import drop_flattens, drop_unread, merge_biases, run_in_place
from sscaffe.convert.saved import SavedLayer
from sscaffe.errors import UnsupportedError, WeightsError
from sscaffe.layer import TEST
from sscaffe.net import Net
from sscaffe.proto import caffe_pb2

__all__ = ["IMPORTERS", "arithmetic", "read_onnx", "shapes", "weighted", "window"]


def read_onnx(
    path: str | os.PathLike[str], batch: int = 1
) -> tuple[caffe_pb2.NetParameter, list[SavedLayer]]:
    """Make a net and its weights of an ONNX file.

    Parameters
    ----------
    path : path-like
        The file. Numbers that it keeps in other files are not read.
    batch : int
        Images in a batch, where the file leaves that open.

    Returns
    -------
    NetParameter, list of SavedLayer
        The net for TEST, which was built once to see that it fits, and its weights.

    Raises
    ------
    WeightsError
        If the file cannot be read, or is damaged.
    UnsupportedError
        If onnx is not installed, or an operator has no layer; the sentence names it.
    """
    source = os.fspath(path)
    try:
        builder = NetBuilder(Model(path, batch))
        _add_inputs(builder)
        for proto in builder.model.nodes:
            _add(builder, proto)
        outputs = _name_outputs(builder)
        drop_unread(builder, outputs)
        drop_flattens(builder, outputs)
        merge_biases(builder, outputs)
        run_in_place(builder, outputs)
    except (UnsupportedError, WeightsError) as error:
        if not str(error).startswith(f"{source}: "):
            error.args = (f"{source}: {error}", *error.args[1:])
        raise
    except (ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
        # Text that is no UTF-8, axes that are not there, shapes that do not fit.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"{source}: cannot be read as ONNX: {reason}") from error
    _check(builder, source)
    return builder.net, builder.weights


def _add_inputs(builder: NetBuilder) -> None:
    for name in builder.model.inputs:
        top = builder.blobs[name] = builder.top(name)
        shape = builder.layer("Input", name, [], [top]).input_param.shape.add()
        shape.dim.extend(builder.model.shape(name))


def _add(builder: NetBuilder, proto: Any) -> None:
    if proto.op_type not in IMPORTERS:
        node = Node(builder, proto)
        raise UnsupportedError(
            f"node {node.name!r:.60} has operator {node.op}, which is not imported"
        )
    try:
        IMPORTERS[proto.op_type](Node(builder, proto))
    except (ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        text = f"node {Node(builder, proto).name!r:.60} ({proto.op_type}): {reason}"
        raise WeightsError(text) from error


def _name_outputs(builder: NetBuilder) -> set[str]:
    """Make each output of the model one of the net, with its name if that is free."""
    read = {bottom for layer in builder.net.layer for bottom in layer.bottom}
    outputs = set()
    for value in builder.model.outputs:
        blob = builder.blob(value)
        if blob in read or blob != value:
            top = builder.top(value)
            builder.layer("Power", f"{value}_output", [blob], [top])  # y = x
            blob = top
        outputs.add(blob)
    return outputs


def _check(builder: NetBuilder, source: str) -> None:
    """Build the net, and see that the weights fit."""
    with Net(builder.net, TEST, source=source) as net:
        for layer in builder.weights:
            got = [array.shape for array in layer.arrays]
            expected = [blob.shape for blob in net.params[layer.name]]
            if got != expected:
                raise WeightsError(
                    f"{source}: expected blobs {expected} for layer {layer.name!r}, got {got}"
                )
