"""The solver as a whole: what happens when, to which nets, and how it ends."""

import re

import numpy as np
import pytest

from sscaffe import prototxt
from sscaffe.errors import DivergedError, PrototxtError, SscaffeError
from sscaffe.layer import TRAIN
from sscaffe.net import Net
from sscaffe.solver import AdamSolver, NesterovSolver, SGDSolver, Solver, get_solver
from tests.solver.nets import assert_same, settings, small_net, small_solver, weights_of


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Work in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def log(caplog):
    """Return a function that returns the lines so far that start with any of these words."""
    caplog.set_level("INFO", "sscaffe")

    def lines(*words):
        messages = [record.getMessage() for record in caplog.records]
        return [m for m in messages if m.strip().startswith(words)]

    return lines


NUMBER = r"-?[\d.]+(e[+-]\d+)?"


def test_the_lines_of_an_iteration_and_their_order(log):
    conv = "block_group_lasso { group: SHAPE } block_group_lasso { group: FILTER }"
    text = "display: 1 block_group_decay: 0.1 clip_gradients: 0.01 test_iter: 1 test_interval: 1"
    solver = small_solver(text, conv=conv)
    start = len(log(""))
    solver.step(1)
    patterns = [
        r"Iteration 0, Testing net \(#0\)",
        rf"    Test net output #0: loss = {NUMBER} \(\* 1 = {NUMBER} loss\)",
        rf"Iteration 0, loss = {NUMBER}",
        rf"    Train net output #0: loss = {NUMBER} \(\* 1 = {NUMBER} loss\)",
        r"Iteration 0, lr = 0.1",
        r"    Sparsity conv1 weight: elem 0.0% col 0.0% row 0.0% block\(1,2\) 0.0% "
        r"block\(9,1\) 0.0%",
        r"    Sparsity ip1 weight: elem 0.0% col 0.0% row 0.0%",
        rf"Gradient clipping: scaling down gradients \(L2 norm {NUMBER} > 0.01\) by scale factor "
        rf"{NUMBER}",
        rf"    Total regularization terms: {NUMBER} loss\+regular. : {NUMBER}",
    ]
    for line, pattern in zip(log("")[start:], patterns, strict=True):
        assert re.fullmatch(pattern, line), (line, pattern)


def test_nothing_is_logged_between_displays(log):
    solver = small_solver("display: 3")
    start = len(log(""))
    solver.step(6)
    seen = [line for line in log("")[start:] if line.startswith("Iteration")]
    assert [line.partition(",")[0] for line in seen[::2]] == ["Iteration 0", "Iteration 3"]
    assert len(seen) == 4
    assert len(log("Speed: ")) == 1
    assert re.fullmatch(rf"    Speed: {NUMBER} iter/s", log("Speed: ")[0])


def test_sparsity_is_per_cent_of_what_is_zero(log):
    solver = small_solver("display: 1", conv="block_group_lasso { xdimen: 3 ydimen: 2 }")
    weights = solver.net.params["conv1"][0].data.reshape(4, 9)
    weights[0] = weights[:, 4] = 0
    weights[1, 5] = 0.5e-4
    weights[2:, :3] = 0
    solver.step(1)
    expected = "Sparsity conv1 weight: elem 52.8% col 11.1% row 25.0% block(3,2) 16.7%"
    assert log("Sparsity conv1")[0].strip() == expected


def test_the_published_parsers_read_the_log(log):
    text = "display: 2 test_iter: 1 test_interval: 2 max_iter: 4 snapshot_after_train: false"
    solver = small_solver(text)
    solver.solve()
    lines = log("")
    # The expressions of tools/extra/parse_log.py and what parse_log.sh greps for.
    train = [m for m in (re.match(r"Iteration (\d+), loss = ([\d.e+-]+)$", x) for x in lines) if m]
    rates = [m for m in (re.search(r"lr = ([-+]?[0-9]*\.?[0-9]+)", x) for x in lines) if m]
    outputs = [
        m
        for m in (re.search(r"(Train|Test) net output #(\d+): (\S+) = (.+)", x) for x in lines)
        if m
    ]
    tests = [x for x in lines if re.match(r"Iteration \d+, Testing net \(#0\)$", x)]
    assert [int(m[1]) for m in train] == [0, 2, 4]
    assert len(rates) == 2
    assert [m[1] for m in outputs] == ["Test", "Train", "Test", "Train", "Test"]
    assert len(tests) == 3
    assert "Solving small" in lines
    assert lines[-1] == "Optimization Done."
    for line in lines:
        if "Iteration" in line and "loss" in line:
            assert len(line.split()) == 5  # parse_log.sh takes columns


