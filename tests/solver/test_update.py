"""The steps of an update, each alone."""

import numpy as np
import pytest

from sscaffe.solver.regularizers import L1, L2, GroupLasso
from sscaffe.solver.settings import is_pruned, prune_threshold
from sscaffe.solver.update import Updater, clip_factor
from tests.solver.nets import make_param, settings, small_solver, weights_of


def with_diff(data, diff):
    param = make_param(np.float32(data))
    param.blob.set_diff(np.float32(diff))
    return param


def test_gradients_are_clipped_by_their_norm_taken_together():
    params = [with_diff([0, 0], [3, 0]), with_diff([[0]], [[-4]])]
    assert clip_factor(params, 2.5) == 0.5


@pytest.mark.parametrize("limit", [5.0, 6.0, -1.0])
def test_gradients_within_the_limit_are_left_alone(limit):
    assert clip_factor([with_diff([0, 0], [3, 4])], limit) == 1


def test_clipping_to_zero_leaves_nothing():
    assert clip_factor([with_diff([0, 0], [3, 4])], 0) == 0


@pytest.mark.parametrize(
    ("text", "terms", "disconnects", "threshold"),
    [
        ("", [L2(1)], False, 0),
        ("", [], True, 1e-4),
        ("", [L1(1)], False, 1e-4),
        ("", [L2(1), GroupLasso(1, 1, 1)], False, 1e-4),
        ("prune_threshold: 0.5", [], False, 0.5),
        ("prune_threshold: 0", [L1(1)], True, 0),
    ],
)
def test_small_weights_are_pruned_where_something_makes_weights_sparse(
    text, terms, disconnects, threshold
):
    assert prune_threshold(settings(text), [[], terms], disconnects) == threshold


@pytest.mark.parametrize(
    ("shape", "spec", "learns", "by_weights"),
    [
        ((2, 2), "", True, True),
        ((2,), "", True, False),
        ((2, 2), "lr_mult: 0", True, False),
        ((2, 2), "", False, False),
    ],
)
def test_prune_scope(shape, spec, learns, by_weights):
    param = make_param(np.ones(shape), spec, learns=learns)
    assert is_pruned(settings("prune_scope: WEIGHTS"), param) is by_weights
    assert is_pruned(settings(), param) is by_weights
    assert is_pruned(settings("prune_scope: ALL"), param)


def test_weights_below_the_threshold_become_zero_and_biases_do_not():
    solver = small_solver("base_lr: 0 prune_threshold: 0.25")
    conv, bias = solver.net.params["conv1"]
    conv.data.reshape(-1)[:3] = 0.125, -0.25, 0.375
    bias.data[...] = 0.125
    solver.step(1)
    assert conv.const_data.reshape(-1)[:3].tolist() == [0, -0.25, 0.375]
    assert (bias.const_data == 0.125).all()


def test_plain_training_prunes_nothing():
    solver = small_solver("base_lr: 0 weight_decay: 0.1")
    solver.net.params["conv1"][0].data[...] = 1e-12
    solver.step(1)
    assert (solver.net.params["conv1"][0].const_data != 0).all()


def test_clipping_is_before_division_and_both_before_decay():
    text = "base_lr: 1 clip_gradients: 0.5 iter_size: 4 weight_decay: 0.25 random_seed: 3"
    solver = small_solver(text)
    before = weights_of(solver)
    gradients = {}

    def note(apply_update):
        def noting():
            for param in solver.net.learnable_params:
                gradients[param.layer_name, param.index] = param.const_diff.copy()
            apply_update()

        return noting

    solver.apply_update = note(solver.apply_update)
    solver.step(1)
    norm = np.sqrt(sum(np.square(g).sum() for g in gradients.values()))
    assert norm > 0.5
    for key, after in weights_of(solver).items():
        expected = before[key] - (gradients[key] * (0.5 / norm) / 4 + 0.25 * before[key])
        np.testing.assert_allclose(after, expected, rtol=1e-5, atol=1e-6)


def test_rates_are_multiplied_by_lr_mult():
    plain, twice = (small_solver("base_lr: 0.5", conv=f"lr_mult: {mult}") for mult in (1, 2))
    for solver in (plain, twice):
        solver.before = weights_of(solver)["conv1", 0]
        solver.step(1)
    moved = [weights_of(s)["conv1", 0] - s.before for s in (plain, twice)]
    np.testing.assert_allclose(moved[1], 2 * moved[0], rtol=1e-4, atol=1e-6)


def test_a_frozen_layer_does_not_move_but_its_decay_is_part_of_the_total(caplog):
    caplog.set_level("INFO", "sscaffe")
    solver = small_solver("display: 1 weight_decay: 2", conv="lr_mult: 0")
    weights = weights_of(solver)
    total = sum(np.square(array).sum() for array in weights.values())
    solver.step(1)
    assert (weights_of(solver)["conv1", 0] == weights["conv1", 0]).all()
    assert f"Total regularization terms: {total:g} " in caplog.text


def test_statistics_are_neither_decayed_nor_pruned_unless_all_is_asked_for():
    for scope, kept in (("WEIGHTS", 1e-3), ("ALL", 0)):
        text = f"base_lr: 0.1 weight_decay: 1 prune_threshold: 0.01 prune_scope: {scope}"
        solver = small_solver(text)
        param = solver.net.learnable_params[1]
        param.learns = False
        param.blob.set_data(1e-3)
        Updater(solver.param, solver.net, disconnects=False, root="").apply(0.1, 0)
        np.testing.assert_allclose(param.const_data, kept, rtol=1e-6)
