"""Making a net physically smaller, so that any Caffe can load it.

Filters whose output is zero, or always the same, go with the input channels that they fed, as do
filters that nobody reads, and residual branches that add nothing. What they still emitted is added
to the next biases where that is exact.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sscaffe.errors import PrototxtError, WeightsError
from sscaffe.glog import logger
from sscaffe.layer import TEST
from sscaffe.net import Net
from sscaffe.net.fused import expand
from sscaffe.net.rules import test_state
from sscaffe.packed import is_packed
from sscaffe.proto import caffe_pb2
from sscaffe.prototxt import write_text
from sscaffe.serialized import (
    blobproto_to_array,
    fill_blobproto,
    is_hdf5,
    read_binary,
    write_binary,
)
from sscaffe.squeeze.branches import drop_branches
from sscaffe.squeeze.build import Shapes, build
from sscaffe.squeeze.choose import choose
from sscaffe.squeeze.graph import Array, Graph, Value
from sscaffe.squeeze.rewrite import Blobs, rewrite
from sscaffe.squeeze.weights import Dense
from sscaffe.timing.inputs import ImageShape, stand_in_for_missing_data
from sscaffe.upgrade import upgrade_net

PathLike = str | os.PathLike[str]
Weights = PathLike | Sequence[PathLike] | Mapping[str, Sequence[Array]]


@dataclass
class LayerChange:
    """What became of a layer with weights.

    Attributes
    ----------
    name, type : str
        The layer.
    before, after : tuple of int
        The shape of its weights; `after` is empty if the layer is gone.
    kept : dict of str to int
        How many filters are zero, or emit always the same, and are there all the same: by the
        reason.
    """

    name: str
    type: str
    before: tuple[int, ...]
    after: tuple[int, ...] = ()
    kept: dict[str, int] = field(default_factory=dict)


@dataclass
class Squeezed:
    """A smaller net.

    Attributes
    ----------
    net : NetParameter
        The net, with the layers of all phases, in the newest format.
    weights : dict of str to list of ndarray
        The blobs of each layer.
    changes : list of LayerChange
        What became of each convolution, deconvolution and inner product.
    removed : list of str
        The layers that are gone.
    """

    net: caffe_pb2.NetParameter
    weights: Blobs
    changes: list[LayerChange]
    removed: list[str]

    def caffemodel(self) -> caffe_pb2.NetParameter:
        """Return the weights as a caffemodel's message."""
        model = caffe_pb2.NetParameter(name=self.net.name)
        types = {layer.name: layer.type for layer in self.net.layer}
        for name, blobs in self.weights.items():
            layer = model.layer.add(name=name, type=types[name])
            for blob in blobs:
                fill_blobproto(layer.blobs.add(), np.asarray(blob, np.float32, order="C"))
        return model

    def save(self, net_path: PathLike, weights_path: PathLike) -> None:
        """Write the net as a prototxt, and the weights as a caffemodel.

        Raises
        ------
        SscaffeError
            If a file cannot be written.
        """
        write_binary(weights_path, self.caffemodel())
        write_text(net_path, self.net)


def squeeze(
    net: caffe_pb2.NetParameter,
    weights: Weights,
    *,
    image_shape: ImageShape | None = None,
    root: str = "",
    source: str = "",
) -> Squeezed:
    """Make a net smaller without a change of what it computes in TEST.

    Parameters
    ----------
    net : NetParameter
        The net as written, for deployment or for training; it is left as it is.
    weights : path-like or several, or mapping of str to sequence of ndarray
        Caffemodels, or the blobs of each layer.
    image_shape : (int, int, int), optional
        Channels, height and width of the images, where a database is not there and the net does
        not tell.
    root : str
        The folder that relative paths start from.
    source : str
        The net's file, for errors.

    Returns
    -------
    Squeezed
        The smaller net. In TRAIN, where BatchNorm takes its statistics from the batch, channels
        that emit a constant in TEST need not be constant, so that it may compute something else.

    Raises
    ------
    SscaffeError
        If the net cannot be built or does not fit the weights.
    """
    param = expand(upgrade_net(net))
    blobs, shapes = _look(param, weights, image_shape, root, source)
    original, before = param, dict(blobs)
    copies: set[str] = set()
    while True:
        graph = build(param, blobs, shapes)
        smaller, blobs = drop_branches(param, graph, blobs, copies)
        if smaller is not param:
            param = smaller
            continue
        choice = choose(graph)
        if not choice.gone[_flowing(graph)].any():
            break
        param, blobs = rewrite(param, graph, choice)
    names = {layer.name for layer in param.layer}
    removed = [layer.name for layer in original.layer if layer.name not in names]
    changes = _changes(original, before, graph, choice.reasons)
    return Squeezed(param, blobs, changes, removed)


