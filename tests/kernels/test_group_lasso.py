"""Group lasso over blocks of the weight matrix, against NumPy."""

import numpy as np
import pytest

from sscaffe import _core

# rows, columns, ydimen, xdimen
TILINGS = [
    (4, 6, 1, 1),
    (4, 6, 2, 3),
    (4, 6, 4, 1),  # a column a block
    (4, 6, 1, 6),  # a row a block
    (4, 6, 4, 6),  # the whole matrix
    (6, 9000, 3, 1),
    (6, 9000, 2, 9000),
    (500, 800, 500, 1),
    (500, 800, 1, 800),
    (500, 800, 4, 16),
    (0, 6, 1, 2),
]


def reference(weights, ydimen, xdimen, decay):
    """Return the term and its gradient, in double precision."""
    rows, columns = weights.shape
    blocks = weights.astype(np.float64).reshape(rows // ydimen, ydimen, columns // xdimen, xdimen)
    norms = np.sqrt(np.square(blocks).sum(axis=(1, 3), keepdims=True))
    gradient = decay * blocks / np.where(norms > 0, norms, 1)
    return decay * norms.sum(), gradient.reshape(weights.shape)


def check_group_lasso(weights, diff, ydimen, xdimen, decay):
    decay = float(np.float32(decay))
    expected_term, gradient = reference(weights, ydimen, xdimen, decay)
    expected_diff = diff + gradient
    term = _core.group_lasso(weights, diff, ydimen, xdimen, decay)
    # The norms are in double precision; only the order of summation differs.
    assert term == pytest.approx(expected_term, rel=1e-12)
    # Three roundings of the gradient, one of the sum.
    np.testing.assert_allclose(diff, expected_diff, rtol=3e-7, atol=3e-7)


@pytest.mark.parametrize("tiling", TILINGS, ids=str)
@pytest.mark.usefixtures("threads")
def test_group_lasso(tiling, rng):
    rows, columns, ydimen, xdimen = tiling
    weights = rng.standard_normal((rows, columns)).astype(np.float32)
    diff = rng.standard_normal((rows, columns)).astype(np.float32)
    check_group_lasso(weights, diff, ydimen, xdimen, 0.3)


def test_blocks_of_zeros_stay(rng):
    weights = rng.standard_normal((4, 6)).astype(np.float32)
    weights[:, :3] = 0
    diff = np.zeros_like(weights)
    check_group_lasso(weights, diff, 2, 3, 0.1)
    assert not diff[:, :3].any()


def test_tiny_weights_do_not_vanish_when_squared():
    weights = np.full((2, 2), 1e-30, np.float32)
    diff = np.zeros_like(weights)
    term = _core.group_lasso(weights, diff, 2, 2, 1.0)
    assert term == pytest.approx(2e-30, rel=1e-6)
    np.testing.assert_allclose(diff, 0.5, rtol=1e-6)


def test_term_does_not_depend_on_threads(rng):
    weights = rng.standard_normal((500, 800)).astype(np.float32)
    before, terms = _core.get_num_threads(), set()
    for threads in (1, 2, 3, 7):
        _core.set_num_threads(threads)
        terms.add(_core.group_lasso(weights, np.zeros_like(weights), 500, 1, 0.1))
    _core.set_num_threads(before)
    assert len(terms) == 1


def test_refuses(rng):
    weights = np.zeros((4, 6), np.float32)
    with pytest.raises(TypeError):
        _core.group_lasso(weights.astype(np.float64), weights, 1, 1, 1.0)
    with pytest.raises(ValueError, match="ydimen: expected 4 or a divisor of it, got 3"):
        _core.group_lasso(weights, weights.copy(), 3, 1, 1.0)
    with pytest.raises(ValueError, match="xdimen: expected 6 or a divisor of it, got 0"):
        _core.group_lasso(weights, weights.copy(), 1, 0, 1.0)
    with pytest.raises(ValueError, match="diff: expected 24 elements, got 12"):
        _core.group_lasso(weights, weights[:2].copy(), 1, 1, 1.0)
