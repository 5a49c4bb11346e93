"""pycaffe's ``caffe.draw``: a graph with nodes for layers and for blobs."""

import shutil
import tempfile
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from sscaffe.draw.graph import net_graph
from sscaffe.draw.picture import FORMATS, draw
from sscaffe.draw.words import window
from sscaffe.errors import SscaffeError, UnsupportedError
from sscaffe.files import write_atomically
from sscaffe.net.rules import filter_net
from sscaffe.proto import caffe_pb2
from sscaffe.upgrade import upgrade_net

LAYER_STYLE_DEFAULT = {"shape": "record", "fillcolor": "#6495ED", "style": "filled"}
NEURON_LAYER_STYLE = {"shape": "record", "fillcolor": "#90EE90", "style": "filled"}
BLOB_STYLE = {"shape": "octagon", "fillcolor": "#E0E0E0", "style": "filled"}

_COLOURS = {
    "Convolution": "#FF5050",
    "Deconvolution": "#FF5050",
    "Pooling": "#FF9900",
    "InnerProduct": "#CC33FF",
}
_CONVOLUTIONS = ("Convolution", "Deconvolution")
_WITH_RATES = (*_CONVOLUTIONS, "InnerProduct")
_NO_LABEL = '""'


class RatesError(SscaffeError, ValueError):
    """A layer without learning rates was asked for them."""


def get_pooling_types_dict() -> dict[int, str]:
    """Return the names of the ways to pool, by number."""
    return {number: name for name, number in caffe_pb2.PoolingParameter.PoolMethod.items()}


def get_edge_label(layer: caffe_pb2.LayerParameter) -> str:
    """Return what the arrow to a layer's top says: the batch or the number of outputs."""
    if layer.type == "Data":
        return f"Batch {layer.data_param.batch_size}"
    if layer.type in _CONVOLUTIONS:
        return str(layer.convolution_param.num_output)
    if layer.type == "InnerProduct":
        return str(layer.inner_product_param.num_output)
    return _NO_LABEL


def get_layer_lr_mult(layer: caffe_pb2.LayerParameter) -> tuple[float, float]:
    """Return the learning-rate multipliers of the weights and the bias of a layer.

    Raises
    ------
    RatesError
        If it is no convolution and no inner product.
    """
    if layer.type not in _WITH_RATES:
        raise RatesError(
            f"{layer.name}: {layer.type} layers do not have a learning rate multiplier"
        )
    rates = [param.lr_mult for param in layer.param[:2]]
    weights, bias = [*rates, 1.0, 1.0][:2]
    return weights, bias


def get_layer_label(
    layer: caffe_pb2.LayerParameter, rankdir: str, display_lrm: bool = False
) -> str:
    """Return what the node of a layer says, in quotation marks.

    Parameters
    ----------
    layer : LayerParameter
        The layer.
    rankdir : str
        The direction of the graph; in TB and BT everything is on one line.
    display_lrm : bool
        Show learning-rate multipliers.
    """
    separator = " " if rankdir in ("TB", "BT") else "\\n"
    kind = layer.type
    if kind == "Pooling":
        kind = f"Pooling {get_pooling_types_dict()[layer.pooling_param.pool]}"
    words = [layer.name, f"({kind})"]
    if layer.type in (*_CONVOLUTIONS, "Pooling"):
        pools = layer.type == "Pooling"
        param = layer.pooling_param if pools else layer.convolution_param
        words.append(f"kernel size: {window(param, 'kernel', 1)}")
        words.append(f"stride: {window(param, 'stride', 1)}")
        words.append(f"pad: {window(param, 'pad', 0)}")
    if display_lrm and layer.type in _WITH_RATES:
        weights, bias = get_layer_lr_mult(layer)
        words.append(f"lr mult: {weights}, {bias}")
    return f'"{separator.join(words)}"'


def choose_color_by_layertype(layertype: str) -> str:
    """Return the colour of the node of a layer of this type, such as ``#FF5050``."""
    return _COLOURS.get(layertype, LAYER_STYLE_DEFAULT["fillcolor"])


