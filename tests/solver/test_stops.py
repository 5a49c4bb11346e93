"""Ways out of the training: stops before, in and after it, and errors; what goes on afterwards."""

import numpy as np
import pytest

from sscaffe.data.datum import array_to_datum
from sscaffe.data.lmdb_writer import write_lmdb
from sscaffe.errors import DivergedError
from sscaffe.prototxt import parse_net
from sscaffe.solver import Solver
from tests.solver.nets import assert_same, settings, small_net, small_solver, weights_of


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Work in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stop_at(solver, net, run):
    """Let a solver be stopped in the forward pass of a net with this number, from 1."""
    forward, runs = net.run_forward, []

    def stop():
        runs.append(1)
        if len(runs) == run:
            solver.request_stop()
        return forward()

    net.run_forward = stop
    return runs


def lmdb_net():
    """Return a net that trains and tests with an LMDB, which is made here."""
    rng = np.random.default_rng(1701)
    images = rng.integers(0, 255, (7, 1, 6, 6), dtype=np.uint8)
    records = [
        (b"%03d" % i, array_to_datum(image, i % 3).SerializeToString())
        for i, image in enumerate(images)
    ]
    write_lmdb("digits_lmdb", records)
    return parse_net("""
    layer { name: "digits" type: "Data" top: "data" top: "label"
      transform_param { mirror: true scale: 0.01 }
      data_param { source: "digits_lmdb" backend: LMDB batch_size: 3 } }
    layer { name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1"
      inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip1" bottom: "label" top: "loss" }
    """)


# The first of the two test nets has 2 batches, the second 3; the test at iteration 0 is the first.
@pytest.mark.parametrize("run", [1, 2, 3, 4])
@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("make_net", [lmdb_net, small_net])
def test_a_stop_in_a_test_loses_nothing(make_net, number, run):
    text = "test_iter: 2 test_iter: 3 test_interval: 3 max_iter: 7 momentum: 0.9"
    param = settings(text, make_net())
    with Solver(param) as straight, Solver(param) as stopped, Solver(param) as resumed:
        straight.solve()
        stop_at(stopped, stopped.test_nets[number], run)
        stopped.solve()
        assert stopped.iter < 7
        resumed.solve(stopped.snapshot_path)
        straight.test_all()
        resumed.test_all()
        assert_same(weights_of(resumed), weights_of(straight))
        assert resumed.test_results == straight.test_results
        assert resumed.rng.get_state() == straight.rng.get_state()


def test_a_test_that_was_given_up_can_be_run_again():
    param = settings("test_iter: 3 test_interval: 3", lmdb_net())
    with Solver(param) as solver, Solver(param) as other:
        stop_at(solver, solver.test_nets[0], 2)
        assert solver.test_all() == []
        solver.step(1)
        other.step(1)
        assert solver.test_results == other.test_results


def test_a_stop_holds_for_one_step():
    solver = small_solver()
    solver.callbacks.append(lambda s: s.request_stop() if s.iter == 2 else None)
    solver.step(5)
    assert (solver.iter, solver.stop_requested) == (2, True)
    solver.step(5)
    assert (solver.iter, solver.stop_requested) == (7, False)


def test_a_stop_before_solve_is_heeded(here):
    solver = small_solver("max_iter: 5")
    solver.request_stop()
    solver.solve()
    assert (solver.iter, solver.stop_requested) == (0, False)
    assert (here / "small_iter_0.solverstate").exists()
    solver.solve()
    assert solver.iter == 5


def test_a_stop_while_solve_restores_is_heeded(monkeypatch):
    param = settings("max_iter: 5")
    Solver(param).snapshot()
    solver = Solver(param)
    copy_from = solver.net.copy_from
    monkeypatch.setattr(solver.net, "copy_from", lambda p: (solver.request_stop(), copy_from(p)))
    solver.solve("small_iter_0.solverstate")
    assert solver.iter == 0


def test_a_stop_does_not_outlive_a_solve_that_fails():
    solver = small_solver("max_iter: 5")
    solver.net.params["ip1"][0].data[0, 0] = np.nan
    solver.request_stop()
    with pytest.raises(DivergedError):
        solver.solve()
    assert not solver.stop_requested


def test_history_that_is_held_is_up_to_date_after_an_error():
    net = small_net()
    net.layer[1].convolution_param.num_output = 32
    net.layer[0].dummy_data_param.shape[0].dim[1] = 32
    solver = Solver(settings("momentum: 0.5", net))
    solver.step(1)
    history = solver.history[0].data
    before = history.copy()
    solver.callbacks.append(lambda s: s.net.params["nosuch"])
    with pytest.raises(KeyError):
        solver.step(1)
    current = history.copy()
    assert (current != before).any()
    np.testing.assert_array_equal(current, solver.history[0].const_data)


def test_numbers_that_overflow_are_told_by_the_solver_alone():
    # NumPy's warnings are errors in these tests.
    for name in ("SGD", "Nesterov"):
        solver = small_solver(f'type: "{name}" base_lr: 1e30')
        with pytest.raises(DivergedError, match="lower base_lr"):
            solver.step(20)


def test_gradients_with_squares_that_overflow_raise_no_warning():
    solver = small_solver('type: "RMSProp"')
    solver.net.params["ip1"][0].data[...] *= 1e25
    solver.step(1)
    assert np.isinf(solver.history[0].const_data).any()
