"""The net of SSL and that of fine-tuning, made of the net to begin with."""

import difflib
import itertools
from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase

from sscaffe.errors import PrototxtError
from sscaffe.glog import logger
from sscaffe.group_specs import Factors, add_groups, depth_groups, freeze
from sscaffe.proto import caffe_pb2

_Net = caffe_pb2.NetParameter
_WEIGHTED = ("Convolution", "Deconvolution", "InnerProduct")

KINDS = ("filter", "channel", "shape", "depth", "filter2d")
"""The groups of Wen et al., NIPS 2016."""

Groups = Mapping[str, Factors]
"""The kinds of groups of each layer, by its name, and their factors."""


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
    dict of str to Factors
        Layers in the order of the net. What comes last before an output keeps its filters, which
        are the classes; a layer that every way through the net passes is no group of its own, nor
        is a shortcut around layers that may go. Where a layer may go as a whole, the Scale layer
        behind its BatchNorm may: see `depth_groups`.

    Raises
    ------
    PrototxtError
        If there is no such kind or layer, or nothing is left.
    """
    if unknown := [kind for kind in kinds if kind not in KINDS] or ([] if kinds else [""]):
        raise PrototxtError(f"ssl: expected some of {', '.join(KINDS)}, got {unknown[0]!r}")
    names, chosen = _named(net, patterns), dict[str, dict[str, float]]()
    for name in names:
        for kind in kinds:
            if kind != "depth" and _suits(net, name, kind):
                chosen.setdefault(name, {})[kind.upper()] = 1.0
    if "depth" in kinds:
        deep = _apart(net, [name for name in names if _suits(net, name, "depth")])
        for name, factors in depth_groups(net, deep).items():
            chosen.setdefault(name, {}).update(factors)
    if not chosen:
        raise PrototxtError(
            f"ssl: {', '.join(kinds)} suits none of the layers; choose others by --layers"
        )
    return {layer.name: chosen[layer.name] for layer in net.layer if layer.name in chosen}


def are_scaled(net: _Net, groups: Groups) -> bool:
    """Tell whether some groups are factors of Scale layers.

    prune_threshold leaves these alone, so that they need proximal steps to become zero.
    """
    return any(layer.type == "Scale" and layer.name in groups for layer in net.layer)


def ssl_net(net: _Net, groups: Groups) -> _Net:
    """Return the net with a group lasso for each of the groups, in place of weight decay."""
    made = _Net()
    made.CopyFrom(net)
    made.name = f"{net.name} SSL".strip()
    add_groups(made, groups)
    return made


def finetune_net(net: _Net, groups: Groups) -> _Net:
    """Return the net in which rows and columns of zeros stay as they are."""
    made = _Net()
    made.CopyFrom(net)
    made.name = f"{net.name} fine-tuned".strip()
    freeze(made, groups, "DISCONNECTED_GRPWISE")
    return made


def _named(net: _Net, patterns: Sequence[str]) -> list[str]:
    """Return the layers with weights that the patterns name, each once."""
    weighted = {layer.name: layer.type for layer in net.layer if layer.type in _WEIGHTED}
    if not patterns:
        convolutions = [name for name, kind in weighted.items() if kind != "InnerProduct"]
        return convolutions or list(weighted)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in weighted):
            near = difflib.get_close_matches(pattern, weighted, 1) or list(weighted)
            raise PrototxtError(
                f"layers: expected a {', '.join(_WEIGHTED)} layer, got {pattern!r}; "
                f"there is {', '.join(near) or 'none in the net'}"
            )
    return [name for name in weighted if any(fnmatchcase(name, one) for one in patterns)]


def _suits(net: _Net, name: str, kind: str) -> bool:
    if kind in ("filter", "depth") and _is_last(net, name):
        logger.info("%s: no %s groups, as its rows are the outputs of the net", name, kind)
        return False
    if kind == "depth" and not _Ways(net).lead_around({name}):
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
            if layer.type in _WEIGHTED:
                return False
            reached.update(layer.top)
    return True


def _apart(net: _Net, names: Sequence[str]) -> list[str]:
    """Return layers without those that are needed once the others are gone: shortcuts.

    Of two ways around each other, the one of more layers may go; of three, two may.
    """
    ways = _Ways(net)
    rivals: dict[str, list[str]] = {name: [] for name in names}
    for one, other in itertools.combinations(names, 2):
        if not ways.lead_around({one, other}):
            rivals[one].append(other)
            rivals[other].append(one)
    gone: set[str] = set()
    # Shortcuts come last: each layer that they lead around has them alone for a rival.
    for name in sorted(names, key=lambda name: len(rivals[name])):
        if ways.lead_around(gone | {name}):
            gone.add(name)
            continue
        others = [other for other in rivals[name] if other in gone] or sorted(gone)
        logger.info(
            "%s: no depth group, as nothing leads around it once %s is gone", name, others[0]
        )
    return [name for name in names if name in gone]


class _Ways:
    """The ways of data through a net."""

    def __init__(self, net: _Net) -> None:
        read = {bottom for layer in net.layer for bottom in layer.bottom}
        self._inputs = set(net.input)
        self._layers = [
            # Labels come to a loss by a way of their own; scores are its first bottom.
            (layer.name, list(layer.bottom), list(layer.top), read.isdisjoint(layer.top))
            for layer in net.layer
        ]

    def lead_around(self, names: Collection[str]) -> bool:
        """Tell whether data reach every output by another way than through some layers."""
        reached = set(self._inputs)
        for name, bottoms, tops, is_output in self._layers:
            if name in names or (bottoms and reached.isdisjoint(bottoms)):
                reached.difference_update(tops)
            else:
                reached.update(tops)
            if is_output and bottoms and bottoms[0] not in reached:
                return False
        return True