def test_iter_size_sums_gradients_of_as_many_batches():
    solver = small_solver("iter_size: 3 base_lr: 0")
    runs = []
    forward_backward = solver.net.forward_backward

    def count():
        runs.append(forward_backward())
        return runs[-1]

    solver.net.forward_backward = count
    solver.step(2)
    assert len(runs) == 6
    assert solver.smoothed_loss == pytest.approx(np.mean(runs[3:]))


def test_gradients_are_cleared_before_each_iteration():
    solver = small_solver("base_lr: 0")
    solver.net.params["ip1"][0].diff[...] = 1e6
    solver.step(1)
    assert abs(solver.net.params["ip1"][0].const_diff).max() < 1e3


def test_the_loss_is_averaged_over_iterations():
    solver = small_solver("average_loss: 3 base_lr: 0")
    losses = []
    solver.callbacks.append(lambda s: losses.append(float(s.net.blobs["loss"].const_data)))
    solver.step(1)
    assert solver.smoothed_loss == pytest.approx(losses[0])
    solver.step(4)
    assert solver.smoothed_loss == pytest.approx(np.mean(losses[-3:]))


def test_each_call_of_step_starts_a_mean_of_its_own():
    solver = small_solver("average_loss: 3")
    solver.step(2)
    solver.step(1)
    assert solver.smoothed_loss == float(solver.net.blobs["loss"].const_data)


def test_the_test_nets_use_the_weights_in_training():
    solver = small_solver("test_iter: 2 test_iter: 1 test_interval: 1")
    assert len(solver.test_nets) == 2
    solver.step(2)
    solver.test_all()
    for net in solver.test_nets:
        assert net.phase != solver.net.phase
        for name, blobs in solver.net.params.items():
            for blob, other in zip(blobs, net.params[name], strict=True):
                assert blob.data_tensor is other.data_tensor


def test_test_results_are_means_over_test_iter():
    solver = small_solver("test_iter: 3 test_interval: 1")
    losses = []
    forward = solver.test_nets[0].run_forward
    solver.test_nets[0].run_forward = lambda: losses.append(forward()) or losses[-1]
    ((result,),) = [solver.test_all()]
    assert len(losses) == 3
    assert result["loss"] == pytest.approx(np.mean(losses))
    assert solver.test_results == [result]


def test_when_tests_are_due(log):
    text = "test_iter: 1 test_interval: 2 test_initialization: false max_iter: 4"
    solver = small_solver(f"{text} snapshot_after_train: false")
    solver.solve()
    assert log("Iteration") == [f"Iteration {i}, Testing net (#0)" for i in (2, 4)]


def test_the_loss_of_tests_is_logged_where_it_is_asked_for(log):
    small_solver("test_iter: 1 test_interval: 1 test_compute_loss: true").test_all()
    assert len(log("Test loss: ")) == 1


def test_each_net_has_its_own_state():
    net = small_net()
    for name, rule in (("one", {"stage": ["one"]}), ("high", {"min_level": 2})):
        net.layer.add(name=name, type="Silence", bottom=["data"]).include.add(**rule)
    states = 'train_state { level: 2 } test_state { stage: "one" } test_state { level: 2 }'
    solver = Solver(settings(f"test_iter: 1 test_iter: 1 test_interval: 1 {states}", net))
    names = [net.layer_names[-1] for net in (solver.net, *solver.test_nets)]
    assert names == ["high", "one", "high"]


