"""target_sparsity, target_flops and lasso_warmup_iter."""

import logging

import numpy as np
import pytest

from sscaffe.errors import PrototxtError
from sscaffe.solver.target import kept_flops, zero_share
from tests.solver.nets import assert_same, make_param, small_solver, weights_of

FILTERS = "block_group_lasso { group: FILTER }"
LASSO = "regularization_step: PROXIMAL block_group_decay: 0.3 momentum: 0.9 "


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("target", ["target_sparsity: 0.5", "target_flops: 0.8"])
def test_training_ends_with_a_snapshot_when_the_target_is_reached(target, caplog):
    caplog.set_level(logging.INFO, "sscaffe")
    solver = small_solver(f"{LASSO} {target} target_interval: 10 max_iter: 2000", conv=FILTERS)
    solver.solve()
    assert 10 <= solver.iter < 2000
    assert solver.iter % 10 == 0
    assert solver.snapshot_path == f"small_iter_{solver.iter}.solverstate"
    name = target.partition(":")[0]
    assert f"is reached at iteration {solver.iter}; training ends" in caplog.text
    conv1 = solver.net.learnable_params[0]
    reached = zero_share([conv1]) >= 0.5 if "sparsity" in name else kept_flops(solver.net) <= 0.8
    assert reached


def test_what_is_never_reached_ends_at_max_iter():
    solver = small_solver("block_group_decay: 1e-6 target_flops: 0.1 max_iter: 5", conv=FILTERS)
    solver.solve()
    assert solver.iter == 5


def test_shares_by_hand():
    params = [make_param([[0.0, 1.0], [0.0, 0.0]]), make_param([[1.0, 1.0]])]
    assert zero_share(params) == 0.5
    solver = small_solver()
    assert kept_flops(solver.net) == 1
    weights = solver.net.params["conv1"][0].data  # 4 x 1 x 3 x 3, two groups, 9 places
    weights[0] = weights[2:, 0, 0] = 0
    kept = 9 * (9 + 2 * 6) + 3 * 36
    assert kept_flops(solver.net) == pytest.approx(kept / (9 * 36 + 3 * 36))


@pytest.mark.parametrize("target", ["target_sparsity: 0.5", "target_flops: 0.5"])
def test_a_target_needs_something_that_makes_zeros(target):
    with pytest.raises(PrototxtError, match=r"target_\w+: nothing makes weights zero"):
        small_solver(target)


@pytest.mark.parametrize("value", ["0", "1", "80", "-0.5", "nan"])
def test_a_target_is_a_share(value):
    with pytest.raises(PrototxtError, match="target_sparsity: expected a share between 0 and 1"):
        small_solver(f"target_sparsity: {value} block_group_decay: 1", conv=FILTERS)


@pytest.mark.parametrize("step", ["SUBGRADIENT", "PROXIMAL"])
def test_lambda_rises_linearly(step):
    text = f"regularization_step: {step} momentum: 0 base_lr: 1 block_group_decay: 0.01"
    plain = small_solver("base_lr: 1 prune_threshold: 0")
    with_lasso = small_solver(f"{text} prune_threshold: 0", conv=FILTERS)
    warming = small_solver(f"{text} prune_threshold: 0 lasso_warmup_iter: 4", conv=FILTERS)
    solvers = [plain, with_lasso, warming]
    start = plain.net.params["conv1"][0].const_data.copy()
    for iteration in range(6):
        moved = []
        for solver in solvers:
            solver.iter = iteration
            solver.net.params["conv1"][0].set_data(start)
            for blob in solver.net.params["conv1"]:
                blob.set_diff(0.0)
            solver.net.params["ip1"][0].set_diff(0.0)
            solver.apply_update()
            moved.append(solver.net.params["conv1"][0].const_data - start)
        share = min(1, (iteration + 1) / 4)
        # Differences of weights of about 1: single precision leaves 1e-7.
        np.testing.assert_allclose(moved[2], share * moved[1], atol=2e-7)
        assert abs(moved[1]).max() > 1e-3


def test_warming_up_goes_on_after_a_snapshot():
    text = f"{LASSO} lasso_warmup_iter: 15"
    straight, first = small_solver(text, conv=FILTERS), small_solver(text, conv=FILTERS)
    straight.step(20)
    first.step(7)
    second = small_solver(text, conv=FILTERS)
    second.restore(first.snapshot())
    second.step(13)
    assert_same(weights_of(second), weights_of(straight))


def test_a_term_much_larger_than_the_loss_is_warned_of(caplog):
    small_solver("block_group_decay: 30 display: 1", conv=FILTERS).step(2)
    warnings = [r.message for r in caplog.records if "times the loss" in r.message]
    assert len(warnings) == 1
    caplog.clear()
    small_solver("block_group_decay: 0.1 display: 1", conv=FILTERS).step(2)
    assert "times the loss" not in caplog.text
