"""From a NetParameter to layers that are set up and know their blobs."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from sscaffe import unsupported
from sscaffe.blob import Blob
from sscaffe.device import Device, cpu
from sscaffe.errors import PrototxtError, SscaffeError
from sscaffe.glog import logger
from sscaffe.layer import Layer
from sscaffe.layer_types import create_layer
from sscaffe.net import need_backward
from sscaffe.net.fused import expand
from sscaffe.net.host_layer import HostLayer, needs_host
from sscaffe.net.params import ParamTable
from sscaffe.net.rules import filter_net, is_included
from sscaffe.net.splits import insert_splits
from sscaffe.net.step import LossTop, Step, located
from sscaffe.proto import caffe_pb2
from sscaffe.random_numbers import RandomNumbers
from sscaffe.upgrade import upgrade_net

AUTOMATIC = "(automatic)"  # the name of tops that the prototxt leaves out


@dataclass
class Place:
    """What layers are created with."""

    device: Device
    rng: RandomNumbers
    root: str  # the folder that relative paths of data layers start from
    source: str  # the file, for errors
    allow_python: bool = False  # layers of type Python may run their code


@dataclass
class Graph:
    """The layers and blobs of a net."""

    param: caffe_pb2.NetParameter
    steps: list[Step] = field(default_factory=list)
    blob_names: list[str] = field(default_factory=list)
    blobs: list[Blob] = field(default_factory=list)
    params: ParamTable = field(default_factory=ParamTable)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)

    def close(self) -> None:
        """Let go of the layers' files and threads."""
        for step in self.steps:
            step.layer.close()


def prepare(param: caffe_pb2.NetParameter, state: caffe_pb2.NetState) -> caffe_pb2.NetParameter:
    """Return the net of one state: upgraded, layers chosen by rules, fused ones apart, splits.

    Parameters
    ----------
    param : NetParameter
        The net as written; it is not changed.
    state : NetState
        Phase, level and stages.

    Raises
    ------
    PrototxtError
        If its layers cannot be joined.
    UnsupportedError
        If a field of the net would change the result and cannot be obeyed.
    """
    unsupported.check(param, f"net {param.name!r}" if param.name else "the net")
    whole = upgrade_net(param)
    left_out = [layer for layer in whole.layer if not is_included(layer, state)]
    return insert_splits(expand(filter_net(whole, state)), left_out)


def build(param: caffe_pb2.NetParameter, place: Place) -> Graph:
    """Create and set up the layers of a prepared net.

    Parameters
    ----------
    param : NetParameter
        As `prepare` returns it; each layer is given the phase of the net.
    place : Place
        Device, random numbers and folders.

    Raises
    ------
    SscaffeError
        If a layer cannot be made; a note says which. Layers made before it are closed.
    """
    builder = _Builder(Graph(param), place)
    try:
        for layer_param in param.layer:
            builder.add(layer_param)
    except BaseException:
        builder.graph.close()
        raise
    return builder.finish()


class _Builder:
    def __init__(self, graph: Graph, place: Place) -> None:
        self.graph, self.place = graph, place
        self._ids: dict[str, int] = {}  # of the blobs, by name
        self._unread: set[str] = set()
        self._needs: list[bool] = []  # for each blob, whether something below it learns
        self._weighted: set[str] = set()  # layers with blobs

    def add(self, layer_param: caffe_pb2.LayerParameter) -> None:
        """Add one layer, whose bottoms are there already."""
        graph, place = self.graph, self.place
        if not layer_param.HasField("phase"):
            layer_param.phase = graph.param.state.phase
        bottom_ids = [self._ids[name] for name in layer_param.bottom]
        self._unread.difference_update(layer_param.bottom)
        shapes = [f"{n!r} {graph.blobs[self._ids[n]].shape}" for n in layer_param.bottom]
        with located(layer_param, place.source, shapes):
            _check_propagate_down(layer_param)
            layer = self._create(layer_param)
            top_ids = self._tops(layer)
            _check_counts(layer, len(bottom_ids), len(top_ids))
            _check_in_place(layer)
            step = Step(layer, bottom_ids, top_ids, graph.blob_names, graph.blobs)
            graph.steps.append(step)
            layer.setup(step.bottom, step.top)
            step.reshape()
            step.losses = _losses(step)
            self._check_name(layer)
            learns = graph.params.add_layer(layer, step.bottom)
            need_backward.mark_forward(step, learns, self._needs)
        _log(step, graph.blob_names)

    def _create(self, layer_param: caffe_pb2.LayerParameter) -> Layer:
        """Create a layer; one that computes on the host alone is made to copy its blobs."""
        place = self.place
        on_host = needs_host(layer_param.type, place.device)
        layer = create_layer(
            layer_param,
            layer_param.phase,
            device=cpu() if on_host else place.device,
            dtype=np.float32,
            rng=place.rng,
            root=place.root,
            allow_python=place.allow_python,
        )
        return HostLayer(layer, place.device) if on_host else layer

    def finish(self) -> Graph:
        """Settle what only the whole net tells."""
        graph = self.graph
        need_backward.mark_backward(graph.steps)
        if graph.param.force_backward:
            need_backward.force(graph.steps)
        _find_readers(graph.steps)
        graph.outputs = sorted(self._unread)
        return graph

    def _tops(self, layer: Layer) -> list[int]:
        layer_param = layer.layer_param
        ids = [self._top(layer_param, j) for j in range(len(layer_param.top))]
        if layer.type == "Input":
            self.graph.inputs.extend(layer_param.top)
        if layer.auto_top_blobs:
            for _ in range(max(layer.min_top, layer.num_top or 0) - len(ids)):
                ids.append(self._new_blob(AUTOMATIC))
        return ids

    def _top(self, layer_param: caffe_pb2.LayerParameter, j: int) -> int:
        name = layer_param.top[j]
        in_place = j < len(layer_param.bottom) and layer_param.bottom[j] == name
        if not in_place:
            if name in self._ids:
                raise PrototxtError(f"top: {name!r} is made twice; rename one of them")
            self._ids[name] = self._new_blob(name)
        self._unread.add(name)
        return self._ids[name]

    def _new_blob(self, name: str) -> int:
        self.graph.blob_names.append(name)
        self.graph.blobs.append(Blob((), np.float32, self.place.device))
        self._needs.append(False)
        return len(self.graph.blobs) - 1

    def _check_name(self, layer: Layer) -> None:
        if layer.blobs and layer.name in self._weighted:
            raise PrototxtError(
                f"name: an earlier layer with weights is named {layer.name!r} too; weights are "
                "found by name, so rename one of them"
            )
        if layer.blobs:
            self._weighted.add(layer.name)


