"""regularization_step: PROXIMAL, against a step by hand and against what it must converge to."""

import logging

import numpy as np
import pytest

from sscaffe.errors import PrototxtError
from sscaffe.solver.proximal import ProximalUpdate, by_gradient, by_shrinking
from sscaffe.solver.regularizers import GroupLasso, regularizers_of
from sscaffe.solver.updates import make_rule
from tests.solver.nets import assert_same, make_param, settings, small_solver, weights_of

PROXIMAL = "regularization_step: PROXIMAL "
FILTERS = "block_group_lasso { group: FILTER }"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def shrink(matrix, ydimen, xdimen, limit):
    """Take the proximal step, block by block."""
    after = matrix.copy()
    for y in range(0, matrix.shape[0], ydimen):
        for x in range(0, matrix.shape[1], xdimen):
            block = after[y : y + ydimen, x : x + xdimen]
            block *= max(0, 1 - limit / max(np.linalg.norm(block), 1e-300))
    return after


def updating(param, text, threshold=0.0):
    """Return what updates a parameter."""
    given = settings(text)
    terms = regularizers_of(param, given)
    rule = make_rule(given, [param])
    lassos = by_shrinking(given, terms)
    return rule, ProximalUpdate(0, rule, by_gradient(given, terms), threshold, lassos)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["AdaDelta", "AdaGrad", "Adam", "Nesterov", "RMSProp", "SGD"])
def test_a_step_is_that_of_the_rule_and_then_the_shrinkage(kind, dtype, rng):
    momentum = "" if kind in ("AdaGrad", "RMSProp") else "momentum: 0.9 "
    text = f"{PROXIMAL} type: '{kind}' {momentum} weight_decay: 0.1 block_group_decay: 0.5"
    start, gradient = rng.standard_normal((2, 4, 3, 2, 2)).astype(dtype)
    plain = make_param(start, "lr_mult: 2")
    param = make_param(start, f"lr_mult: 2 {FILTERS}")
    for one in (plain, param):
        one.blob.set_diff(gradient)
    alone = make_rule(settings(text), [plain])
    given = settings(text.replace("block_group_decay: 0.5", ""))
    Alone(given, plain, alone).apply(0.25)
    rule, update = updating(param, text)
    term = update.apply(1.0, 0.25, 0, want_value=True)
    reach = 1.9 if kind == "Nesterov" else 1.0
    moved = plain.const_data.astype(np.float64).reshape(4, 12)
    expected = shrink(moved, 1, 12, 0.5 * 2 * 0.25 * reach)
    assert (expected == 0).all(axis=1).sum() < 4
    np.testing.assert_allclose(param.const_data.reshape(4, 12), expected, rtol=1e-6, atol=1e-7)
    share = {"SGD": 1.0, "Nesterov": 1 / 1.9}.get(kind, 0.0)
    history = alone.history[0].const_data + share * (moved - expected).reshape(start.shape)
    np.testing.assert_allclose(rule.history[0].const_data, history, rtol=1e-5, atol=1e-6)
    norms = np.linalg.norm(start.reshape(4, 12).astype(np.float64), axis=1)
    l2 = 0.05 * np.square(start.astype(np.float64)).sum()
    assert term == pytest.approx(0.5 * norms.sum() + l2, rel=1e-6)


class Alone:
    """The same update without group lasso."""

    def __init__(self, given, param, rule):
        self.terms, self.rule = regularizers_of(param, given), rule

    def apply(self, rate):
        ProximalUpdate(0, self.rule, self.terms, 0.0, []).apply(1.0, rate, 0, want_value=False)


@pytest.mark.parametrize("kind", ["Nesterov", "SGD"])
@pytest.mark.parametrize("momentum", [0, 0.5, 0.9])
def test_it_rests_where_loss_and_lasso_balance_whatever_the_momentum(kind, momentum, rng):
    # For the loss |w - target|^2 / 2 that is the target, shrunk by lambda.
    target = rng.standard_normal((8, 5)) * np.linspace(0.1, 2, 8)[:, None]
    param = make_param(rng.standard_normal((8, 5)), FILTERS)
    text = f"{PROXIMAL} type: '{kind}' momentum: {momentum} block_group_decay: 1.5"
    _, update = updating(param, text)
    for iteration in range(600):
        param.blob.set_diff(param.const_data - target)
        update.apply(1.0, 0.1, iteration, want_value=False)
    expected = shrink(target, 1, 5, 1.5)
    dead = ~expected.any(axis=1)
    assert 0 < dead.sum() < 8
    np.testing.assert_array_equal(~param.const_data.any(axis=1), dead)
    np.testing.assert_allclose(param.const_data, expected, atol=1e-9)


def test_a_dead_group_comes_back_only_by_a_gradient_larger_than_lambda():
    param = make_param(np.zeros((2, 4)), FILTERS)
    _, update = updating(param, f"{PROXIMAL} momentum: 0.9 block_group_decay: 1")
    for iteration in range(50):
        param.blob.set_diff([[0.49] * 4, [0.51] * 4])  # norms 0.98 and 1.02
        update.apply(1.0, 0.1, iteration, want_value=False)
    assert not param.const_data[0].any()
    assert param.const_data[1].all()


def nested_proximal_point(weights, first, second, limit):
    """Minimize ``|x - w|^2 / 2`` plus both penalties by Dykstra's splitting, slowly."""
    x, p, q = weights.copy(), np.zeros_like(weights), np.zeros_like(weights)
    for _ in range(3000):
        y = shrink(x + p, *first, limit)
        p = x + p - y
        x = shrink(y + q, *second, limit)
        q = y + q - x
    return x


