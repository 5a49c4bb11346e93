"""The alpha-beta model, against numbers worked by hand."""

import pytest

from sscaffe.scaling.model import (
    ALGORITHMS,
    Bucket,
    Network,
    Work,
    doubling,
    fit,
    fitted,
    halving,
    overlapped,
    predict,
    recursive,
    ring,
)

# 1 a message, half a byte, a quarter to add it
NETWORK = Network(latency=1, per_byte=0.5, adding=0.25)


@pytest.mark.parametrize(
    ("algorithm", "ranks", "size", "seconds"),
    [
        (ring, 2, 8, 2 + 8 * 0.5 + 4 * 0.25),  # 2 messages of 4 bytes, 4 bytes added
        (ring, 4, 8, 6 + 12 * 0.5 + 6 * 0.25),  # 6 messages of 2 bytes, 3 of them added
        (ring, 3, 6, 4 + 8 * 0.5 + 4 * 0.25),
        (doubling, 2, 8, 1 + 8 * 0.5 + 8 * 0.25),
        (doubling, 8, 8, 3 + 24 * 0.5 + 24 * 0.25),
        (halving, 2, 8, 2 + 8 * 0.5 + 4 * 0.25),  # as ring: there is one partner
        (halving, 8, 8, 6 + 14 * 0.5 + 7 * 0.25),  # 4, 2, 1 bytes, there and back
        # Two ranks too many give all they have to others before, and get the sum after.
        (doubling, 6, 8, 2 + 16 * 0.5 + 16 * 0.25 + 2 + 16 * 0.5 + 8 * 0.25),
        (halving, 6, 8, 4 + 12 * 0.5 + 6 * 0.25 + 2 + 16 * 0.5 + 8 * 0.25),
    ],
)
def test_algorithms(algorithm, ranks, size, seconds):
    assert algorithm(ranks, size, NETWORK) == pytest.approx(seconds, rel=1e-12)


def test_the_recursive_one_is_the_faster_of_two():
    assert recursive(8, 0, NETWORK) == doubling(8, 0, NETWORK) == 3
    assert recursive(8, 800, NETWORK) == halving(8, 800, NETWORK) < doubling(8, 800, NETWORK)


# Gradients of 4 bytes are there after 5 and 9 s, and the step ends a second later.
WORK = Work(10, (Bucket(4, 5), Bucket(4, 9)), rest=1)
ALONE = Work(10, (Bucket(0, 8),), rest=0)


@pytest.mark.parametrize(
    ("per_byte", "seconds"),
    [
        (0, 10),
        (0.5, 12),  # from 5 to 7; from 9 to 11, and the rest
        (2, 22),  # from 5 to 13, when backward has long ended; to 21
    ],
)
def test_reductions_hide_behind_backward(per_byte, seconds):
    assert overlapped(WORK, lambda size: per_byte * size) == seconds


def test_weak_scaling():
    # Ring of 2 ranks: 2 + 8 / 2 for all 8 bytes, 2 + 4 / 2 for each half.
    one = predict(ALONE, WORK, 2, Network(1, 0.5), "ring")
    assert (one.ranks, one.batch, one.reduction) == (2, 20, 6)
    assert (one.step, one.efficiency) == (16, 8 / 16)
    # The first half from 5 to 9, the second to 13.
    assert (one.step_overlapped, one.efficiency_overlapped) == (14, 8 / 14)


def test_strong_scaling():
    half = Work(5, (Bucket(8, 5),), rest=1)
    one = predict(ALONE, half, 2, Network(0, 0.25), "recursive")
    assert (one.batch, one.reduction, one.step) == (10, 2, 8)
    assert one.efficiency == one.efficiency_overlapped == 4 / 8  # half of 8 for half of the records


def test_agreements_are_small_reductions():
    work = Work(10, (Bucket(8, 9),), rest=1, agreements=3)
    one = predict(ALONE, work, 4, Network(1, 0), "recursive")
    assert one.step == one.step_overlapped == 10 + 2 + 3 * 2


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_one_rank_reduces_nothing(algorithm):
    one = predict(ALONE, ALONE, 1, NETWORK, algorithm)
    assert (one.reduction, one.step, one.step_overlapped, one.efficiency) == (0, 8, 8, 1)


@pytest.mark.parametrize(("ranks", "messages", "share"), [(2, 1, 1), (4, 2, 1.5), (6, 3, 5 / 3)])
def test_a_line_is_found_again(ranks, messages, share):
    points = [(n, 2e-6 * messages + 1e-9 * share * n) for n in (4, 1000, 10**6)]
    network = fit(points, ranks)
    assert network.latency == pytest.approx(2e-6, rel=1e-9)
    assert network.per_byte == pytest.approx(1e-9, rel=1e-9)
    for size, seconds in points:
        assert fitted(size, ranks, network) == pytest.approx(seconds, rel=1e-9)


@pytest.mark.parametrize(
    "points", [[(4, 1e-5)], [(4, 1e-9), (1000, 1e-3)], [(4, 1e-3), (1000, 1e-5)]]
)
def test_no_time_is_negative(points):
    network = fit(points, 2)
    assert min(network.latency, network.per_byte) >= 0
    assert max(network.latency, network.per_byte) > 0
