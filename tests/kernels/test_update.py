"""The fused update: against NumPy number by number, and the same bits on every machine."""

import numpy as np
import pytest

from sscaffe import _core
from sscaffe.kernels import UpdateStep

# None, fewer than a vector, across chunks of 1024, across threads.
COUNTS = [0, 1, 15, 33, 2049, 150_001]
RULES = {"SGD": 1, "Nesterov": 1, "Adam": 2}
F = np.float32


def step_of(rule, **others):
    constants = {"rate": 0.3, "momentum": 0.9, "momentum2": 0.99, "gain": 0.1, "gain2": 0.01}
    return UpdateStep(rule, delta=1e-3, **constants, **others)


FULL = {"clip": 0.7, "mean": 0.3, "l2": 0.2, "l1": 0.4, "limit": 0.25}


def reference(s, w, g, history, mask, factors):
    """Do as `update.h` says; NumPy rounds each operation once too."""
    g = g * F(s.clip) * F(s.mean)
    g = g + F(s.l2) * w
    g = g + F(s.l1) * np.sign(w)
    if factors is not None:
        g = g + factors * w
    rate, momentum, momentum2 = F(s.rate), F(s.momentum), F(s.momentum2)
    if s.rule == "Adam":
        mean = momentum * history[0] + F(s.gain) * g
        square = momentum2 * history[1] + F(s.gain2) * (g * g)
        update, history = mean / (np.sqrt(square) + F(s.delta)) * rate, [mean, square]
    else:
        h = momentum * history[0] + rate * g
        ahead = F(1 + np.float64(momentum))
        update = h if s.rule == "SGD" else ahead * h - momentum * history[0]
        history = [h]
    update = update * mask
    w = w - update
    return np.where(np.abs(w) < F(s.limit), 0, w), update, history


def arrays_for(rng, rule, shape):
    """Return weights, diff and history."""
    arrays = [rng.standard_normal(shape).astype(F) for _ in range(2 + RULES[rule])]
    if rule == "Adam":
        arrays[3] = np.square(arrays[3])
    return arrays


def run(step, arrays, mask=None, lassos=()):
    """Update copies of the arrays, and return them."""
    shape = arrays[0].shape
    copies = [array.copy() for array in arrays]
    memories = [_core.Memory(copy, shape) for copy in copies]
    weights, diff, *history = memories
    _core.memory_update(step, weights, diff, history, mask, shape[0], lassos)
    return copies


@pytest.mark.usefixtures("isa", "threads")
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("others", [{}, FULL], ids=["bare", "full"])
@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("rule", RULES)
def test_update(rule, count, others, masked, rng):
    step = step_of(rule, **others)
    arrays = arrays_for(rng, rule, (count,))
    mask = rng.random(count) < 0.5 if masked else None
    expected = reference(step, *arrays[:2], arrays[2:], True if mask is None else mask, None)
    got = run(step, arrays, mask)
    for one, other in zip(got, [*expected[:2], *expected[2]], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.usefixtures("isa", "threads")
@pytest.mark.parametrize(
    ("shape", "ydimen", "xdimen"),
    [
        ((6, 4), 1, 4),
        ((6, 4), 6, 1),
        ((6, 4), 2, 2),
        ((50, 500), 50, 1),
        ((50, 500), 1, 500),
        ((300, 405), 3, 9),
        ((20, 3000), 4, 1500),
        ((70_000, 1), 1, 1),
    ],
)
def test_update_with_a_group_lasso(shape, ydimen, xdimen, rng):
    step = step_of("SGD", **FULL)
    arrays = arrays_for(rng, "SGD", shape)
    factors = rng.random((shape[0] // ydimen, shape[1] // xdimen)).astype(F)
    spread = np.repeat(np.repeat(factors, ydimen, axis=0), xdimen, axis=1)
    expected = reference(step, *arrays[:2], arrays[2:], True, spread)
    got = run(step, arrays, lassos=[(factors, ydimen, xdimen)])
    for one, other in zip(got, [*expected[:2], *expected[2]], strict=True):
        np.testing.assert_array_equal(one, other)


def test_factors_are_those_of_the_gradient(rng):
    weights = rng.standard_normal((12, 90)).astype(F)
    weights[:, :3] = 0
    diff, factors = np.zeros_like(weights), np.empty((4, 30), F)
    term = _core.group_lasso(weights, diff, 3, 3, 0.3)
    assert _core.group_lasso_factors(weights, factors, 3, 3, 0.3) == term
    spread = np.repeat(np.repeat(factors, 3, axis=0), 3, axis=1)
    np.testing.assert_array_equal(diff, spread * weights)


@pytest.mark.usefixtures("isa")
def test_nan_and_infinity_stay():
    weights = np.array([np.nan, np.inf, -np.inf, 1] * 8, F)
    got = run(step_of("SGD", limit=0.5), [weights, np.zeros(32, F), np.zeros(32, F)])
    np.testing.assert_array_equal(got[0], weights)


def test_refuses(rng):
    step = step_of("SGD")
    memories = [_core.Memory(np.zeros(8, F), (8,)) for _ in range(3)]
    weights, diff, history = memories
    other = _core.Memory(np.zeros(7, F), (7,))
    with pytest.raises(ValueError, match="expected memories of one layout"):
        _core.memory_update(step, weights, diff, [other], None, 8, [])
    with pytest.raises(ValueError, match="history: expected 1 memories, got 2"):
        _core.memory_update(step, weights, diff, [history, history], None, 8, [])
    with pytest.raises(ValueError, match="mask: expected 8 elements, got 7"):
        _core.memory_update(step, weights, diff, [history], np.ones(7, bool), 8, [])
    with pytest.raises(ValueError, match="factors: expected 4 elements, got 3"):
        _core.memory_update(step, weights, diff, [history], None, 8, [(np.ones(3, F), 2, 1)])
    with pytest.raises(ValueError, match="ydimen: expected 8 or a divisor of it, got 3"):
        _core.memory_update(step, weights, diff, [history], None, 8, [(np.ones(3, F), 3, 1)])
    with pytest.raises(ValueError, match="rule: expected SGD, Nesterov or Adam, got AdaGrad"):
        _core.memory_update(step._replace(rule="AdaGrad"), weights, diff, [history], None, 8, [])
    with pytest.raises(TypeError):
        _core.memory_update(step, weights, diff, [history], np.ones(8, F), 8, [])
