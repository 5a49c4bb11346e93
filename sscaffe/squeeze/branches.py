"""Whole branches that always add the same, and layers that nobody reads any more."""

import numpy as np

from sscaffe.proto import caffe_pb2
from sscaffe.squeeze.graph import Array, Graph, Node, Value
from sscaffe.squeeze.rewrite import Blobs


def drop_branches(
    param: caffe_pb2.NetParameter, graph: Graph, blobs: Blobs, copies: set[str]
) -> tuple[caffe_pb2.NetParameter, Blobs]:
    """Take constant bottoms out of sums, and then the layers that made them.

    A sum of one bottom that is left is a Bias or Scale layer of the same name where a constant or
    a factor remains, else nothing: the bottom gets the name of the sum, or is copied to it.

    Parameters
    ----------
    param, graph, blobs
        The net.
    copies : set of str
        The layers that only copy, and were made here; changed by this.

    Returns
    -------
    NetParameter, Blobs
        The net and its weights; those given where there is no such bottom.
    """
    small, arrays = caffe_pb2.NetParameter(), dict(blobs)
    small.CopyFrom(param)
    changed = False
    names: dict[int, str] = {}  # new ones of values, by id
    for node, layer in zip(graph.nodes, small.layer, strict=True):
        constant = _constant_bottoms(node)
        if layer.name in copies and _rename(node.bottoms[0], layer.top[0], graph, names):
            # Only the branch that is gone kept it from having the name.
            changed, layer.type = True, ""
            copies.remove(layer.name)
        elif constant:
            changed = True
            _drop_bottoms(node, layer, constant, graph, arrays, names, copies)
    if not changed:
        return param, blobs
    for node, layer in zip(graph.nodes, small.layer, strict=True):
        for values, fields in ((node.bottoms, layer.bottom), (node.tops, layer.top)):
            for value in values:
                for i, field in enumerate(fields):
                    if id(value) in names and field == value.name:
                        fields[i] = names[id(value)]
    return _without_unread(small, arrays, graph)


def _rename(value: Value, name: str, graph: Graph, names: dict[int, str]) -> bool:
    """Give a value another name, from the layer on that made it, through those that run in place.

    False, and nothing is done, if somebody else reads it, or no layer computes it, or the name is
    taken.
    """
    chain = [value]
    while True:
        maker = next((node for node in graph.nodes if _has(node.tops, chain[-1])), None)
        if maker is None or not maker.bottoms or len(graph.readers(chain[-1])) != 1:
            return False
        before = [bottom for bottom in maker.bottoms if bottom.name == value.name]
        if not before:
            break
        chain.append(before[0])
    first = graph.nodes.index(maker)
    last = next(i for i, node in enumerate(graph.nodes) if _has(node.bottoms, value))
    if any(top.name == name for node in graph.nodes[first:last] for top in node.tops):
        return False
    if any(b.name == name for node in graph.nodes[first : last + 1] for b in node.bottoms):
        return False
    names.update({id(one): name for one in chain})
    return True


def _has(values: list[Value], value: Value) -> bool:
    return any(one is value for one in values)


def _constant_bottoms(node: Node) -> list[int]:
    """Return which bottoms of a sum, not all, can go as they hold the same always."""
    if node.kind != "sum" or node.param.eltwise_param.operation != node.param.eltwise_param.SUM:
        return []
    found = [i for i, b in enumerate(node.bottoms) if not np.isnan(b.constant).any()]
    if len(node.bottoms) - len(found) > 1:  # The sum stays, and adds what is not 0.
        return [i for i in found if not node.bottoms[i].constant.any()]
    return found if len(found) < len(node.bottoms) else []


def _drop_bottoms(
    node: Node,
    layer: caffe_pb2.LayerParameter,
    constant: list[int],
    graph: Graph,
    arrays: Blobs,
    names: dict[int, str],
    copies: set[str],
) -> None:
    coefficients = list(layer.eltwise_param.coeff) or [1.0] * len(node.bottoms)
    summand = np.sum([coefficients[i] * node.bottoms[i].constant for i in constant], axis=0)
    kept = [i for i in range(len(node.bottoms)) if i not in constant]
    wanted = [layer.bottom[i] for i in kept]
    del layer.bottom[:]
    layer.bottom.extend(wanted)
    if len(kept) > 1:
        if layer.eltwise_param.coeff:
            del layer.eltwise_param.coeff[:]
            layer.eltwise_param.coeff.extend(coefficients[i] for i in kept)
        return
    left, factor = node.bottoms[kept[0]], coefficients[kept[0]]
    if factor == 1 and not summand.any() and _rename(left, layer.top[0], graph, names):
        layer.type = ""  # gone: what it read has its name
        return
    _become_affine(layer, arrays, factor, summand)
    if layer.type == "Power":
        copies.add(layer.name)


def _become_affine(
    layer: caffe_pb2.LayerParameter, arrays: Blobs, factor: float, summand: Array
) -> None:
    """Make a layer add a constant to each channel, or do nothing but copy."""
    layer.ClearField("eltwise_param")
    if factor == 1 and not summand.any():
        layer.type = "Power"  # of 1: a copy
    elif factor == 1:
        layer.type = "Bias"
        arrays[layer.name] = [summand.astype(np.float32)]
    else:
        layer.type = "Scale"
        layer.scale_param.bias_term = True
        factors = np.full(len(summand), factor, np.float32)
        arrays[layer.name] = [factors, summand.astype(np.float32)]


def _without_unread(
    param: caffe_pb2.NetParameter, arrays: Blobs, graph: Graph
) -> tuple[caffe_pb2.NetParameter, Blobs]:
    """Drop layers all of whose tops were read once and are not any more."""
    read_before = {id(value) for node in graph.nodes for value in node.bottoms}
    was_read = [bool(n.tops) and all(id(v) in read_before for v in n.tops) for n in graph.nodes]
    layers = [
        (layer, read) for layer, read in zip(param.layer, was_read, strict=True) if layer.type
    ]
    while True:
        kept = [pair for i, pair in enumerate(layers) if not (pair[1] and _is_unread(layers, i))]
        if len(kept) == len(layers):
            break
        layers = kept
    small = caffe_pb2.NetParameter()
    small.CopyFrom(param)
    del small.layer[:]
    small.layer.extend(layer for layer, _ in layers)
    names = {layer.name for layer, _ in layers}
    unread = [
        top
        for i, (layer, was_read) in enumerate(layers)
        if was_read and not layer.bottom
        for top in layer.top
        if not _reads_later(layers, i, top)
    ]
    if unread:  # else they would be outputs
        small.layer.add(name=f"{layers[0][0].name}_silence", type="Silence", bottom=unread)
    return small, {name: blobs for name, blobs in arrays.items() if name in names}


def _is_unread(layers: list[tuple[caffe_pb2.LayerParameter, bool]], place: int) -> bool:
    """Tell whether nobody reads what a layer makes; data layers stay."""
    layer = layers[place][0]
    return bool(layer.bottom) and not any(_reads_later(layers, place, top) for top in layer.top)


def _reads_later(
    layers: list[tuple[caffe_pb2.LayerParameter, bool]], place: int, blob: str
) -> bool:
    """Tell whether a layer after this one reads a blob before another one sets it."""
    for later, _ in layers[place + 1 :]:
        if blob in later.bottom:
            return True
        if blob in later.top:
            return False
    return False
