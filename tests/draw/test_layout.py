"""place: boxes that do not overlap, arrows that go one way, and few crossings."""

import itertools

import numpy as np
import pytest

from sscaffe.draw.layout import place


def random_graph(seed, count=40):
    rng = np.random.default_rng(seed)
    sizes = [tuple(rng.uniform(20, 120, 2)) for _ in range(count)]
    edges = {(int(rng.integers(max(0, i - 6), i)), i) for i in range(1, count) for _ in range(2)}
    return sizes, sorted(edges)


@pytest.mark.parametrize("seed", range(8))
def test_boxes_do_not_overlap_and_arrows_go_one_way(seed):
    sizes, edges = random_graph(seed)
    layout = place(sizes, edges)
    boxes = list(zip(layout.across, layout.along, sizes, strict=True))
    for (x, y, size), (other_x, other_y, other) in itertools.combinations(boxes, 2):
        apart = (
            abs(x - other_x) - (size[0] + other[0]) / 2,
            abs(y - other_y) - (size[1] + other[1]) / 2,
        )
        assert max(apart) > 10
    for (source, target), points in zip(edges, layout.paths, strict=True):
        along = [point[1] for point in points]
        assert along == sorted(along)
        assert points[0][0] == pytest.approx(layout.across[source])
        assert points[-1][0] == pytest.approx(layout.across[target])
    for x, y, size in boxes:
        assert x - size[0] / 2 >= -1e-6
        assert x + size[0] / 2 <= layout.width + 1e-6
        assert y - size[1] / 2 >= -1e-6
        assert y + size[1] / 2 <= layout.length + 1e-6


@pytest.mark.parametrize("seed", range(8))
def test_arrows_do_not_run_through_boxes(seed):
    sizes, edges = random_graph(seed)
    layout = place(sizes, edges)
    for points in layout.paths:
        # Between two ranks a path bends; within a rank, where boxes are, it runs straight.
        for (x, low), (same, high) in zip(points[1:-1:2], points[2:-1:2], strict=True):
            assert x == pytest.approx(same)
            for across, along, size in zip(layout.across, layout.along, sizes, strict=True):
                if along + size[1] / 2 > low + 1e-6 and along - size[1] / 2 < high - 1e-6:
                    assert abs(across - x) > size[0] / 2


def test_a_chain_is_straight():
    sizes = [(30.0 + 20 * (i % 3), 20.0) for i in range(9)]
    layout = place(sizes, [(i, i + 1) for i in range(8)])
    np.testing.assert_allclose(layout.across, layout.across[0])


def test_branches_are_sorted_so_that_none_cross():
    # Two branches whose ends are named the other way round.
    edges = [(0, 1), (0, 2), (1, 4), (2, 3), (3, 5), (4, 5)]
    layout = place([(40.0, 20.0)] * 6, edges)
    assert (layout.across[1] < layout.across[2]) == (layout.across[4] < layout.across[3])


def test_a_shortcut_passes_in_one_straight_lane():
    sizes = [(40.0 if i % 2 else 90.0, 20.0) for i in range(6)]
    layout = place(sizes, [*((i, i + 1) for i in range(5)), (0, 5)])
    lane = {round(point[0], 6) for point in layout.paths[-1][1:-1]}
    assert len(lane) == 1


def test_nothing_to_place():
    assert place([], []).width == 0
