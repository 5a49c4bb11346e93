"""``--snapshot auto``, and one training at a time for each snapshot_prefix."""

import os
import signal

import pytest

from sscaffe.errors import InUseError, WeightsError
from sscaffe.solver.lock import locked
from sscaffe.solver.newest import newest_complete
from tests.solver.nets import plain_state, small_solver
from tests.trust.jobs import (
    digest,
    finish,
    send,
    train,
    training,
    wait_for,
    wait_for_stop,
    when,
)

STOPS = when("Snapshot complete", send(signal.SIGSTOP))  # It shall not be done before others begin.
DIES = when("Snapshot complete", send(signal.SIGKILL))


@pytest.fixture
def snapshots(tmp_path, monkeypatch):
    """Take snapshots at iterations 1, 2, 9 and 10."""
    monkeypatch.chdir(tmp_path)
    solver = small_solver("momentum: 0.9")
    for steps in (1, 1, 7, 1):
        solver.step(steps)
        solver.snapshot()
    return tmp_path


def cut(path):
    path.write_bytes(path.read_bytes()[:-7])


def test_the_newest_is_the_one_with_the_most_iterations(snapshots):
    assert newest_complete("small") == "small_iter_10.solverstate"
    (snapshots / "other_iter_99.solverstate").write_bytes(b"of another training")
    (snapshots / "small_iter_99.solverstate.tmp.4711").write_bytes(b"half")
    (snapshots / "small_iter_98.caffemodel").write_bytes(b"without a state")
    assert newest_complete("small") == "small_iter_10.solverstate"
    assert newest_complete(str(snapshots / "small")) == str(snapshots / "small_iter_10.solverstate")
    assert newest_complete("none") == newest_complete("no/folder/small") == ""


@pytest.mark.parametrize("caffes", [False, True])
@pytest.mark.parametrize("what", ["caffemodel", "solverstate"])
@pytest.mark.parametrize("how", ["cut", "gone", "empty", "of another"])
def test_a_pair_that_is_not_whole_is_passed_over(how, what, caffes, snapshots):
    if caffes:
        plain_state("small_iter_10.solverstate")
    path = snapshots / f"small_iter_10.{what}"
    if how == "cut":
        cut(path)
    elif how == "gone":
        path.unlink()
    elif how == "empty":
        path.write_bytes(b"")
    else:
        path.write_bytes((snapshots / f"small_iter_9.{what}").read_bytes())
    kept = 10 if how == "of another" and (caffes or what == "solverstate") else 9
    assert newest_complete("small") == f"small_iter_{kept}.solverstate"


def test_where_none_is_whole_nothing_is_begun_anew(snapshots):
    for path in snapshots.glob("*.caffemodel"):
        cut(path)
    with pytest.raises(WeightsError, match=r"got 4 that cannot be used.*remove them to start anew"):
        newest_complete("small")


def test_the_first_start_and_every_other_are_one_command(job):
    flags = ["--snapshot", "auto", "--set", "max_iter=20"]
    status, _, log = train(job, *flags)
    assert status == 0
    assert "There are no snapshots at small; training starts anew" in log
    whole = digest(job / "small_iter_20.caffemodel")
    for path in [*job.glob("*_20.*"), *job.glob("*_15.solverstate")]:
        path.unlink()
    status, _, log = train(job, *flags)
    assert status == 0
    assert "Restoring from small_iter_10.solverstate" in log
    assert digest(job / "small_iter_20.caffemodel") == whole


def test_weights_are_for_the_first_start_alone(job):
    assert train(job, "--set", "max_iter=5", "--set", "snapshot_prefix=base")[0] == 0
    flags = ["--snapshot", "auto", "--weights", "base_iter_5.caffemodel", "--set", "max_iter=10"]
    first, second = train(job, *flags), train(job, *flags)
    assert first[0] == second[0] == 0
    assert "Finetuning from base_iter_5.caffemodel" in first[2]
    assert "Finetuning" not in second[2]
    assert "Restoring from small_iter_10.solverstate" in second[2]


def test_a_second_training_is_refused_and_the_first_goes_on(job, undisturbed):
    with training(job, before=STOPS) as first:
        log = wait_for(first, "Snapshot complete")
        wait_for_stop(first)
        assert (job / "small.lock").read_text() == f"{first.pid}\n"
        status, _, refusal = train(job)
        assert status == 1
        assert f"process {first.pid} writes here; wait for it, or" in refusal
        first.send_signal(signal.SIGCONT)
        log += finish(first)[1]
        assert first.returncode == 0, log
    assert not (job / "small.lock").exists()
    assert digest(job / "small_iter_400.caffemodel") == undisturbed


def test_another_prefix_is_another_training(job):
    with training(job, before=STOPS) as first:
        wait_for_stop(first)
        assert train(job, "--set", "snapshot_prefix=other", "--set", "max_iter=5")[0] == 0


def test_a_lock_that_a_killed_training_left_is_taken_over(job):
    with training(job, before=DIES) as first:
        assert first.wait() == -signal.SIGKILL
    (job / "small_iter_7.caffemodel.tmp.4711").write_bytes(b"half")
    (job / "small_iter_7.solverstate.tmp.mine").write_bytes(b"not of sscaffe")
    assert (job / "small.lock").exists()
    status, _, log = train(job, "--snapshot", "auto", "--set", "max_iter=5")
    assert status == 0, log
    assert f"small.lock: taken over from process {first.pid}" in log
    assert "small_iter_7.caffemodel.tmp.4711: removed" in log
    assert [path.name for path in job.glob("*.tmp.*")] == ["small_iter_7.solverstate.tmp.mine"]
    assert not (job / "small.lock").exists()


def test_a_lock_holds_within_a_process_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with (
        locked("small"),
        locked("other"),
        pytest.raises(InUseError, match=f"process {os.getpid()} writes"),
        locked("small"),
    ):
        pass
    with locked("small"):
        pass
    assert not [*tmp_path.iterdir()]
