"""connectivity_mode: which weights are frozen, and that they stay so however they arrive."""

import logging

import numpy as np
import pytest

from sscaffe.layer import TRAIN
from sscaffe.net import Net
from sscaffe.proto import caffe_pb2
from sscaffe.solver import Solver
from sscaffe.solver.connectivity import Connectivity, mask_of
from tests.solver.nets import settings, small_net, small_solver, weights_of

MODE = caffe_pb2.LayerParameter
ELTWISE = "connectivity_mode: DISCONNECTED_ELTWISE"
GRPWISE = "connectivity_mode: DISCONNECTED_GRPWISE"

# conv1 has the shape (4, 1, 3, 3) and two groups.
HOLES = (np.s_[0], np.s_[2:4, 0, 1], np.s_[1, 0, 2, 2])


def make_holes(net):
    """Make a filter, columns of the second group and a single weight zero; return which."""
    holes = np.zeros(net.params["conv1"][0].shape, bool)
    for hole in HOLES:
        holes[hole] = True
    weights = net.params["conv1"][0].data
    weights[abs(weights) < 0.01] = 0.1  # or chance would make more
    weights[holes] = 0
    return holes


def test_connected_freezes_nothing():
    assert mask_of(np.zeros((2, 3)), MODE.CONNECTED).all()


def test_eltwise_freezes_zeros():
    mask = mask_of(np.array([[0, 1e-30], [-2, 0]]), MODE.DISCONNECTED_ELTWISE)
    assert mask.tolist() == [[False, True], [True, False]]


def test_grpwise_freezes_rows_and_columns_of_zeros():
    weights = np.array([[0, 0, 0], [1, 0, 0], [1, 0, 2]])
    mask = mask_of(weights, MODE.DISCONNECTED_GRPWISE)
    assert mask.tolist() == [[False] * 3, [True, False, True], [True, False, True]]


def test_grpwise_looks_at_each_conv_group_by_itself():
    weights = np.array([[1, 0], [1, 0], [0, 1], [0, 1]]).reshape(4, 2, 1, 1)
    mask = mask_of(weights, MODE.DISCONNECTED_GRPWISE, group=2)
    assert mask.shape == (4, 2, 1, 1)
    assert mask.reshape(4, 2).tolist() == [[True, False]] * 2 + [[False, True]] * 2
    assert mask_of(weights, MODE.DISCONNECTED_GRPWISE).all()


@pytest.mark.parametrize("mode", [MODE.DISCONNECTED_ELTWISE, MODE.DISCONNECTED_GRPWISE])
def test_a_layer_of_zeros_is_frozen_whole(mode):
    assert not mask_of(np.zeros((2, 2, 3)), mode).any()


def by_caffemodel(solver, sparse, folder):
    sparse.save(folder / "w.caffemodel")
    solver.net.copy_from(folder / "w.caffemodel")


def by_hdf5(solver, sparse, folder):
    sparse.save(folder / "w.caffemodel.h5")
    solver.net.copy_from(folder / "w.caffemodel.h5")


def by_sharing(solver, sparse, folder):
    solver.net.share_with(sparse)


def by_net_surgery(solver, sparse, folder):
    for name, blobs in sparse.params.items():
        for blob, other in zip(solver.net.params[name], blobs, strict=True):
            blob.data[...] = other.const_data


ARRIVALS = [by_caffemodel, by_hdf5, by_sharing, by_net_surgery]


@pytest.mark.parametrize("arrive", ARRIVALS)
@pytest.mark.parametrize("mode", [ELTWISE, GRPWISE])
@pytest.mark.parametrize("steps_before", [0, 2])
def test_zeros_stay_zero_however_the_weights_arrive(mode, arrive, steps_before, tmp_path):
    sparse = Net(small_net(), TRAIN)
    holes = make_holes(sparse)
    solver = small_solver("momentum: 0.9 weight_decay: 0.1", mode=mode)
    solver.step(steps_before)
    arrive(solver, sparse, tmp_path)
    before = weights_of(solver)["conv1", 0]
    solver.step(3)
    after = solver.net.params["conv1"][0].const_data
    if mode == GRPWISE:
        holes[1, 0, 2, 2] = False  # alone in its row and column
    assert (after[holes] == 0).all()
    assert (after != before)[~holes].mean() > 0.9
    assert solver.net.learnable_params[0].mask is not None


