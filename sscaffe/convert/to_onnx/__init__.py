"""A net with its weights as an ONNX model."""

import os
from typing import Any

from sscaffe.convert.onnx_library import import_onnx
from sscaffe.convert.to_onnx import plain, weighted, window
from sscaffe.convert.to_onnx.graph import EXPORTERS, Graph, Source
from sscaffe.errors import UnsupportedError, WeightsError
from sscaffe.files import write_atomically
from sscaffe.net import Net
from sscaffe.serialized import LARGEST_FILE

OPSET = 17
"""The version of ONNX's operators; ONNX Runtime has it since 1.12."""
_IR_VERSION = 8
_PASSES_ON = ("Dropout", "Split")

__all__ = ["EXPORTERS", "OPSET", "export", "plain", "weighted", "window", "write_onnx"]


def export(net: Net) -> Any:
    """Make an ONNX model of a net in TEST.

    Parameters
    ----------
    net : Net
        The net, for the shapes that its inputs have now. Its Input layers are the model's inputs.

    Returns
    -------
    onnx.ModelProto
        The model. Convolutions and inner products are dense in it, whatever their mode.

    Raises
    ------
    UnsupportedError
        If onnx is not installed, or a layer has no form in ONNX; the sentence names it.
    """
    onnx, graph = import_onnx(), Graph()
    values: dict[str, str] = {}  # the value that each blob is now
    last = {
        top: i
        for i, layer in enumerate(net.param.layer)
        for top in layer.top
        if layer.type not in _PASSES_ON
    }
    for i, source in enumerate(_sources(net)):
        param = source.param
        graph.layer = param.name
        if param.type == "Input":
            for name, shape in zip(param.top, source.tops, strict=True):
                values[name] = graph.fresh(name)
                graph.inputs.append(graph.declare(values[name], shape))
            continue
        source.values = [values[name] for name in param.bottom]
        first = len(graph.nodes)
        made = _exporter(source)(graph, source)
        for name, value in zip(param.top, made, strict=False):
            final = name if last.get(name) == i else f"{name}_{param.name}"
            values[name] = _named(graph, first, value, final)
    for name in net.outputs:
        final = _output(graph, name, values[name])
        graph.outputs.append(graph.declare(final, net.blobs[name].shape))
    graph.drop_unread()
    made_graph = onnx.helper.make_graph(
        graph.nodes, net.name or "net", graph.inputs, graph.outputs, graph.constants
    )
    opsets = [onnx.helper.make_opsetid("", OPSET)]
    model = onnx.helper.make_model(made_graph, opset_imports=opsets, producer_name="sscaffe")
    model.ir_version = _IR_VERSION
    return model


def _sources(net: Net) -> list[Source]:
    """Return the layers with their shapes and weights."""
    return [
        Source(
            layer,
            param,
            [],
            bottom,
            [blob.shape for blob in bottom],
            [blob.shape for blob in top],
            [blob.host_data for blob in layer.blobs],
        )
        for param, layer, bottom, top in zip(
            net.param.layer, net.layers, net.bottoms, net.tops, strict=True
        )
    ]


def _exporter(source: Source) -> Any:
    kind = source.param.type
    if kind not in EXPORTERS:
        hint = "; give a net for deployment" if source.layer.is_loss or kind == "Accuracy" else ""
        raise UnsupportedError(
            f"layer {source.param.name!r} has type {kind}, which is not exported to ONNX{hint}"
        )
    return EXPORTERS[kind]


def _named(graph: Graph, first: int, value: str, wanted: str) -> str:
    """Give a value that a layer made the name of its top; what it only passes on keeps its own."""
    if not any(value in node.output for node in graph.nodes[first:]):
        return value
    name = graph.fresh(wanted)
    graph.rename(first, value, name)
    return name


def _output(graph: Graph, name: str, value: str) -> str:
    """Return the value of an output, with the name of its blob if that is free."""
    if value == name and all(value != known.name for known in graph.inputs):
        return value
    # The blob is an input, a constant, or what a layer such as Dropout passes on.
    graph.layer = f"{name}_output"
    made = graph.add("Identity", [value])
    return _named(graph, len(graph.nodes) - 1, made, name)


def write_onnx(path: str | os.PathLike[str], net: Net) -> None:
    """Write a net in TEST to an ONNX file, its weights within.

    Raises
    ------
    UnsupportedError
        As `export`.
    WeightsError
        If it would have more than the 2 GiB of one file.
    SscaffeError
        If the file cannot be written.
    """
    model = export(net)
    if model.ByteSize() > LARGEST_FILE:
        raise WeightsError(f"{os.fspath(path)}: the model has more than 2^31 - 1 bytes")
    write_atomically(path, model.SerializeToString())
