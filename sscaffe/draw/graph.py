"""From a net to boxes and arrows."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sscaffe.blob import Array
from sscaffe.draw.words import describe, rates
from sscaffe.net.rules import filter_net
from sscaffe.proto import caffe_pb2
from sscaffe.sparsity import percentages
from sscaffe.upgrade import upgrade_net

_PARTS = {  # what a type is a part of, for its colour
    "data": ("Data", "Input", "Parameter"),
    "convolution": ("Convolution", "Deconvolution", "DepthwiseConvolution"),
    "product": ("InnerProduct", "Embed", "LSTM", "RNN", "LSTMUnit"),
    "pooling": ("Pooling", "SPP", "ROIPooling", "PSROIPooling"),
    "normalization": ("LRN", "BatchNorm", "Scale", "Bias", "MVN", "Normalize"),
    "result": ("Accuracy", "Loss", "Softmax", "DetectionOutput", "Silence", "ArgMax"),
}


@dataclass
class Box:
    """A layer, with the layers that work in place on its top.

    Attributes
    ----------
    name, type : str
        Of the layer.
    part : str
        What it is a part of: ``data``, ``convolution`` ... or ``other``.
    lines : list of str
        Its sizes, its learning rates, its zeros.
    in_place : list of str
        ``ReLU relu1`` and so on.
    zeros : float, optional
        Per cent of its weights that are zero.
    """

    name: str
    type: str
    part: str
    lines: list[str] = field(default_factory=list)
    in_place: list[str] = field(default_factory=list)
    zeros: float | None = None


@dataclass(frozen=True)
class Edge:
    """A blob on its way from one box to another.

    Attributes
    ----------
    source, target : int
        The numbers of the boxes.
    blob : str
        Its name.
    """

    source: int
    target: int
    blob: str


@dataclass
class NetGraph:
    """Boxes and what flows between them.

    Attributes
    ----------
    name : str
        The net's.
    boxes : list of Box
        In the order of the layers.
    edges : list of Edge
        Each from an earlier box to a later one.
    has_weights : bool
        Whether `zeros` of the boxes were looked up.
    """

    name: str
    boxes: list[Box] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    has_weights: bool = False


def net_graph(
    param: caffe_pb2.NetParameter,
    state: caffe_pb2.NetState | None = None,
    weights: Mapping[str, Array] | None = None,
    *,
    show_rates: bool = False,
) -> NetGraph:
    """Return the graph of a net.

    Parameters
    ----------
    param : NetParameter
        The net as written.
    state : NetState, optional
        Leave out layers that are not for this phase, level and stages; all are there by default.
    weights : mapping of str to ndarray, optional
        The weights of each layer that has some, of two or more axes.
    show_rates : bool
        Show the learning rates and decays of parameters.

    Raises
    ------
    PrototxtError
        If the rules of a layer contradict each other.
    """
    whole = upgrade_net(param)
    net = whole if state is None else filter_net(whole, state)
    graph = NetGraph(param.name, has_weights=weights is not None)
    makers: dict[str, list[int]] = {}  # the boxes that make each blob: one in each phase
    phases: list[set[int]] = []  # of each box
    for layer in net.layer:
        own = _phases(layer)
        sources = {
            name: [number for number in makers.get(name, []) if phases[number] & own]
            for name in layer.bottom
        }
        made_by = [number for numbers in sources.values() for number in numbers]
        if list(layer.bottom) == list(layer.top) and len(layer.top) == 1 and len(made_by) == 1:
            words = [layer.type, layer.name, *describe(layer)]
            graph.boxes[made_by[0]].in_place.append(" ".join(words))
            continue
        number = len(graph.boxes)
        graph.boxes.append(_box(layer, weights or {}, show_rates=show_rates))
        phases.append(own)
        for name, numbers in sources.items():
            graph.edges += [Edge(source, number, name) for source in numbers]
        for name in layer.top:
            others = [maker for maker in makers.get(name, []) if not phases[maker] & own]
            makers[name] = [*others, number]
    return graph


def _phases(layer: caffe_pb2.LayerParameter) -> set[int]:
    """Return the phases that the rules of a layer allow it in."""
    every: set[int] = {caffe_pb2.TRAIN, caffe_pb2.TEST}
    if layer.include:
        named = [{rule.phase} if rule.HasField("phase") else every for rule in layer.include]
        return set[int]().union(*named)
    plain = (rule for rule in layer.exclude if [f.name for f, _ in rule.ListFields()] == ["phase"])
    return every - {rule.phase for rule in plain}


def _box(layer: caffe_pb2.LayerParameter, weights: Mapping[str, Array], *, show_rates: bool) -> Box:
    part = next((p for p, ends in _PARTS.items() if layer.type.endswith(ends)), "other")
    box = Box(layer.name, layer.type, part, describe(layer))
    if show_rates:
        box.lines += rates(layer)
    array = weights.get(layer.name)
    if array is not None and array.size:
        matrix = array.reshape(len(array), -1)
        share = percentages(matrix)
        box.zeros = share["element"]
        box.lines.append(f"{matrix.shape[0]} x {matrix.shape[1]}: {share['element']:.1f} % zero")
        if share["row"] or share["column"]:
            box.lines.append(f"rows {share['row']:.0f} %, columns {share['column']:.0f} %")
    return box