def _look(
    param: caffe_pb2.NetParameter,
    weights: Weights,
    image_shape: ImageShape | None,
    root: str,
    source: str,
) -> tuple[Blobs, Shapes]:
    """Return the weights, and the shapes of the tops in TEST."""
    state = test_state(param)
    stand_in = stand_in_for_missing_data(param, image_shape, root, state)
    paths = None if isinstance(weights, Mapping) else weights
    with Net(stand_in, TEST, weights=paths, root=root, source=source) as built:
        if isinstance(weights, Mapping):
            if lacking := built.params.keys() - weights.keys():
                raise WeightsError(f"weights: expected those of {sorted(lacking)} too")
            for name, arrays in weights.items():
                for blob, array in zip(built.params.get(name, ()), arrays, strict=False):
                    blob.set_data(np.asarray(array).reshape(blob.shape))
        blobs = {
            name: [blob.host_data.copy() for blob in found] for name, found in built.params.items()
        }
        shapes = _shapes(built)
    return {**_of_train(param, weights, shapes), **blobs}, shapes


def _shapes(net: Net) -> Shapes:
    """Return the shapes of the tops of each layer; refuse a name that stands for two things."""
    shapes: dict[str, list[tuple[int, ...]]] = {}
    for layer, tops in zip(net.layers, net.tops, strict=True):
        found = [top.shape for top in tops]
        is_other = layer.name in net.params and not layer.blobs
        if is_other or shapes.setdefault(layer.name, found) != found:
            raise PrototxtError(
                f"name: expected one layer for each, got two that are named {layer.name!r} and "
                "differ; rename one of them"
            )
    return shapes


def _of_train(param: caffe_pb2.NetParameter, weights: Weights, shapes: Shapes) -> Blobs:
    """Return the weights of layers that only TRAIN has, which stay as they are."""
    wanted = {layer.name for layer in param.layer} - shapes.keys()
    if isinstance(weights, Mapping):
        return {name: list(weights[name]) for name in wanted & weights.keys()}
    found: Blobs = {}
    for path in [weights] if isinstance(weights, str | os.PathLike) else weights:
        if is_hdf5(path) or is_packed(path):
            logger.warning("%s: weights of layers for TRAIN alone are not copied", path)
            continue
        for layer in upgrade_net(read_binary(path, caffe_pb2.NetParameter)).layer:
            if layer.name in wanted and layer.blobs:
                found[layer.name] = [blobproto_to_array(blob) for blob in layer.blobs]
    return found


def _flowing(graph: Graph) -> Array:
    """Return the identities that some layer still reads or makes."""
    found = [value.channels for node in graph.nodes for value in node.tops]
    return np.unique(np.concatenate(found)) if found else np.zeros(0, int)


def _changes(
    original: caffe_pb2.NetParameter, before: Blobs, graph: Graph, reasons: Mapping[int, str]
) -> list[LayerChange]:
    nodes = {node.param.name: node for node in graph.nodes if node.kind != "twin"}
    changes = []
    for layer in {layer.name: layer for layer in original.layer}.values():
        if layer.name not in before or before[layer.name][0].ndim < 2:
            continue
        change = LayerChange(layer.name, layer.type, before[layer.name][0].shape)
        node = nodes.get(layer.name)
        if node is not None and node.blobs:
            change.after = node.blobs[0].shape
        if node is not None and node.kind == "dense":
            top = node.tops[0]
            zero = ~Dense(node).active(node.bottoms[0]).any(1)
            for channel in top.channels[zero | _ends_constant(graph, top)]:
                reason = reasons.get(int(channel)) or "it is needed"
                change.kept[reason] = change.kept.get(reason, 0) + 1
        changes.append(change)
    return changes


def _ends_constant(graph: Graph, value: Value) -> Array:
    """Tell which channels are constant, or are made so by the layers that alone read them."""
    constant = ~np.isnan(value.constant)
    while len(readers := graph.readers(value)) == 1 and readers[0][0].kind == "each":
        value = readers[0][0].tops[0]
        constant = constant | ~np.isnan(value.constant)
    return constant


__all__ = ["LayerChange", "Squeezed", "squeeze"]