def test_zeros_come_back_without_a_mode():
    solver = small_solver("momentum: 0.9")
    holes = make_holes(solver.net)
    solver.step(3)
    assert solver.net.params["conv1"][0].const_data[holes].any()


def test_the_solver_loads_weights_before_it_decides(tmp_path):
    sparse = Net(small_net(), TRAIN)
    holes = make_holes(sparse)
    sparse.save(tmp_path / "w.caffemodel")
    solver = Solver(settings(f'weights: "{tmp_path / "w.caffemodel"}"', small_net(mode=ELTWISE)))
    solver.step(2)
    assert (solver.net.params["conv1"][0].const_data[holes] == 0).all()


def test_small_weights_become_zero_and_are_frozen():
    solver = small_solver("base_lr: 1", mode=ELTWISE)
    solver.net.params["conv1"][0].data[0] = 0.99e-4
    solver.net.params["conv1"][0].data[1] = 1.01e-4
    solver.step(1)
    assert not solver.net.params["conv1"][0].const_data[0].any()
    assert solver.net.learnable_params[0].mask[1].all()


def test_the_threshold_of_freezing_is_prune_threshold():
    solver = small_solver("prune_threshold: 0", mode=ELTWISE)
    solver.net.params["conv1"][0].data[0] = 1e-9
    solver.step(1)
    assert solver.net.learnable_params[0].mask.all()


def test_training_alone_does_not_freeze_more():
    solver = small_solver("prune_threshold: 0.05", mode=ELTWISE)
    solver.step(1)
    mask = solver.net.learnable_params[0].mask.copy()
    solver.step(4)
    assert ((solver.net.params["conv1"][0].const_data == 0) & mask).any()
    assert (solver.net.learnable_params[0].mask == mask).all()


def test_looking_at_the_weights_changes_no_mask():
    solver = small_solver(mode=ELTWISE)
    held = solver.net.params["conv1"][0].data
    make_holes(solver.net)
    solver.step(1)
    mask = solver.net.learnable_params[0].mask
    assert held.any()
    assert solver.net.params["conv1"][0].data.any()
    solver.step(1)
    assert solver.net.learnable_params[0].mask is mask


def test_the_history_goes_on_under_a_mask():
    solver = small_solver("momentum: 0.9", mode=ELTWISE)
    holes = make_holes(solver.net)
    solver.step(1)
    assert solver.history[0].const_data[holes].any()
    assert not solver.net.params["conv1"][0].const_diff[holes].any()


def test_a_mode_that_freezes_nothing_is_told(caplog):
    small_solver(mode=GRPWISE).step(1)
    message = "DISCONNECTED_GRPWISE of conv1 weight freezes nothing, as it has no zeros to keep"
    assert message in caplog.text


def test_a_mode_of_a_layer_without_weights_is_told(caplog):
    net = small_net()
    net.layer[2].connectivity_mode = MODE.DISCONNECTED_ELTWISE
    Solver(settings(net=net))
    assert "connectivity_mode: DISCONNECTED_ELTWISE of layer relu1 has no effect" in caplog.text


def test_how_much_is_frozen_is_logged(caplog):
    caplog.set_level(logging.INFO, "sscaffe")
    solver = small_solver(mode=ELTWISE)
    make_holes(solver.net)
    solver.step(1)
    assert "conv1 weight: 16 weights (44.4%) are frozen by DISCONNECTED_ELTWISE" in caplog.text


def test_a_shared_weight_is_frozen_by_either_layer():
    net = small_net()
    for layer in (net.layer[1], net.layer.add()):
        layer.CopyFrom(net.layer[1])
        layer.param[0].name = "w"
    net.layer[-1].name, net.layer[-1].top[0] = "twin", "twin"
    net.layer[-1].connectivity_mode = MODE.DISCONNECTED_ELTWISE
    net.layer.add(name="quiet", type="Silence", bottom=["twin"])
    solver = Solver(settings(net=net))
    holes = make_holes(solver.net)
    solver.step(2)
    assert (solver.net.params["conv1"][0].const_data[holes] == 0).all()


