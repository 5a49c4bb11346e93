"""Group lassos, and what keeps their zeros, written into the layers of a net."""

from collections.abc import Iterable, Mapping

from sscaffe.glog import logger
from sscaffe.proto import caffe_pb2

Factors = Mapping[str, float]
"""Kinds of group lasso, such as FILTER, and the factor of each on block_group_decay."""

_Net = caffe_pb2.NetParameter
_Layer = caffe_pb2.LayerParameter
_Spec = caffe_pb2.BlockGroupLassoSpec

# The factors of Scale decide; convolutions follow, as nothing holds them once their factors are 0.
_OF_SCALED_CONVOLUTION, _OF_SCALE = 0.3, 1.0


def depth_groups(net: _Net, names: Iterable[str]) -> dict[str, dict[str, float]]:
    """Return the group lassos by which whole layers go.

    Behind BatchNorm a group lasso on weights hardly bites: BatchNorm makes up for weights that
    shrink, and their gradient grows meanwhile. Nothing makes up for the factors of the Scale layer
    that comes next, so that these are a group as well.

    Parameters
    ----------
    net : NetParameter
        The net.
    names : iterable of str
        The layers that may go.

    Returns
    -------
    dict of str to Factors
        For each of them, and for each Scale layer that `scale_behind` finds.
    """
    groups: dict[str, dict[str, float]] = {}
    for name in names:
        normalized, scale = _what_follows(net, name)
        groups[name] = {"DEPTH": _OF_SCALED_CONVOLUTION if scale else 1.0}
        if scale:
            groups[scale] = {"DEPTH": _OF_SCALE}
        elif normalized:
            logger.warning(
                "%s: BatchNorm makes up for weights that shrink, and no Scale layer of its own "
                "follows; a depth group there hardly does anything",
                name,
            )
    return groups


def scale_behind(net: _Net, name: str) -> str:
    """Return the Scale layer that alone follows a layer and its BatchNorm; else nothing."""
    return _what_follows(net, name)[1]


def add_groups(net: _Net, groups: Mapping[str, Factors]) -> None:
    """Write group lassos into layers of a net, in place of those there and of weight decay."""
    for layer in net.layer:
        if layer.name not in groups:
            continue
        spec = layer.param[0] if layer.param else layer.param.add()
        spec.decay_mult = 0
        del spec.block_group_lasso[:]
        for kind, factor in groups[layer.name].items():
            lasso = spec.block_group_lasso.add(group=_Spec.GroupKind.Value(kind))
            if factor != 1:
                lasso.block_decay_mult = factor


def freeze(net: _Net, names: Iterable[str], mode: str) -> None:
    """Write a connectivity_mode into layers of a net, in place of group lassos."""
    wanted = set(names)
    for layer in net.layer:
        if layer.name in wanted:
            # protobuf's stubs make an int of what Value returns, and want the enum's own type.
            layer.connectivity_mode = _Layer.ConnectivityMode.Value(mode)  # type: ignore[assignment]
            for spec in layer.param:
                del spec.block_group_lasso[:]


def _what_follows(net: _Net, name: str) -> tuple[bool, str]:
    """Return whether BatchNorm follows a layer, and the Scale layer behind it if there is one."""
    place = max((i for i, layer in enumerate(net.layer) if layer.name == name), default=0)
    blob, normalized = net.layer[place].top[0], False
    while readers := _readers(net, place, blob):
        first = net.layer[readers[0]]
        if normalized and len(readers) == 1 and first.type == "Scale" and len(first.bottom) == 1:
            return True, first.name
        # Each phase may have a BatchNorm of its own.
        if any(
            (net.layer[i].type, *net.layer[i].top[:1]) != ("BatchNorm", first.top[0])
            for i in readers
        ):
            break
        place, blob, normalized = readers[-1], first.top[0], True
    return normalized, ""


def _readers(net: _Net, place: int, blob: str) -> list[int]:
    """Return which layers read what a layer writes, until another one writes it."""
    found = []
    for i, layer in enumerate(net.layer[place + 1 :], place + 1):
        if blob in layer.bottom:
            found.append(i)
        if blob in layer.top:
            break
    return found
