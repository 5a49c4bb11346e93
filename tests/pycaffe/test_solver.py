"""Solvers as pycaffe's scripts use them."""

import gc
from pathlib import Path

import numpy as np
import pytest

from tests.pycaffe.nets import SMALL, SOLVER


@pytest.fixture
def path(tmp_path):
    (tmp_path / "net.prototxt").write_text(SMALL)
    text = SOLVER.replace("{net}", str(tmp_path / "net.prototxt"))
    (tmp_path / "solver.prototxt").write_text(text.replace("{prefix}", str(tmp_path / "small")))
    return str(tmp_path / "solver.prototxt")


@pytest.fixture
def solver(caffe, path):
    caffe.set_random_seed(3)
    return caffe.SGDSolver(path)


def test_solve(solver):
    assert solver.iter == 0
    solver.solve(None)
    assert solver.iter == 20


def test_a_solver_of_each_type_and_of_the_file(caffe, path):
    for name in ("SGD", "Nesterov", "Adam"):
        solver = getattr(caffe, f"{name}Solver")(path)
        assert solver.param.type == name
        solver.step(1)
    assert type(caffe.get_solver(path)) is caffe.SGDSolver
    assert caffe.get_solver_from_file is caffe.get_solver


def test_apply_update(solver):
    blob = solver.net.layers[1].blobs[0]
    weights = blob.data
    weights[...] = 0
    blob.diff[...] = 1
    solver.apply_update()
    np.testing.assert_allclose(weights, -0.01, atol=1e-7)


def test_nets_outlive_the_solver(solver):
    nets = [solver.net, *solver.test_nets]
    assert len(nets) == 2
    solver.step(1)
    del solver
    gc.collect()
    for net in nets:
        assert all(np.isfinite(blob.data).all() for blob in net.blobs.values())
        assert all(np.isfinite(b.diff).all() for blobs in net.params.values() for b in blobs)


def test_snapshot_and_restore(caffe, solver, path, tmp_path):
    solver.step(3)
    solver.snapshot()
    for ending in ("caffemodel", "solverstate"):
        assert (tmp_path / f"small_iter_3.{ending}").is_file()
    other = caffe.SGDSolver(path)
    other.restore(str(tmp_path / "small_iter_3.solverstate"))
    assert other.iter == 3
    for each in (solver, other):
        each.step(2)
    for name, blobs in solver.net.params.items():
        for mine, theirs in zip(blobs, other.net.params[name], strict=True):
            np.testing.assert_array_equal(mine.data, theirs.data)


def test_callbacks_of_an_iteration(caffe, path):
    text = Path(path).read_text()
    Path(path).write_text(text.replace("weight_decay: 0.0005", ""))
    solver, heard = caffe.SGDSolver(path), []

    def clear():
        heard.append("gradients")
        assert abs(solver.net.params["conv"][0].diff).max() > 0
        for blobs in solver.net.params.values():
            for blob in blobs:
                blob.diff[...] = 0

    before = solver.net.params["conv"][0].data.copy()
    solver.add_callback(lambda: heard.append("start"), clear)
    solver.step(2)
    assert heard == ["start", "gradients"] * 2
    np.testing.assert_array_equal(solver.net.params["conv"][0].data, before)


def test_on_display(solver):
    seen = []
    solver.on_display(seen.append)
    solver.step(11)
    assert [facts["iter"] for facts in seen] == [0, 10]
    assert set(seen[1]) == {"iter", "loss", "lr", "outputs", "tests", "sparsity"}
    assert seen[1]["loss"] == pytest.approx(float(seen[1]["outputs"]["loss"]))
    assert seen[1]["lr"] == pytest.approx(0.01 * (1 + 1e-3) ** -0.75)
    assert list(seen[1]["tests"][0]) == ["loss"]
    assert list(seen[1]["sparsity"]) == ["conv", "score"]


def test_on_display_tells_of_the_trained_net_at_the_end(solver):
    seen = []
    solver.on_display(seen.append)
    solver.solve()
    assert [facts["iter"] for facts in seen] == [0, 10, 20]
    assert seen[-1]["sparsity"] == solver.net.sparsity()
    np.testing.assert_array_equal(seen[-1]["outputs"]["loss"], solver.net.blobs["loss"].data)
    assert seen[-1]["tests"] == solver.test_results


def test_a_title_without_an_end(solver):
    assert "iteration 0 of 20, lr 0.01" in repr(solver)
    solver.param.max_iter = 0
    assert "iteration 0, lr 0.01" in repr(solver)


def test_settings_may_change_while_it_trains(solver):
    assert solver.lr == pytest.approx(0.01)
    solver.param.base_lr = 0
    solver.param.max_iter = 7
    solver.param.display = 0
    solver.param.layer_wise_reduce = False
    before = solver.net.params["conv"][0].data.copy()
    solver.solve()
    assert (solver.iter, solver.lr) == (7, 0)
    np.testing.assert_array_equal(solver.net.params["conv"][0].data, before)


def test_weights_are_shared_with_another_net(caffe, solver, tmp_path):
    other = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    solver.share_weights(other)
    solver.step(1)
    np.testing.assert_array_equal(other.params["score"][0].data, solver.net.params["score"][0].data)


def test_weights_that_are_disconnected_on_the_way_stay_zero(solver):
    solver.step(1)
    weights = solver.net.params["conv"][0].data
    weights[2] = 0
    solver.net.disconnect("conv")
    solver.step(2)
    assert (weights[2] == 0).all()
    assert (weights != 0).sum() == 6 * 27
    solver.net.disconnect("conv", mode="CONNECTED")
    solver.step(1)
    assert (weights[2] != 0).any()


def test_what_a_solver_says_of_itself(solver):
    assert repr(solver).startswith("<SGD solver: iteration 0 of 20, lr 0.01; <Net 'small' (TRAIN)")
    solver.step(1)
    assert "iteration 1 of 20" in solver._repr_html_()
    assert "<table" in solver._repr_html_()


def test_a_seed_makes_nets_repeat(caffe, tmp_path, path):
    def weights():
        caffe.set_random_seed(11)
        first, second = (caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST) for _ in range(2))
        return first.params["conv"][0].data.copy(), second.params["conv"][0].data.copy()

    (a, b), (c, d) = weights(), weights()
    np.testing.assert_array_equal(a, c)
    np.testing.assert_array_equal(b, d)
    assert (a != b).any()


def test_paths_may_be_path_objects(caffe, path):
    assert caffe.SGDSolver(Path(path)).iter == 0