def overlapping_step(weights, specs, limit):
    param = make_param(weights, specs, kernel_count=2)
    param.blob.set_diff(0.0)
    _, update = updating(param, f"{PROXIMAL} block_group_decay: 1")
    update.apply(1.0, limit, 0, want_value=False)
    return param.const_data


@pytest.mark.parametrize("order", [("FILTER", "FILTER2D"), ("FILTER2D", "FILTER")])
def test_nested_groups_take_the_exact_step_in_whatever_order_they_are_written(order, rng):
    weights = rng.standard_normal((5, 6))
    specs = "".join(f"block_group_lasso {{ group: {name} }}" for name in order)
    got = overlapping_step(weights, specs, 0.7)
    exact = nested_proximal_point(weights, (1, 2), (1, 6), 0.7)
    np.testing.assert_allclose(got, exact, atol=1e-7)
    other = shrink(shrink(weights, 1, 6, 0.7), 1, 2, 0.7)
    assert abs(other - exact).max() > 1e-2, "the order would make no difference"


def test_crossing_groups_are_exact_to_first_order(rng):
    weights = rng.standard_normal((5, 6))
    specs = "block_group_lasso { group: FILTER } block_group_lasso { group: SHAPE }"
    errors = []
    for limit in (0.02, 0.01):
        got = overlapping_step(weights, specs, limit)
        np.testing.assert_allclose(
            got, shrink(shrink(weights, 5, 1, limit), 1, 6, limit), rtol=1e-12
        )
        errors.append(abs(got - nested_proximal_point(weights, (5, 1), (1, 6), limit)).max())
    assert errors[1] < 0.3 * errors[0] < 0.01


def test_it_makes_exact_zeros_without_a_threshold():
    text = f"{PROXIMAL} block_group_decay: 0.3 momentum: 0.9"
    solver = small_solver(text, conv=FILTERS)
    solver.step(120)
    weights = solver.net.params["conv1"][0].const_data
    matrix = weights.reshape(4, -1)
    dead = ~matrix.any(axis=1)
    assert dead.any()
    assert solver._updater.threshold == 0
    same = small_solver(text.replace(PROXIMAL, ""), conv=FILTERS)
    assert same._updater.threshold == pytest.approx(1e-4)


def test_a_threshold_that_is_set_comes_last():
    solver = small_solver(f"{PROXIMAL} block_group_decay: 0.05 prune_threshold: 0.01", conv=FILTERS)
    solver.step(20)
    weights = solver.net.params["conv1"][0].const_data
    assert not ((weights != 0) & (abs(weights) < np.float32(0.01))).any()


@pytest.mark.parametrize("mode", ["DISCONNECTED_ELTWISE", "DISCONNECTED_GRPWISE"])
def test_what_is_frozen_stays(mode):
    solver = small_solver(
        f"{PROXIMAL} block_group_decay: 0.05 momentum: 0.9",
        conv=FILTERS,
        mode=f"connectivity_mode: {mode}",
    )
    weights = solver.net.params["conv1"][0].data
    weights[0] = weights[2:, 0, 1] = 0
    zeros = weights == 0
    del weights
    solver.step(20)
    assert not solver.net.params["conv1"][0].const_data[zeros].any()


@pytest.mark.parametrize("kind", ["Adam", "Nesterov", "SGD"])
def test_a_run_that_was_interrupted_goes_on_bit_for_bit(kind):
    text = f"{PROXIMAL} block_group_decay: 0.1 momentum: 0.9 type: '{kind}'"
    straight = small_solver(text, conv=FILTERS)
    straight.step(20)
    first = small_solver(text, conv=FILTERS)
    first.step(9)
    state = first.snapshot()
    second = small_solver(text, conv=FILTERS)
    second.restore(state)
    second.step(11)
    assert_same(weights_of(second), weights_of(straight))


def test_other_kinds_of_group_lasso_shrink_too(rng):
    weights = rng.standard_normal((4, 3, 2, 1))
    spec = "breadth_decay_mult: 1 kernel_shape_decay_mult: 2"
    param = make_param(weights, spec, group=2)
    param.blob.set_diff(0.0)
    _, update = updating(param, f"{PROXIMAL} breadth_decay: 1 kernel_shape_decay: 1")
    update.apply(1.0, 0.1, 0, want_value=False)
    expected = shrink(shrink(weights.reshape(4, 6), 2, 1, 0.2), 1, 6, 0.1)
    np.testing.assert_allclose(param.const_data.reshape(4, 6), expected, rtol=1e-12)


def test_it_is_logged(caplog):
    caplog.set_level(logging.INFO, "sscaffe")
    small_solver(f"{PROXIMAL} block_group_decay: 0.1", conv=FILTERS)
    assert "regularization_step: PROXIMAL; after each update, groups whose norm" in caplog.text


def test_it_refuses_to_stretch():
    with pytest.raises(PrototxtError, match=r"PROXIMAL can only shrink, got lambda -0\.1 for"):
        small_solver(f"{PROXIMAL} block_group_decay: -0.1", conv=FILTERS)


def test_without_group_lasso_it_changes_nothing():
    first, second = small_solver("momentum: 0.9"), small_solver(f"{PROXIMAL} momentum: 0.9")
    for solver in (first, second):
        solver.step(5)
    assert_same(weights_of(first), weights_of(second))


def test_a_wider_block_is_sorted_after_a_smaller_one():
    given = settings(PROXIMAL)
    terms = [GroupLasso(1, 1, 6), GroupLasso(1, 1, 2), GroupLasso(1, 5, 1)]
    assert [t.xdimen for t in by_shrinking(given, terms)] == [2, 1, 6]
    assert by_gradient(given, terms) == []
    assert by_gradient(settings(""), terms) == terms
