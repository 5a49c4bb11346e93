"""Which channels can go: nobody needs them, or what they hold is always the same."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sscaffe.squeeze.graph import Array, Graph, Value
from sscaffe.squeeze.weights import Dense


@dataclass
class Choice:
    """The channels that go, by the identity that stands for those tied together.

    Attributes
    ----------
    gone : ndarray of bool
        For each identity.
    reasons : dict of int to str
        Why another one stays, where that has a reason beyond being needed.
    """

    gone: Array
    reasons: dict[int, str]

    def kept(self, value: Value) -> Array:
        """Return which channels of a value stay."""
        return ~self.gone[value.channels]


def choose(graph: Graph) -> Choice:
    """Choose the channels that can go without a change of any output, in TEST."""
    channels = graph.channels
    roots = channels.find_all(np.arange(len(channels)))
    may_go = np.ones(len(channels), bool)
    reasons: dict[int, str] = {}

    def stays(which: Array, reason: str = "") -> None:
        for root in set(roots[which].tolist()):
            if reason:
                reasons.setdefault(root, reason)
            may_go[root] = False

    for channel, reason in channels.reasons.items():
        stays(np.array([channel]), reason)
    for node in graph.nodes:
        if node.kind == "dense":
            bottom, dense = node.bottoms[0], Dense(node)
            read = dense.active(bottom).any(0)
            constant = ~np.isnan(bottom.constant)
            bent = read & constant & (bottom.constant != 0) & (not dense.is_uniform)
            stays(
                bottom.channels[bent],
                f"what it emits is not 0, and meets a border of zeros in {node.param.name}",
            )
            stays(bottom.channels[read & ~constant])
        elif node.kind == "each":
            bottom, top = node.bottoms[0], node.tops[0]
            lost = np.isnan(top.constant) & ~np.isnan(bottom.constant)
            for root in set(roots[bottom.channels[lost]].tolist()):
                reasons.setdefault(root, f"{node.param.name} makes it differ at the border")
        elif node.kind == "sum":
            for bottom in node.bottoms:
                live = np.isnan(node.tops[0].constant) & ~np.isnan(bottom.constant)
                for root in set(roots[bottom.channels[live]].tolist()):
                    reasons.setdefault(root, f"{node.param.name} adds live channels to it")
    _balance(graph, roots, may_go, stays)
    return Choice(may_go[roots], {c: reasons.get(int(r), "") for c, r in enumerate(roots)})


def _balance(
    graph: Graph, roots: Array, may_go: Array, stays: Callable[[Array, str], None]
) -> None:
    """Let each layer keep a filter, and conv groups keep equally many filters and inputs."""
    changed = True
    while changed:
        changed = False
        for node in graph.nodes:
            for value in node.tops:
                if len(value.channels) and may_go[roots[value.channels]].all():
                    stays(value.channels[:1], "the last of its layer")
                    changed = True
            if node.kind != "dense" or Dense(node).group == 1:
                continue
            for value in (node.bottoms[0], node.tops[0]):
                parts = np.split(value.channels, Dense(node).group)
                counts = [int(may_go[roots[part]].sum()) for part in parts]
                for part, count in zip(parts, counts, strict=True):
                    extra = part[may_go[roots[part]]][min(counts) : count]
                    if len(extra):
                        stays(extra, f"the groups of {node.param.name} have to be of one size")
                        changed = True
