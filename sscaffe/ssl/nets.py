"""The net of SSL and that of fine-tuning, made of the net to begin with."""

import difflib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from sscaffe.errors import PrototxtError
from sscaffe.glog import logger
from sscaffe.proto import caffe_pb2
from sscaffe.solver.connectivity import LAYER_TYPES

_Net = caffe_pb2.NetParameter
_Layer = caffe_pb2.LayerParameter

KINDS = ("filter", "channel", "shape", "depth", "filter2d")
"""The groups of Wen et al., NIPS 2016."""

Groups = Mapping[str, Sequence[str]]
"""The kinds of groups of each layer, by its name."""


def choose_groups(net: _Net, kinds: Sequence[str], patterns: Sequence[str] = ()) -> Groups:
    """Choose which layers get which kinds of groups.

    Parameters
    ----------
    net : NetParameter
        The net, in the form of today.
    kinds : sequence of str
        Some of `KINDS`.
    patterns : sequence of str
        Names of layers, with ``*`` and ``?`` as in a shell. By default all convolutions; in a net
        that has none, all inner products.

    Returns
    -------
    dict of str to list of str
        Layers in the order of the net. What comes last before an output keeps its filters, which
        are the classes; a layer that every way through the net passes is no group of its own.

    Raises
    ------
    PrototxtError
        If there is no such kind or layer, or nothing is left.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise PrototxtError(f"ssl: expected some of {', '.join(KINDS)}, got {kind!r}")
    chosen: dict[str, list[str]] = {}
    for name in _named(net, patterns):
        kept = [kind for kind in kinds if _suits(net, name, kind)]
        if kept:
            chosen[name] = kept
    if not chosen:
        raise PrototxtError(
            f"ssl: {', '.join(kinds)} suits none of the layers; choose others by --layers"
        )
    return chosen


def ssl_net(net: _Net, groups: Groups) -> _Net:
    """Return the net with a group lasso for each of the groups, in place of weight decay."""
    made = _Net()
    made.CopyFrom(net)
    made.name = f"{net.name} SSL".strip()
    for layer in made.layer:
        if layer.name not in groups:
            continue
        spec = layer.param[0] if layer.param else layer.param.add()
        spec.decay_mult = 0
        del spec.block_group_lasso[:]
        for kind in groups[layer.name]:
            spec.block_group_lasso.add(group=kind.upper())
    return made


def finetune_net(net: _Net, groups: Groups) -> _Net:
    """Return the net in which rows and columns of zeros stay as they are."""
    made = _Net()
    made.CopyFrom(net)
    made.name = f"{net.name} fine-tuned".strip()
    for layer in made.layer:
        if layer.name in groups:
            layer.connectivity_mode = _Layer.DISCONNECTED_GRPWISE
            for spec in layer.param:
                del spec.block_group_lasso[:]
    return made


def _named(net: _Net, patterns: Sequence[str]) -> list[str]:
    """Return the layers with weights that the patterns name, each once."""
    weighted = {layer.name: layer.type for layer in net.layer if layer.type in LAYER_TYPES}
    if not patterns:
        convolutions = [name for name, kind in weighted.items() if kind != "InnerProduct"]
        return convolutions or list(weighted)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in weighted):
            near = difflib.get_close_matches(pattern, weighted, 1) or list(weighted)
            raise PrototxtError(
                f"layers: expected a {', '.join(LAYER_TYPES)} layer, got {pattern!r}; "
                f"there is {', '.join(near) or 'none in the net'}"
            )
    return [name for name in weighted if any(fnmatchcase(name, one) for one in patterns)]


def _suits(net: _Net, name: str, kind: str) -> bool:
    if kind in ("filter", "depth") and _is_last(net, name):
        logger.info("%s: no %s groups, as its rows are the outputs of the net", name, kind)
        return False
    if kind == "depth" and not _has_bypass(net, name):
        logger.info("%s: no depth group, as nothing leads around it", name)
        return False
    return True


def _is_last(net: _Net, name: str) -> bool:
    """Tell whether no layer with weights comes after a layer."""
    reached: set[str] = set()
    for layer in net.layer:
        if layer.name == name:
            reached.update(layer.top)
        elif reached.intersection(layer.bottom):
            if layer.type in LAYER_TYPES:
                return False
            reached.update(layer.top)
    return True


def _has_bypass(net: _Net, name: str) -> bool:
    """Tell whether data reach every output by another way than through a layer."""
    read = {bottom for layer in net.layer for bottom in layer.bottom}
    reached = set(net.input)
    for layer in net.layer:
        arrives = not layer.bottom or reached.intersection(layer.bottom)
        if layer.name == name or not arrives:
            reached.difference_update(layer.top)
        else:
            reached.update(layer.top)
        # Labels come to a loss by a way of their own; scores are its first bottom.
        is_output = not any(top in read for top in layer.top) and layer.bottom
        if is_output and layer.bottom[0] not in reached:
            return False
    return True
