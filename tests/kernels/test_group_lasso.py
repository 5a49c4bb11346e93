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


def shrunk(weights, history, ydimen, xdimen, limit, share):
    """Return weights and history after the proximal step, in double precision."""
    rows, columns = weights.shape
    blocks = weights.astype(np.float64).reshape(rows // ydimen, ydimen, columns // xdimen, xdimen)
    after = np.zeros_like(blocks)
    for y, x in np.ndindex(rows // ydimen, columns // xdimen):
        norm = np.linalg.norm(blocks[y, :, x])
        if norm > limit:
            after[y, :, x] = blocks[y, :, x] * (1 - limit / norm)
    after = after.reshape(weights.shape)
    return after, history + share * (weights - after)


@pytest.mark.parametrize("tiling", TILINGS, ids=str)
@pytest.mark.usefixtures("isa", "threads")
def test_shrink_groups(tiling, rng):
    rows, columns, ydimen, xdimen = tiling
    scales = rng.uniform(0, 2, (rows // ydimen, 1, columns // xdimen, 1))
    noise = rng.standard_normal((rows // ydimen, ydimen, columns // xdimen, xdimen))
    weights = (scales * noise).reshape(rows, columns).astype(np.float32)
    history = rng.standard_normal((rows, columns)).astype(np.float32)
    limit = float(np.sqrt(ydimen * xdimen))  # about half of the blocks
    expected, expected_history = shrunk(weights, history, ydimen, xdimen, limit, 0.625)
    alone = weights.copy()
    _core.shrink_groups(weights, history, ydimen, xdimen, limit, 0.625)
    # A rounding of the factor, one of the product; both relative to a weight of at most 10.
    np.testing.assert_allclose(weights, expected, rtol=2e-7, atol=1e-9)
    np.testing.assert_array_equal(weights == 0, expected == 0)
    assert not np.signbit(weights[weights == 0]).any()
    np.testing.assert_allclose(history, expected_history, rtol=3e-7, atol=2e-6)
    _core.shrink_groups(alone, None, ydimen, xdimen, limit, 0.625)
    np.testing.assert_array_equal(alone, weights)


def test_shrink_groups_gives_the_same_bits_everywhere(rng):
    weights = rng.standard_normal((120, 810)).astype(np.float32)
    best, before, results = _core.cpu_features(), _core.get_num_threads(), []
    for isa in {"portable", best}:
        for threads in (1, 2, 3):
            _core.set_isa(isa)
            _core.set_num_threads(threads)
            for ydimen, xdimen in ((120, 1), (1, 810), (1, 27)):
                results.append(weights.copy())
                _core.shrink_groups(results[-1], None, ydimen, xdimen, 5.2, 0.0)
    _core.set_isa(best)
    _core.set_num_threads(before)
    assert len({tuple(r.tobytes() for r in results[i : i + 3]) for i in range(0, 18, 3)}) == 1


def test_a_norm_at_the_limit_becomes_zero_and_one_above_it_does_not():
    weights = np.array([[3, 4], [3, -4], [30, 40]], np.float32)
    weights[1, 1] = np.nextafter(np.float32(-4), np.float32(-5))
    _core.shrink_groups(weights, None, 1, 2, 5.0, 0.0)
    assert not weights[0].any()
    assert weights[1].all()
    np.testing.assert_array_equal(weights[2], [27, 36])


def test_shrink_groups_does_not_hide_a_nan():
    weights = np.array([[np.nan, 1e-9], [1e-9, np.inf], [0, 0]], np.float32)
    _core.shrink_groups(weights, None, 1, 2, 1.0, 0.0)
    assert np.isnan(weights[0]).all()
    assert np.isinf(weights[1, 1])
    assert not weights[2].any()


def test_shrink_groups_refuses():
    weights = np.zeros((4, 6), np.float32)
    with pytest.raises(TypeError):
        _core.shrink_groups(weights.astype(np.float64), None, 1, 1, 1.0, 0.0)
    with pytest.raises(TypeError):
        _core.shrink_groups(weights.T, None, 1, 1, 1.0, 0.0)
    with pytest.raises(TypeError):
        _core.shrink_groups(weights, weights.astype(np.float64), 1, 1, 1.0, 0.0)
    with pytest.raises(ValueError, match="history: expected 24 elements, got 12"):
        _core.shrink_groups(weights, weights[:2].copy(), 1, 1, 1.0, 0.0)
    with pytest.raises(ValueError, match="xdimen: expected 6 or a divisor of it, got 4"):
        _core.shrink_groups(weights, None, 1, 4, 1.0, 0.0)
    with pytest.raises(ValueError, match="limit: expected 0 or more, got"):
        _core.shrink_groups(weights, None, 1, 1, float("nan"), 0.0)