def _check_propagate_down(layer_param: caffe_pb2.LayerParameter) -> None:
    got, wanted = len(layer_param.propagate_down), len(layer_param.bottom)
    if got not in (0, wanted):
        raise PrototxtError(f"propagate_down: expected none or {wanted}, one a bottom, got {got}")


def _check_counts(layer: Layer, bottoms: int, tops: int) -> None:
    _check_count(layer, "bottom", bottoms, layer.num_bottom, layer.min_bottom, layer.max_bottom)
    _check_count(layer, "top", tops, layer.num_top, layer.min_top, layer.max_top)
    if layer.same_number and bottoms != tops:
        raise PrototxtError(
            f"top: expected as many as there are bottoms of {layer.type}, {bottoms}, got {tops}"
        )


def _check_in_place(layer: Layer) -> None:
    both = [name for name in layer.layer_param.top if name in layer.layer_param.bottom]
    if both and not layer.may_run_in_place:
        raise PrototxtError(
            f"top: expected a name that is not a bottom's, got {both[0]!r}; layer {layer.name!r} "
            f"({layer.type}) cannot compute in place, so use another name"
        )


def _check_count(
    layer: Layer, name: str, got: int, exactly: int | None, least: int, most: int | None
) -> None:
    if exactly is not None and got != exactly:
        wanted = str(exactly)
    elif got < least:
        wanted = f"at least {least}"
    elif most is not None and got > most:
        wanted = f"at most {most}"
    else:
        return
    raise PrototxtError(f"{name}: expected {wanted} for a layer of type {layer.type}, got {got}")


def _losses(step: Step) -> list[LossTop]:
    """Return the tops that are part of the loss; write a weight that was left out as Caffe does."""
    weights = step.layer.layer_param.loss_weight
    given = len(weights)
    if not given and step.layer.is_loss:
        weights.append(1.0)
    if weights and len(weights) != len(step.top):
        hint = "" if given else "; write loss_weight: 1 loss_weight: 0"
        raise PrototxtError(
            f"loss_weight: expected one for each of the {len(step.top)} tops, got {given}{hint}"
        )
    pairs = zip(step.top, weights, strict=False)
    return [LossTop(blob, weight, blob in step.bottom) for blob, weight in pairs if weight]


def _find_readers(steps: list[Step]) -> None:
    """Note which parts of the loss get a diff from a later layer as well."""
    written: set[int] = set()
    for step in reversed(steps):
        for loss in step.losses:
            loss.has_reader = id(loss.blob) in written
        if step.needs_backward:
            pairs = zip(step.bottom, step.propagate_down, strict=True)
            written.update(id(blob) for blob, wanted in pairs if wanted)


def _log(step: Step, names: list[str]) -> None:
    layer = step.layer
    bottom = ", ".join(step.bottom_names)
    top = ", ".join(f"{names[i]} {b.shape}" for i, b in zip(step.top_ids, step.top, strict=True))
    loss = "".join(f", loss weight {part.weight:g}" for part in step.losses)
    logger.info("%s (%s): %s -> %s%s", layer.name, layer.type, bottom or "-", top or "-", loss)


def prepare_for(
    param: caffe_pb2.NetParameter, phase: int, level: int, stages: Sequence[str], source: str
) -> caffe_pb2.NetParameter:
    """Return what `prepare` does for a phase, and a level and stages beside those that it sets."""
    state = caffe_pb2.NetState()
    state.CopyFrom(param.state)
    state.MergeFrom(caffe_pb2.NetState(phase=caffe_pb2.Phase.Name(phase)))
    state.level = level or state.level
    state.stage.extend(stage for stage in stages if stage not in state.stage)
    try:
        return prepare(param, state)
    except SscaffeError as error:
        if source:
            error.add_note(f"  net:    {source}")
        raise