def get_pydot_graph(
    caffe_net: caffe_pb2.NetParameter,
    rankdir: str,
    label_edges: bool = True,
    phase: int | None = None,
    display_lrm: bool = False,
) -> Any:
    """Return a net as a graph of pydot: nodes for layers and for blobs.

    Parameters
    ----------
    caffe_net : NetParameter
        The net as written.
    rankdir : str
        TB, BT, LR or RL: from the top to the bottom, and so on.
    label_edges : bool
        Show numbers of outputs.
    phase : int, optional
        Leave out layers that are not for this phase, TRAIN or TEST.
    display_lrm : bool
        Show learning-rate multipliers.

    Returns
    -------
    pydot.Dot

    Raises
    ------
    UnsupportedError
        If pydot is not installed; `draw_net_to_file` and ``sscaffe draw`` do without.
    PrototxtError
        If the rules of a layer contradict each other.
    """
    pydot = _pydot()
    if pydot is None:
        raise UnsupportedError(
            "get_pydot_graph: needs pydot: pip install pydot; draw_net_to_file does without"
        )
    net = upgrade_net(caffe_net)
    if phase is not None:
        net = filter_net(net, caffe_pb2.NetState(phase=caffe_pb2.Phase.Name(phase)))
    graph = pydot.Dot(net.name if net.name else "Net", graph_type="digraph", rankdir=rankdir)
    layers, blobs, edges = [], dict[str, Any](), []
    for layer in net.layer:
        in_place = list(layer.bottom) == list(layer.top) and len(layer.top) == 1
        style = NEURON_LAYER_STYLE if in_place else dict(LAYER_STYLE_DEFAULT)
        if not in_place:
            style["fillcolor"] = choose_color_by_layertype(layer.type)
        node = pydot.Node(get_layer_label(layer, rankdir, display_lrm), **style)
        layers.append(node)
        for name in (*layer.bottom, *layer.top):
            # Graphviz would take a colon for the start of a port.
            blobs.setdefault(name, pydot.Node(f'"{name}"', **BLOB_STYLE))
        edges += [pydot.Edge(blobs[name], node, label=_NO_LABEL) for name in layer.bottom]
        label = get_edge_label(layer) if label_edges else _NO_LABEL
        edges += [pydot.Edge(node, blobs[name], label=label) for name in layer.top]
    for node in (*layers, *blobs.values()):
        graph.add_node(node)
    for edge in edges:
        graph.add_edge(edge)
    return graph


def draw_net(
    caffe_net: caffe_pb2.NetParameter,
    rankdir: str,
    ext: str = "png",
    phase: int | None = None,
    display_lrm: bool = False,
) -> bytes:
    """Return a picture of a net as the content of an image file.

    Parameters
    ----------
    caffe_net : NetParameter
        The net as written.
    rankdir : str
        TB, BT, LR or RL: from the top to the bottom, and so on.
    ext : str
        png, svg, pdf or dot; where pydot and Graphviz are installed, whatever they can write.
    phase : int, optional
        Leave out layers that are not for this phase, TRAIN or TEST.
    display_lrm : bool
        Show learning-rate multipliers.

    Raises
    ------
    UnsupportedError
        If there is neither pydot with Graphviz nor matplotlib, or the format is another one.
    PrototxtError
        If the rules of a layer contradict each other.
    """
    if _pydot() is not None and shutil.which("dot"):
        whole = get_pydot_graph(caffe_net, rankdir, phase=phase, display_lrm=display_lrm)
        content: bytes = whole.create(format=ext)
        return content
    if ext not in FORMATS:
        raise UnsupportedError(
            f"ext: expected {', '.join(FORMATS)}, got {ext!r}; others need pydot and Graphviz"
        )
    state = None if phase is None else caffe_pb2.NetState(phase=caffe_pb2.Phase.Name(phase))
    graph = net_graph(caffe_net, state, show_rates=display_lrm)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"net.{ext}")
        draw(graph, path, rankdir)
        return path.read_bytes()


def draw_net_to_file(
    caffe_net: caffe_pb2.NetParameter,
    filename: str,
    rankdir: str = "LR",
    phase: int | None = None,
    display_lrm: bool = False,
) -> None:
    """Draw a net to an image file.

    Parameters
    ----------
    caffe_net : NetParameter
        The net as written.
    filename : str
        The file, whose ending tells the format, as `ext` of `draw_net`.
    rankdir, phase, display_lrm
        As for `draw_net`.

    Raises
    ------
    UnsupportedError
        As `draw_net`.
    SscaffeError
        If the file cannot be written.
    """
    ext = Path(filename).suffix.removeprefix(".").lower()
    write_atomically(filename, draw_net(caffe_net, rankdir, ext, phase, display_lrm))


def _pydot() -> ModuleType | None:
    try:
        return import_module("pydot")
    except ImportError:
        return None
