"""Places for the boxes of a graph without cycles, in ranks from source to sink.

Source: Sugiyama, Tagawa and Toda, "Methods for visual understanding of hierarchical system
structures", IEEE Transactions on Systems, Man, and Cybernetics 11, 1981. The places within a rank
are the least-squares ones that keep the order and the distances, found by pooling neighbours.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

_SWEEPS = 13  # odd, so that the last one goes down and leaves chains straight
_LANE = 14.0  # what an arrow takes that passes a rank
_LANE_WEIGHT = 0.1  # of its wish, where it is in the way of a box


@dataclass
class Layout:
    """Where everything is; `across` runs along a rank, `along` from rank to rank.

    Attributes
    ----------
    across, along : list of float
        The middle of each box.
    paths : list of list of (float, float)
        For each edge, the points (across, along) it passes, from box to box.
    width, length : float
        Of it all.
    """

    across: list[float] = field(default_factory=list)
    along: list[float] = field(default_factory=list)
    paths: list[list[tuple[float, float]]] = field(default_factory=list)
    width: float = 0.0
    length: float = 0.0


def place(
    sizes: Sequence[tuple[float, float]],
    edges: Sequence[tuple[int, int]],
    *,
    gap: float = 18.0,
    rank_gap: float = 26.0,
) -> Layout:
    """Place boxes so that edges go one way, cross seldom and bend little.

    Parameters
    ----------
    sizes : sequence of (float, float)
        Of each box, across and along.
    edges : sequence of (int, int)
        From box to box; each goes from a lower to a higher number.
    gap, rank_gap : float
        Least distances within a rank and between ranks.
    """
    chains, ranks = _chains(len(sizes), edges)
    spans = [size[0] for size in sizes] + [_LANE] * (len(ranks) - len(sizes))
    links = [(a, b) for chain in chains for a, b in pairwise(chain)]
    rows = _order(ranks, links)
    across = _straighten(rows, spans, links, gap)
    _pull_out(rows, chains, across, len(sizes))
    left = min((x - span / 2 for x, span in zip(across, spans, strict=True)), default=0.0)
    across = [x - left for x in across]
    depths = [max((sizes[n][1] for n in row if n < len(sizes)), default=0.0) for row in rows]
    middles, total = [], 0.0
    for depth in depths:
        middles.append(total + depth / 2)
        total += depth + rank_gap
    along = [middles[rank] for rank in ranks]
    return Layout(
        across[: len(sizes)],
        along[: len(sizes)],
        [_path(chain, sizes, across, along, depths, ranks) for chain in chains],
        max((x + span / 2 for x, span in zip(across, spans, strict=True)), default=0.0),
        max(total - rank_gap, 0.0),
    )


def _chains(count: int, edges: Sequence[tuple[int, int]]) -> tuple[list[list[int]], list[int]]:
    """Return the nodes of each edge, with new ones in the ranks it passes, and all ranks."""
    ranks = [0] * count
    for source, target in sorted(edges, key=lambda edge: edge[1]):
        ranks[target] = max(ranks[target], ranks[source] + 1)
    # What nothing flows into, such as a second source of data, stands just above its reader.
    for node in range(count):
        readers = [ranks[target] for source, target in edges if source == node]
        if readers and all(target != node for _, target in edges):
            ranks[node] = min(readers) - 1
    chains = []
    for source, target in edges:
        between = range(ranks[source] + 1, ranks[target])
        chains.append([source, *range(len(ranks), len(ranks) + len(between)), target])
        ranks.extend(between)
    return chains, ranks


def _order(ranks: Sequence[int], links: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Return the nodes of each rank, sorted so that links cross seldom."""
    rows: list[list[int]] = [[] for _ in range(max(ranks, default=-1) + 1)]
    for node, rank in enumerate(ranks):
        rows[rank].append(node)
    above, below = _neighbours(len(ranks), links)
    best, fewest = [list(row) for row in rows], _crossings(rows, below)
    for sweep in range(_SWEEPS):
        if not fewest:
            break
        down = sweep % 2 == 0
        for row in rows[1:] if down else rows[-2::-1]:
            _sort(row, rows, above if down else below)
        count = _crossings(rows, below)
        if count < fewest:
            best, fewest = [list(row) for row in rows], count
    return best


