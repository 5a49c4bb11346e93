"""The stream of random numbers: NumPy's twister, however many are drawn at once."""

import numpy as np
import pytest

from sscaffe import _core
from sscaffe.random_numbers import RandomNumbers

COUNTS = [1, 5000, 623, 4096, 2, 624, 10000, 4095, 12480]


def test_one_stream_whatever_the_counts():
    """Few draws come from NumPy, many from the core."""
    rng = RandomNumbers(1701)
    drawn = np.concatenate([rng.raw(count) for count in COUNTS])
    twister = np.random.MT19937()
    twister._legacy_seeding(1701)
    np.testing.assert_array_equal(drawn, twister.random_raw(len(drawn)))


def test_other_draws_between():
    draws = []
    for counts in ([5000, 300], [2600, 2400, 300]):
        rng = RandomNumbers(7)
        for count in counts:
            rng.raw(count)
        draws.append((rng.gaussian(0, 1, 10), rng.permutation(20), rng.get_state()))
    for got, expected in zip(*draws, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_resumes_after_many_draws():
    rng = RandomNumbers(3)
    rng.raw(5003)
    state = rng.get_state()
    expected = rng.raw(9000)
    other = RandomNumbers(4)
    other.set_state(state)
    np.testing.assert_array_equal(other.raw(9000), expected)


def test_the_core_refuses():
    state, draws = np.zeros(624, np.uint32), np.zeros(5, np.uint32)
    with pytest.raises(ValueError, match="state: expected 624 elements, got 623"):
        _core.twister_draw(state[:623], 0, draws)
    with pytest.raises(ValueError, match="position: expected 624 at most, got 625"):
        _core.twister_draw(state, 625, draws)
    with pytest.raises(TypeError):
        _core.twister_draw(state.astype(np.int64), 0, draws)