def test_an_error_in_training_freezes_nothing_more():
    solver = small_solver("prune_threshold: 0.05", mode=ELTWISE)
    solver.step(1)
    mask = solver.net.learnable_params[0].mask.copy()

    def interrupt(_):
        raise KeyboardInterrupt

    def fail():
        raise ZeroDivisionError

    solver.callbacks.append(interrupt)
    with pytest.raises(KeyboardInterrupt):
        solver.step(5)
    solver.callbacks.clear()
    solver.callbacks.append(lambda s: setattr(s.net, "forward_backward", fail))
    with pytest.raises(ZeroDivisionError):
        solver.step(5)
    solver.callbacks.clear()
    del solver.net.forward_backward
    assert ((solver.net.params["conv1"][0].const_data == 0) & mask).any()
    solver.step(1)
    np.testing.assert_array_equal(solver.net.learnable_params[0].mask, mask)


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("fails", [False, True])
def test_weights_that_a_callback_makes_zero_stay_zero(fails, held):
    solver = small_solver("momentum: 0.9", mode=ELTWISE)
    solver.step(1)
    weights = solver.net.params["conv1"][0].data if held else None
    holes = []

    def cut(one):
        if one.iter != 3:
            return
        if held:
            weights[0] = 0
        else:
            holes.append(make_holes(one.net))
        if fails:
            raise KeyboardInterrupt

    solver.callbacks.append(cut)
    if fails:
        with pytest.raises(KeyboardInterrupt):
            solver.step(5)
    solver.step(3)
    after = solver.net.params["conv1"][0].const_data
    assert not after[0].any()
    assert held or not after[holes[0]].any()


def test_a_callback_that_only_looks_changes_no_mask():
    solver = small_solver("prune_threshold: 0.05", mode=ELTWISE)
    solver.step(1)
    mask = solver.net.learnable_params[0].mask
    solver.callbacks.append(lambda s: s.net.params["conv1"][0].data.sum())
    solver.step(4)
    assert ((solver.net.params["conv1"][0].const_data == 0) & mask).any()
    assert solver.net.learnable_params[0].mask is mask


def test_weights_are_looked_at_in_training_only_for_callbacks(monkeypatch):
    looks, look = [], Connectivity._look
    monkeypatch.setattr(Connectivity, "_look", lambda one: (looks.append(1), look(one))[1])
    solver = small_solver(mode=ELTWISE)
    solver.step(5)
    assert len(looks) == 2  # when the masks were made, and at the end
    solver.callbacks.append(lambda s: None)
    looks.clear()
    solver.step(5)
    assert len(looks) == 6  # after each iteration, and at the end


@pytest.mark.parametrize("arrive", ARRIVALS)
def test_a_snapshot_without_a_step_has_the_masks_of_the_new_weights(arrive, tmp_path):
    sparse = Net(small_net(), TRAIN)
    holes = make_holes(sparse)
    solver = small_solver(f'snapshot_prefix: "{tmp_path}/a"', mode=ELTWISE)
    solver.step(1)
    arrive(solver, sparse, tmp_path)
    state = solver.snapshot()
    resumed = small_solver(mode=ELTWISE)
    resumed.restore(state)
    resumed.step(2)
    assert not resumed.net.params["conv1"][0].const_data[holes].any()
    np.testing.assert_array_equal(resumed.net.learnable_params[0].mask, ~holes)


def test_a_snapshot_in_training_keeps_the_masks(tmp_path):
    text = f'prune_threshold: 0.05 snapshot: 2 snapshot_prefix: "{tmp_path}/a"'
    solver = small_solver(text, mode=ELTWISE)
    solver.step(1)
    mask = solver.net.learnable_params[0].mask
    solver.step(5)
    assert ((solver.net.params["conv1"][0].const_data == 0) & mask).any()
    assert solver.net.learnable_params[0].mask is mask