def test_nets_may_be_in_files(here):
    (here / "net.prototxt").write_text(prototxt.format_net(small_net()))
    text = 'train_net: "net.prototxt" test_net: "net.prototxt" test_iter: 1 test_interval: 1'
    (here / "solver.prototxt").write_text(prototxt.format_net(settings(text)))
    solver = Solver(here / "solver.prototxt")
    assert (solver.net.source, len(solver.test_nets)) == ("net.prototxt", 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('net: "a" train_net: "b"', "net: expected one of .*, got train_net, net"),
        ("test_iter: 1", "test_interval: expected 1 or more to go with test_iter, got 0"),
        ("test_iter: 0 test_interval: 1", "test_iter: expected 1 or more, got 0"),
        ('test_net: "a" test_net: "b" test_iter: 1', "test_iter: expected 2, one for .*, got 1"),
        (
            "test_iter: 1 test_interval: 1 test_state { } test_state { }",
            "test_state: expected 1, one for each test net, or none, got 2",
        ),
    ],
)
def test_nets_that_do_not_add_up_are_refused(text, message):
    with pytest.raises(PrototxtError, match=message):
        Solver(settings(text))


def test_a_solver_without_a_net_is_refused():
    param = settings()
    param.ClearField("net_param")
    with pytest.raises(PrototxtError, match=r"net: expected one of .*, got none"):
        Solver(param)


def test_weights_are_loaded_in_turn():
    first, second = Net(small_net(), TRAIN), Net(small_net(), TRAIN)
    second.param.layer[1].name = "other"  # so that the file has conv1 no more
    first.save("first.caffemodel")
    second.save("second.caffemodel")
    solver = Solver(settings('weights: "first.caffemodel, second.caffemodel"'))
    for name, net in (("conv1", first), ("ip1", second)):
        loaded = solver.net.params[name][0].const_data
        np.testing.assert_array_equal(loaded, net.params[name][0].const_data)


def test_a_seed_gives_the_same_training():
    first, second, other = (small_solver(f"random_seed: {seed}") for seed in (5, 5, 6))
    for solver in (first, second, other):
        solver.step(3)
    assert_same(weights_of(first), weights_of(second))
    assert not (weights_of(first)["ip1", 0] == weights_of(other)["ip1", 0]).any()


def test_the_seed_is_logged_so_that_a_run_can_be_repeated(log):
    first = small_solver("random_seed: -1")
    seed = int(log("random_seed: ")[0].split()[1])
    assert_same(weights_of(first), weights_of(small_solver(f"random_seed: {seed}")))


def test_solving_ends_at_max_iter_with_a_snapshot(here):
    solver = small_solver("max_iter: 3")
    solver.solve()
    assert solver.iter == 3
    assert solver.snapshot_path == "small_iter_3.solverstate"
    assert {path.name for path in here.iterdir()} == {
        "small_iter_3.caffemodel",
        "small_iter_3.solverstate",
    }


def test_snapshots_are_taken_as_often_as_asked_and_once_each(here, log):
    small_solver("max_iter: 4 snapshot: 2").solve()
    assert len(log("Snapshotting solver state")) == 2
    assert sorted(path.name for path in here.glob("*.solverstate")) == [
        "small_iter_2.solverstate",
        "small_iter_4.solverstate",
    ]


def test_no_snapshot_is_taken_that_is_not_asked_for(here):
    small_solver("max_iter: 2 snapshot_after_train: false").solve()
    assert not list(here.iterdir())


def test_solving_goes_on_from_a_snapshot():
    straight = small_solver("max_iter: 5 momentum: 0.9 snapshot: 2")
    straight.solve()
    resumed = small_solver("max_iter: 5 momentum: 0.9")
    resumed.solve("small_iter_2.solverstate")
    assert_same(weights_of(resumed), weights_of(straight))


def test_a_solver_that_is_done_trains_no_more():
    solver = small_solver("max_iter: 2 snapshot_after_train: false")
    solver.solve()
    before = weights_of(solver)
    solver.solve()
    assert solver.iter == 2
    assert_same(weights_of(solver), before)


def test_a_stop_ends_after_the_iteration_with_a_snapshot(log):
    solver = small_solver("max_iter: 100 snapshot_after_train: false")
    solver.callbacks.append(lambda s: s.request_stop() if s.iter == 3 else None)
    solver.solve()
    assert solver.iter == 3
    assert solver.snapshot_path == "small_iter_3.solverstate"
    assert log("Optimization") == ["Optimization stopped early."]
    assert not solver.stop_requested


def test_a_stop_in_a_test_does_not_wait_for_its_end(log):
    solver = small_solver("max_iter: 100 test_iter: 50 test_interval: 1")
    forward = solver.test_nets[0].run_forward
    runs = []

    def stop():
        runs.append(solver.request_stop())
        return forward()

    solver.test_nets[0].run_forward = stop
    solver.solve()
    assert (len(runs), solver.iter) == (1, 0)
    assert "Test interrupted." in log("Test")


