"""Loops over flat arrays: against NumPy, and the same bits on every machine."""

import numpy as np
import pytest

from sscaffe import _core

# None, fewer than a vector, across chunks of 16384, across threads.
COUNTS = [0, 1, 15, 16, 33, 1000, 16385, 150_001]


def floats(rng, count):
    return rng.standard_normal(count).astype(np.float32)


@pytest.fixture(params=COUNTS)
def xy(request, rng):
    return floats(rng, request.param), floats(rng, request.param)


@pytest.mark.usefixtures("isa")
class TestAgainstNumPy:
    """NumPy rounds each operation once too, so every comparison is exact."""

    def test_add_scaled(self, xy):
        x, y = xy
        expected = y + np.float32(0.3) * x
        _core.add_scaled(0.3, x, y)
        np.testing.assert_array_equal(y, expected)

    def test_scale(self, xy):
        x, _ = xy
        expected = np.float32(0.3) * x
        _core.scale(0.3, x)
        np.testing.assert_array_equal(x, expected)

    def test_threshold(self, xy):
        x, _ = xy
        expected = np.where(np.abs(x) < np.float32(0.5), 0, x)
        _core.threshold(0.5, x)
        np.testing.assert_array_equal(x, expected)

    @pytest.mark.parametrize("slope", [0, 0.25, -0.5, 2])
    @pytest.mark.parametrize("in_place", [True, False])
    def test_relu_forward(self, xy, slope, in_place):
        x, y = xy
        expected = np.where(x > 0, x, np.float32(slope) * x)
        _core.relu_forward(slope, x, x if in_place else y)
        np.testing.assert_array_equal(x if in_place else y, expected)

    @pytest.mark.parametrize("slope", [0, 0.25])
    @pytest.mark.parametrize("in_place", [True, False])
    def test_relu_backward(self, xy, slope, in_place):
        x, dy = xy
        dx = dy if in_place else np.empty_like(dy)
        expected = dy * np.where(x > 0, np.float32(1), np.float32(slope))
        _core.relu_backward(slope, x, dy, dx)
        np.testing.assert_array_equal(dx, expected)

    def test_sum_of_squares(self, xy):
        x, _ = xy
        # Double precision: 1e-13 leaves room for the order of summation alone.
        np.testing.assert_allclose(
            _core.sum_of_squares(x), np.square(x, dtype=np.float64).sum(), rtol=1e-13
        )


def test_threshold_is_strict_and_keeps_nan():
    x = np.array([0.5, -0.5, 0.49, -0.49, np.nan, -np.inf], np.float32)
    _core.threshold(0.5, x)
    np.testing.assert_array_equal(x, np.array([0.5, -0.5, 0, 0, np.nan, -np.inf], np.float32))


@pytest.mark.usefixtures("isa")
def test_relu_of_what_is_no_number():
    x = np.array([np.nan, np.inf, -np.inf, -0.0] * 8, np.float32)
    _core.relu_forward(0, x, x)
    np.testing.assert_array_equal(x, np.array([np.nan, np.inf, 0, 0] * 8, np.float32))


def test_sum_of_squares_does_not_depend_on_threads_or_instruction_set(rng):
    x = floats(rng, 400_001)
    best, threads = _core.cpu_features(), _core.get_num_threads()
    sums = set()
    for isa in {"portable", best}:
        for count in (1, 2, 3, 7):
            _core.set_isa(isa)
            _core.set_num_threads(count)
            sums.add(_core.sum_of_squares(x))
    _core.set_isa(best)
    _core.set_num_threads(threads)
    assert len(sums) == 1


def test_refuses_other_dtypes_layouts_and_sizes(rng):
    x = floats(rng, 8)
    with pytest.raises(TypeError):
        _core.scale(2, x.astype(np.float64))
    with pytest.raises(TypeError):
        _core.scale(2, x[::2])
    with pytest.raises(ValueError, match="y: expected 8 elements, got 7"):
        _core.add_scaled(1, x, x[:7])
    with pytest.raises(ValueError, match="dx: expected 8 elements, got 9"):
        _core.relu_backward(0, x, x, floats(rng, 9))


def test_refuses_a_read_only_output(rng):
    x = floats(rng, 8)
    x.flags.writeable = False
    with pytest.raises(ValueError, match="not writeable"):
        _core.scale(2, x)
    with pytest.raises(ValueError, match="not writeable"):
        _core.relu_forward(0, floats(rng, 8), x)
