"""LRN across channels: its formula in loops, and gradients by finite differences."""

import numpy as np
import pytest

from sscaffe import _core

# shape, size, alpha, beta, k
CASES = [
    ((2, 7, 3, 4), 5, 1.0, 0.75, 1.0),
    ((1, 3, 5), 5, 2.0, 0.75, 0.5),
    ((2, 4, 2, 2), 1, 1.0, 0.75, 2.0),
    ((2, 4, 2, 2), 9, 1.0, 0.5, 1.0),
    ((3, 6, 150), 3, 1.0, 0.75, 1.0),
    ((2, 5), 3, 1.0, 1.0, 1.0),
    ((1, 6, 4), 4, 1.0, 0.6, 1.0),
    ((0, 3, 4), 3, 1.0, 0.75, 1.0),
]


def reference(x, size, alpha, beta, k):
    """Return scale and y, in double precision."""
    x = x.astype(np.float64)
    scale = np.empty_like(x)
    before = (size - 1) // 2
    for c in range(x.shape[1]):
        window = x[:, max(0, c - before) : c - before + size]
        scale[:, c] = k + alpha / size * np.square(window).sum(axis=1)
    return scale, x * scale**-beta


def run_forward(x, size, alpha, beta, k):
    scale, y = np.full_like(x, np.nan), np.full_like(x, np.nan)
    _core.lrn_across_forward(x, size, alpha, beta, k, scale, y)
    return scale, y


def run_backward(x, dy, size, alpha, beta, k):
    scale, _ = run_forward(x, size, alpha, beta, k)
    dx = np.full_like(x, np.nan)
    _core.lrn_across_backward(x, scale, dy, size, alpha, beta, dx)
    return dx


def test_value_by_hand():
    x = np.array([1.0, 2.0, 3.0]).reshape(1, 3, 1)
    scale, y = run_forward(x, 3, 3.0, 1.0, 1.0)
    np.testing.assert_allclose(scale.ravel(), [6, 15, 14], rtol=1e-15)
    np.testing.assert_allclose(y.ravel(), [1 / 6, 2 / 15, 3 / 14], rtol=1e-15)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.usefixtures("isa")
def test_forward(case, dtype, rng):
    shape, *constants = case
    x = rng.standard_normal(shape).astype(dtype)
    # A handful of roundings; 1e-6 is what the ancestor's own tests ask of floats.
    rtol = 1e-6 if dtype is np.float32 else 1e-14
    for got, expected in zip(run_forward(x, *constants), reference(x, *constants), strict=True):
        np.testing.assert_allclose(got, expected, rtol=rtol)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.usefixtures("isa")
def test_gradient(case, rng):
    shape, *constants = case
    x, dy = rng.standard_normal(shape), rng.standard_normal(shape)
    expected, step = np.empty_like(x), 1e-5
    for at in np.ndindex(shape):
        ends = []
        for sign in (1, -1):
            moved = x.copy()
            moved[at] += sign * step
            ends.append((reference(moved, *constants)[1] * dy).sum())
        expected[at] = (ends[0] - ends[1]) / (2 * step)
    # The differences' own error is about step^2, and eps / step from rounding a sum of hundreds.
    np.testing.assert_allclose(run_backward(x, dy, *constants), expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.usefixtures("isa")
def test_backward_in_floats(case, rng):
    shape, *constants = case
    x = rng.standard_normal(shape).astype(np.float32)
    dy = rng.standard_normal(shape).astype(np.float32)
    expected = run_backward(x.astype(np.float64), dy.astype(np.float64), *constants)
    # A handful of roundings of terms of order 1 that may cancel.
    np.testing.assert_allclose(run_backward(x, dy, *constants), expected, rtol=1e-5, atol=2e-6)


@pytest.mark.usefixtures("threads")
def test_any_number_of_threads(rng):
    x = rng.standard_normal((64, 32, 20, 20)).astype(np.float32)
    dy = rng.standard_normal(x.shape).astype(np.float32)
    constants = (3, 1.0, 0.75, 1.0)
    np.testing.assert_allclose(
        run_forward(x, *constants)[1], reference(x, *constants)[1], rtol=1e-6
    )
    expected = run_backward(x.astype(np.float64), dy.astype(np.float64), *constants)
    np.testing.assert_allclose(run_backward(x, dy, *constants), expected, rtol=1e-5, atol=2e-6)


def test_refuses():
    x = np.zeros((2, 3, 4), np.float32)
    with pytest.raises(TypeError):
        _core.lrn_across_forward(x, 3, 1, 1, 1, x.astype(np.float64), x.copy())
    with pytest.raises(ValueError, match="scale: expected 24 elements, got 12"):
        _core.lrn_across_forward(x, 3, 1, 1, 1, x[:1], x.copy())
    with pytest.raises(ValueError, match="size: expected 1 or more, got 0"):
        _core.lrn_across_forward(x, 0, 1, 1, 1, x.copy(), x.copy())
    with pytest.raises(ValueError, match="x: expected 2 or more axes, got 1"):
        _core.lrn_across_forward(x.ravel(), 3, 1, 1, 1, x.copy(), x.copy())
    with pytest.raises(ValueError, match="dx: expected 24 elements, got 12"):
        _core.lrn_across_backward(x, x, x, 3, 1, 1, x[:1].copy())