def test_a_snapshot_may_be_requested_at_any_time(here):
    solver = small_solver()
    solver.callbacks.append(lambda s: s.request_snapshot() if s.iter == 2 else None)
    solver.step(5)
    assert [path.name for path in here.glob("*.solverstate")] == ["small_iter_3.solverstate"]


def test_callbacks_are_called_after_each_iteration():
    solver, seen = small_solver(), []
    solver.callbacks.append(lambda s: seen.append((s.iter, s.smoothed_loss > 0)))
    solver.step(3)
    assert seen == [(1, True), (2, True), (3, True)]


def test_arrays_that_are_held_are_up_to_date_after_a_step():
    net = small_net()
    net.layer[1].convolution_param.num_output = 32
    net.layer[0].dummy_data_param.shape[0].dim[1] = 32
    solver = Solver(settings("momentum: 0.5", net))
    solver.step(1)
    history = solver.history[0].data
    solver.step(1)
    np.testing.assert_array_equal(history.copy(), solver.history[0].const_data)
    blob = solver.net.params["conv1"][0]
    before, diff = blob.const_data.copy(), blob.diff
    solver.step(1)
    update = diff.copy()
    np.testing.assert_allclose(before - update, blob.const_data, atol=1e-6)
    before, data = blob.const_data.copy(), blob.data
    solver.step(1)
    np.testing.assert_allclose(before - diff, data.copy(), atol=1e-6)
    np.testing.assert_array_equal(data, blob.const_data)


def test_a_loss_that_is_not_finite_ends_training_and_names_the_layer():
    solver = small_solver("weight_decay: 0.5")
    solver.step(2)
    solver.net.params["ip1"][0].data[0, 0] = np.nan
    message = (
        "loss: expected a finite number at iteration 2, got nan, first of all in the weights of "
        r"layer 'ip1'; lower base_lr \(0.1\) or weight_decay \(0.5\)"
    )
    with pytest.raises(DivergedError, match=message):
        solver.step(1)
    assert solver.iter == 2


def test_an_output_that_is_not_finite_is_named():
    net = prototxt.parse_net("""
    layer { name: "in" type: "Input" top: "x" top: "y"
            input_param { shape { dim: 2 dim: 2 } shape { dim: 2 } } }
    layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
            inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "y" top: "loss" }
    """)
    solver = Solver(settings(net=net))
    solver.net.blobs["x"].set_data(np.inf)
    with pytest.raises(DivergedError, match="first of all in the output of layer 'in'"):
        solver.step(1)


def test_large_finite_weights_are_not_taken_for_divergence(here):
    solver = small_solver()
    solver.net.params["conv1"][0].data[...] = 3e38
    solver.snapshot()
    assert list(here.iterdir())


@pytest.mark.parametrize(
    ("solver_class", "name"),
    [(SGDSolver, "SGD"), (NesterovSolver, "Nesterov"), (AdamSolver, "Adam")],
)
def test_classes_fix_the_type_and_get_solver_finds_the_class(solver_class, name, here):
    solver = solver_class(settings('type: "RMSProp"'))
    assert solver.param.type == name
    assert type(get_solver(settings(f'type: "{name}"'))) is solver_class
    (here / "s.prototxt").write_text(prototxt.format_net(settings(f'type: "{name}"')))
    assert type(get_solver("s.prototxt")) is solver_class


def test_a_solver_closes_its_nets():
    with small_solver("test_iter: 1 test_interval: 1") as solver:
        closed = []
        for net in (solver.net, *solver.test_nets):
            net.layers[0].close = lambda: closed.append(1)
    assert closed == [1, 1]


def test_a_test_net_that_cannot_be_built_closes_the_training_net(monkeypatch):
    closed = []
    monkeypatch.setattr(Net, "close", lambda net: closed.append(net.phase))
    net = small_net()
    net.layer.add(name="bad", type="ReLU", bottom=["nosuch"], top=["x"]).include.add(phase="TEST")
    with pytest.raises(SscaffeError, match="nosuch"):
        Solver(settings("test_iter: 1 test_interval: 1", net))
    assert closed == [TRAIN]
