"""Training by several ranks: what one process with all of their records would do."""

import json
import os
import re
import signal

import numpy as np
import pytest

from tests.parallel import jobs
from tests.stopwatch import wait_until

pytest.importorskip("mpi4py", reason="needs mpi4py: pip install 'sscaffe[mpi]'")
pytestmark = jobs.needs_mpi

DROPOUT = 'layer { name: "drop" type: "Dropout" bottom: "conv1" top: "conv1" }'
BATCH_NORM = 'layer { name: "norm" type: "BatchNorm" bottom: "conv1" top: "conv1" }'
LASSO = "block_group_lasso { group: FILTER }"
TEST = "test_iter: 3 test_interval: 20 "


def assert_alike(ranks):
    for rank in ranks[1:]:
        jobs.assert_same_bits(ranks[0], rank)


def assert_near(first, second, rtol=1e-5):
    for name, array in second.items():
        np.testing.assert_allclose(first[name], array, rtol=rtol, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("count", [2, 4])
def test_ranks_do_what_one_process_with_all_their_records_does(tmp_path, count):
    together = jobs.drive(count, jobs.prepare_net(tmp_path / "ranks", batch=5))
    [alone] = jobs.drive(1, jobs.prepare_net(tmp_path / "alone", batch=5 * count))
    assert_alike(together)
    assert_near(together[0], alone)


def test_three_ranks_with_several_passes(tmp_path):
    solver = "max_iter: 20 iter_size: 2 clip_gradients: 0.5 type: 'Adam' momentum2: 0.99"
    together = jobs.drive(3, jobs.prepare_net(tmp_path / "ranks", solver, batch=2))
    [alone] = jobs.drive(1, jobs.prepare_net(tmp_path / "alone", solver, batch=6))
    assert_alike(together)
    assert_near(together[0], alone, rtol=1e-4)  # Adam divides by small numbers


def test_split_batch_keeps_the_batch(tmp_path):
    folder = jobs.prepare_net(tmp_path / "ranks", batch=8)
    assert_near(jobs.drive(2, folder, "split")[0], *jobs.drive(1, folder))
    _, log = jobs.train(2, folder, "--split-batch")
    assert "2 ranks x batch 4 = effective batch 8 (--split-batch: as one process has)" in log


def test_zeros_are_the_same_on_all_ranks_and_stay(tmp_path):
    solver = "max_iter: 50 regularization_step: PROXIMAL block_group_decay: 0.2 snapshot: 50"
    folder = jobs.prepare_net(tmp_path, solver, conv=LASSO)
    ranks = jobs.drive(2, folder)
    assert_alike(ranks)
    zeros = ranks[0]["conv1 weight"] == 0
    assert zeros.any()
    assert not zeros.all()

    finer = 'max_iter: 30 weights: "small_iter_50.caffemodel"'
    mode = "connectivity_mode: DISCONNECTED_GRPWISE"
    folder = jobs.prepare_net(tmp_path, finer, mode=mode)
    ranks = jobs.drive(2, folder)
    assert_alike(ranks)
    assert (ranks[0]["mask of conv1 weight"] == ~zeros).all()
    assert ((ranks[0]["conv1 weight"] == 0) == zeros).all()


def test_a_run_goes_on_from_a_snapshot_bit_for_bit(tmp_path):
    mode = "connectivity_mode: DISCONNECTED_ELTWISE"
    net = {"extra": DROPOUT + BATCH_NORM, "conv": LASSO, "mode": mode, "batch": 7}
    solver = TEST + "block_group_decay: 0.01 snapshot: 20 max_iter: "
    whole = jobs.drive(2, jobs.prepare_net(tmp_path / "whole", solver + "50", **net))
    folder = jobs.prepare_net(tmp_path / "parts", solver + "20", **net)
    jobs.drive(2, folder)
    jobs.prepare_net(folder, solver + "50", **net)
    parts = jobs.drive(2, folder, "small_iter_20.solverstate")
    for one, other in zip(whole, parts, strict=True):
        jobs.assert_same_bits(one, other)
    assert_alike(parts)
    first, second = ((tmp_path / name / "small_iter_50.solverstate") for name in ("whole", "parts"))
    assert first.read_bytes() == second.read_bytes()


def test_a_snapshot_goes_on_with_another_number_of_ranks(tmp_path):
    folder = jobs.prepare_net(tmp_path / "ranks", "max_iter: 20", batch=6)
    jobs.drive(2, folder)
    jobs.prepare_net(folder, batch=4)
    ranks = jobs.drive(3, folder, "small_iter_20.solverstate")
    assert_near(ranks[0], *jobs.drive(1, jobs.prepare_net(tmp_path / "alone", batch=12)))


def test_statistics_are_the_means_of_all_ranks(tmp_path):
    folder = jobs.prepare_net(tmp_path / "ranks", TEST + "max_iter: 21", extra=BATCH_NORM)
    ranks = jobs.drive(2, folder)
    assert_alike(ranks)
    [alone] = jobs.drive(1, jobs.prepare_net(tmp_path / "alone", extra=BATCH_NORM, batch=10))
    assert (ranks[0]["norm blob 2"] > 1).all()
    assert not np.array_equal(ranks[0]["norm weight"], alone["norm weight"])


def test_rank_0_alone_speaks(tmp_path):
    folder = jobs.prepare_net(tmp_path, TEST + "max_iter: 40 display: 10 snapshot: 20")
    out, log = jobs.train(2, folder, "--json", "--log", "log")
    assert json.loads(out)["iterations"] == 40
    words = "2 ranks x batch 5 = effective batch 10 (Caffe's meaning); --split-batch keeps 5"
    for line, times in ((words, 1), ("Testing net (#0)", 3), ("Snapshot complete", 2)):
        assert log.count(line) == times
        assert (folder / "log").read_text().count(line) == times
    left = {path.name for path in folder.glob("small*")}
    ends = ("caffemodel", "solverstate")
    assert left == {f"small_iter_{i}.{end}" for i in (20, 40) for end in ends}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_takes_one_snapshot(tmp_path, number):
    folder = jobs.prepare_net(tmp_path, TEST + "max_iter: 10000000 display: 1")
    words = "-m", "sscaffe", "train", "--solver", "solver.prototxt"
    with jobs.ranks(2, folder, *words, "--log", "log") as process:
        wait_for(folder / "log", "Iteration 50, loss")
        process.send_signal(number)
        out, log = process.communicate(timeout=100)
    assert process.returncode == 128 + number
    assert log.count("Snapshot complete") == 1
    [state] = folder.glob("*.solverstate")
    end = f"go on with: mpiexec -n 2 sscaffe train --solver solver.prototxt --snapshot {state.name}"
    assert end in out
    assert out.count("go on with") == 1
    jobs.train(2, folder, "--snapshot", "auto", "--set", f"max_iter={int(state.stem[11:]) + 3}")


def test_ctrl_c_ends_a_test_as_well(tmp_path):
    solver = "max_iter: 10000000 test_iter: 10000000 test_interval: 20 test_initialization: false"
    folder = jobs.prepare_net(tmp_path, solver)
    words = "-m", "sscaffe", "train", "--solver", "solver.prototxt"
    with jobs.ranks(2, folder, *words, "--log", "log") as process:
        wait_for(folder / "log", "Testing net")
        process.send_signal(signal.SIGINT)
        _, log = process.communicate(timeout=100)
    assert process.returncode == 130
    assert "Test interrupted" in log
    # Before the iteration that the test belongs to, so that it is run when training goes on.
    assert "Snapshot complete: small_iter_20.solverstate" in log


def test_a_signal_to_one_rank_is_heard_by_all(tmp_path):
    folder = jobs.prepare_net(tmp_path, "max_iter: 10000000 display: 1")
    words = "-m", "sscaffe", "train", "--solver", "solver.prototxt"
    with jobs.ranks(2, folder, *words, "--log", "log") as process:
        wait_for(folder / "log", "Iteration 50, loss")
        first, second = jobs.children(process.pid)
        os.kill(second, signal.SIGUSR1)
        wait_for(folder / "log", "Snapshot complete")
        [taken] = re.findall(r"Snapshot complete: small_iter_(\d+)", (folder / "log").read_text())
        wait_for(folder / "log", f"Iteration {taken}, loss")  # so that the last is another
        os.kill(first, signal.SIGINT)
        out, log = process.communicate(timeout=100)
    assert process.returncode == 130
    assert log.count("Snapshot complete") == 2
    assert "go on with" in out


def wait_for(path, text):
    wait_until(lambda: path.exists() and text in path.read_text(), why=lambda: f"for {text!r}")


def test_an_error_on_one_rank_ends_all(tmp_path):
    folder = jobs.prepare_net(tmp_path, "max_iter: 10000000")
    with jobs.ranks(2, folder, jobs.DRIVER, "fail") as process:
        seconds, log = jobs.seconds_to_the_end(process, "rank 1: ")
    assert process.returncode == 1, log
    assert seconds < 5
    assert "ValueError: out of luck" in log
    assert "in fail" in log


def test_an_error_of_the_command_on_one_rank_ends_all(tmp_path):
    folder = jobs.prepare_net(tmp_path, "max_iter: 10000000", batch=4)
    jobs.spoil(folder, 17)  # in batch 4, counted from 0, which rank 0 reads
    words = "-m", "sscaffe", "train", "--solver", "solver.prototxt"
    with jobs.ranks(2, folder, *words) as process:
        seconds, log = jobs.seconds_to_the_end(process, "rank 0: sscaffe train: ")
    assert process.returncode == 1, log
    assert seconds < 5
    assert "00000017" in log
    jobs.spoil(folder, 13)  # in batch 3
    _, log = jobs.train(2, folder, status=1)
    assert "rank 1: sscaffe train: " in log
    assert "00000013" in log


def test_an_error_that_all_meet_is_told_once(tmp_path):
    folder = jobs.prepare_net(tmp_path)
    _, log = jobs.train(2, folder, "--set", "base_lr=1e30", status=3)
    assert log.count("expected a finite number") == 1
    assert "rank 0: sscaffe train: loss" in log


ALL_FAIL = """
from sscaffe.parallel import world
world._HEARD = 3.0  # as on a machine that has much else to do
world.current()
raise ValueError("all of us")
"""


def test_rank_0_speaks_for_all_however_long_it_takes(tmp_path):
    _, log = jobs.run(3, tmp_path, "-c", ALL_FAIL, status=1)
    assert log.count("all of us\n") == 1
    assert "rank 0: " in log


def test_ranks_that_differ_are_found_out(tmp_path):
    folder = jobs.prepare_net(tmp_path, "max_iter: 300")
    _, log = jobs.run(2, folder, jobs.DRIVER, "differ", status=1)
    words = "weights: expected the same on all 2 ranks at iteration 100, and rank 1 had others"
    assert words in log


def test_a_batch_that_cannot_be_split(tmp_path):
    _, log = jobs.train(2, jobs.prepare_net(tmp_path, batch=5), "--split-batch", status=1)
    words = "expected a batch_size that 2 ranks can share, got 5 in layer 'digits'"
    assert f"rank 0: sscaffe train: --split-batch: {words}" in log
    assert log.count(words) == 1