def _sort(row: list[int], rows: Sequence[Sequence[int]], near: Sequence[Sequence[int]]) -> None:
    """Sort a rank by the mean place of each node's neighbours; those without stay."""
    places = {node: i for other in rows if other is not row for i, node in enumerate(other)}
    means = {
        node: sum(places[n] for n in near[node]) / len(near[node]) if near[node] else float(i)
        for i, node in enumerate(row)
    }
    row.sort(key=means.__getitem__)


def _crossings(rows: Sequence[Sequence[int]], below: Sequence[Sequence[int]]) -> int:
    count = 0
    for row, after in pairwise(rows):
        places = {node: i for i, node in enumerate(after)}
        ends = [places[n] for node in row for n in sorted(below[node], key=places.__getitem__)]
        count += sum(a > b for i, b in enumerate(ends) for a in ends[:i])
    return count


def _neighbours(
    count: int, links: Sequence[tuple[int, int]]
) -> tuple[list[list[int]], list[list[int]]]:
    above: list[list[int]] = [[] for _ in range(count)]
    below: list[list[int]] = [[] for _ in range(count)]
    for source, target in links:
        above[target].append(source)
        below[source].append(target)
    return above, below


def _straighten(
    rows: Sequence[Sequence[int]],
    spans: Sequence[float],
    links: Sequence[tuple[int, int]],
    gap: float,
) -> list[float]:
    """Return places within the ranks that keep their order and leave links straight."""
    above, below = _neighbours(len(spans), links)
    places = [0.0] * len(spans)
    for row in rows:
        _settle(row, places, [0.0] * len(row), spans, gap)
    for sweep in range(_SWEEPS):
        near = above if sweep % 2 == 0 else below
        for row in rows if sweep % 2 == 0 else rows[::-1]:
            wishes = [
                sum(places[n] for n in near[node]) / len(near[node]) if near[node] else places[node]
                for node in row
            ]
            _settle(row, places, wishes, spans, gap)
    return places


def _settle(
    row: Sequence[int],
    places: list[float],
    wishes: Sequence[float],
    spans: Sequence[float],
    gap: float,
) -> None:
    """Put the nodes of a rank as near to their wishes as their order and distances allow."""
    offsets, offset = [], 0.0
    for i, node in enumerate(row):
        offset += (spans[row[i - 1]] + spans[node]) / 2 + gap if i else 0.0
        offsets.append(offset)
    pools: list[tuple[float, float, int]] = []  # mean, weight and number of nodes that touch
    for node, wish, own in zip(row, wishes, offsets, strict=True):
        mean, weight, count = wish - own, _LANE_WEIGHT if spans[node] == _LANE else 1.0, 1
        while pools and pools[-1][0] >= mean:
            other, heavy, more = pools.pop()
            mean = (mean * weight + other * heavy) / (weight + heavy)
            weight, count = weight + heavy, count + more
        pools.append((mean, weight, count))
    means = [mean for mean, _, count in pools for _ in range(count)]
    for node, mean, own in zip(row, means, offsets, strict=True):
        places[node] = mean + own


def _pull_out(
    rows: Sequence[Sequence[int]], chains: Sequence[Sequence[int]], across: list[float], boxes: int
) -> None:
    """Make the arrows straight that pass on the outside of all boxes."""
    owner = {node: i for i, chain in enumerate(chains) for node in chain[1:-1]}
    for outwards, extreme in ((1, min), (-1, max)):
        outer = {i for i, chain in enumerate(chains) if len(chain) > 2}
        while True:
            inner = set[int]()
            for row in rows:
                free = True
                for node in row[::outwards]:
                    free = free and node >= boxes and owner[node] in outer
                    if not free and node >= boxes:
                        inner.add(owner[node])
            if not outer & inner:
                break
            outer -= inner
        for i in outer:
            end = extreme(across[node] for node in chains[i][1:-1])
            for node in chains[i][1:-1]:
                across[node] = end


def _path(
    chain: Sequence[int],
    sizes: Sequence[tuple[float, float]],
    across: Sequence[float],
    along: Sequence[float],
    depths: Sequence[float],
    ranks: Sequence[int],
) -> list[tuple[float, float]]:
    first, last = chain[0], chain[-1]
    points = [(across[first], along[first] + sizes[first][1] / 2)]
    for node in chain[1:-1]:
        half = depths[ranks[node]] / 2
        points += [(across[node], along[node] - half), (across[node], along[node] + half)]
    return [*points, (across[last], along[last] - sizes[last][1] / 2)]
