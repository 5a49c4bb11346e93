"""Ranks that are started, watched and started again; with a stand-in for the training."""

import os
import random
import re
import signal
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

from sscaffe.errors import SscaffeError, UnsupportedError
from sscaffe.launch import launcher, reach
from sscaffe.launch.mpiexec import MpiExec, ranks_per_host
from sscaffe.launch.run import Ended, Run
from tests.parallel.ranks import left_running, require_mpi, stand_in, tells_of_a_kill
from tests.stopwatch import Stopwatch, wait_until
from tests.trust.jobs import state_of

DEADLINE = 2.0


@pytest.fixture(autouse=True)
def _mpi():
    require_mpi()


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """Return the weights of two ranks that nobody disturbed, after 300 steps."""
    require_mpi()
    folder = tmp_path_factory.mktemp("undisturbed")
    with stand_in(folder, "300") as job:
        assert job.end() == 0, job.text()
    return np.load(folder / "weights.npy")


def test_ranks_run_to_their_end(expected, tmp_path):
    with stand_in(tmp_path, "300") as job:
        assert job.end() == 0
        text = job.text()
    assert "rank 0 is process" in text
    assert "rank 1 is process" in text
    assert "\x1e" not in text
    np.testing.assert_array_equal(np.load(tmp_path / "weights.npy"), expected)


def test_a_killed_rank_ends_the_others_at_once(tmp_path):
    with stand_in(tmp_path, "100000") as job:
        pids = job.pids(2)
        job.wait_for("snapshot")
        with Stopwatch() as watch:
            os.kill(pids[1], signal.SIGKILL)
            assert tells_of_a_kill(job.end()), job.text()
        assert watch.seconds < 5
        assert re.search("The training failed: a rank died of .*SIGKILL", job.text())
        assert not left_running(tmp_path)


@pytest.mark.parametrize(
    ("code", "status", "reason"),
    [
        (9, 137, "a rank died of SIGKILL"),
        (9 | 2, 139, "a rank died of SIGKILL or SIGSEGV"),
        (128 + 6, 134, "a rank died of SIGABRT"),
        (3, 3, "it ended with status 3"),
        (75, 75, "it ended with status 75"),
    ],
)
def test_what_a_status_of_mpiexec_tells(code, status, reason):
    ended = Run([sys.executable, "-c", f"raise SystemExit({code})"], 1, os.environ).wait()
    assert (ended.status, ended.reason) == (status, reason)


@pytest.mark.parametrize("seed", range(3))
def test_kills_at_random_moments_change_nothing(expected, tmp_path, seed):
    rng, held = random.Random(seed), tmp_path / "held"
    held.touch()
    with stand_in(tmp_path, "300", "0.003", launcher=["--restarts", "3"]) as job:
        for start in (1, 2):
            found = job.pids(2 * start)
            job.wait_for("snapshot")
            time.sleep(rng.uniform(0, 0.3))
            os.kill(found[rng.randrange(2)], signal.SIGKILL)
            job.wait_for(f"restart {start} of 3")
        held.unlink()
        assert job.end() == 0, job.text()
    np.testing.assert_array_equal(np.load(tmp_path / "weights.npy"), expected)


def test_restarts_are_used_up(tmp_path):
    with stand_in(tmp_path, "300", "raise:1:55", launcher=["--restarts", "2"]) as job:
        assert job.end() == 1
        text = job.text()
    assert text.count("rank 1: as asked") == 3
    assert "restart 1 of 2 from state.npy" in text
    assert "restart 2 of 2" in text


def test_pauses_grow_while_a_training_comes_no_further(monkeypatch):
    now, ends = [0.0], iter([(9, 5)] * 7 + [(0, 9)])
    snapshots = iter(["a", "a", "a", "b", "b", "b", "b"])
    starts = []

    def sleep(seconds):
        now[0] += seconds

    def start(self, program):
        starts.append(now[0])
        status, steps = next(ends)
        return Ended(status, "as asked", steps)

    monkeypatch.setattr(launcher, "time", SimpleNamespace(sleep=sleep, monotonic=lambda: now[0]))
    monkeypatch.setattr(launcher.Launcher, "_start", start)
    one = launcher.Launcher(MpiExec(["mpiexec"], is_open_mpi=False), 2, max_restarts=9)
    assert one.launch(["x"], lambda: (next(snapshots), ["x"])) == 0
    np.testing.assert_allclose(np.diff(starts), [1, 2, 4, 1, 2, 4, 8], atol=0.1)


def test_a_signal_ends_a_pause(monkeypatch):
    monkeypatch.setattr(
        launcher.Launcher, "_start", lambda self, program: Ended(137, "a rank died", 5)
    )
    monkeypatch.setattr(launcher, "_PAUSE", 60.0)
    one = launcher.Launcher(MpiExec(["mpiexec"], is_open_mpi=False), 2, max_restarts=9)

    def pause(seconds):
        os.kill(os.getpid(), signal.SIGTERM)  # handled before anything else is run

    monkeypatch.setattr(launcher, "time", SimpleNamespace(sleep=pause, monotonic=time.monotonic))
    with Stopwatch() as watch:
        assert one.launch(["x"], lambda: ("", ["x"])) == 128 + signal.SIGTERM
    assert watch.seconds < 30


@pytest.mark.parametrize(
    ("flags", "known", "shell"),
    [
        ({}, {}, ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"]),
        ({"launcher": "ssh", "launcher-exec": "/my/ssh"}, {}, ["/my/ssh"]),
        ({"launcher": "slurm"}, {}, []),
        ({}, {"HYDRA_LAUNCHER_EXEC": "/my/ssh"}, ["/my/ssh"]),
        ({}, {"HYDRA_LAUNCHER": "rsh"}, []),
        ({}, {"SLURM_JOB_ID": "7"}, []),
    ],
)
def test_the_remote_shell_of_an_mpi(monkeypatch, flags, known, shell):
    for name in ("HYDRA_LAUNCHER", "HYDRA_LAUNCHER_EXEC", "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in known.items():
        monkeypatch.setenv(name, value)
    assert reach._shell(flags) == shell


def test_a_host_that_cannot_be_reached(tmp_path):
    shell = tmp_path / "ssh"
    shell.write_text('#!/bin/sh\n[ "$1" = good ] || { echo "no host $1" >&2; exit 255; }\n')
    shell.chmod(0o755)
    mpiexec = ["mpiexec", "-launcher-exec", str(shell)]
    reach.require_hosts(["good:2", "localhost"], mpiexec)
    words = rf"host bad: it cannot be reached \(no host bad\); .*: {shell} bad true"
    with pytest.raises(SscaffeError, match=words):
        reach.require_hosts(["good", "bad"], mpiexec)
    with pytest.raises(SscaffeError, match="nowhere: No such file or directory"):
        reach.require_hosts(["good"], ["mpiexec", "-launcher-exec", "nowhere"])


def test_an_error_before_the_first_step_would_come_again(tmp_path):
    with stand_in(tmp_path, "300", "raise:1:0", launcher=["--restarts", "2"]) as job:
        assert job.end() == 1
        assert "restart" not in job.text()


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_stands_still_ends_within_its_deadline(tmp_path, rank):
    # The launcher would soon notice as well, and end the other before it can say a word.
    with stand_in(tmp_path, "100000", launcher=["--deadline", str(DEADLINE), "--patient"]) as job:
        pid = job.pids(2)[rank]
        job.wait_for("snapshot")
        before = time.monotonic()
        with Stopwatch() as watch:
            os.kill(pid, signal.SIGSTOP)
            assert job.end() == 75
        assert time.monotonic() - before > DEADLINE - 0.5
        assert watch.seconds < DEADLINE + 5
        text = job.text()
        assert not left_running(tmp_path)
    [waited] = re.findall(rf"no step on rank {1 - rank} for ([\d.]+) s", text)
    assert float(waited) >= DEADLINE
    assert "where 2.0 s are allowed: it waits in stand_in.py:" in text
    assert f"to which others did not come: rank {rank}, not heard for" in text


def test_after_a_stall_the_training_goes_on(expected, tmp_path):
    launcher, held = ["--deadline", str(DEADLINE), "--restarts", "1"], tmp_path / "held"
    held.touch()
    with stand_in(tmp_path, "300", "0.003", launcher=launcher) as job:
        pid = job.pids(2)[1]
        job.wait_for("snapshot")
        os.kill(pid, signal.SIGSTOP)
        job.wait_for("restart 1 of 1")
        held.unlink()
        assert job.end() == 0, job.text()
    np.testing.assert_array_equal(np.load(tmp_path / "weights.npy"), expected)


def test_silence_of_all_ranks_is_heard(tmp_path):
    with stand_in(tmp_path, "100000", launcher=["--deadline", str(DEADLINE)]) as job:
        pids = job.pids(2)
        job.wait_for("snapshot")
        with Stopwatch() as watch:
            for pid in pids.values():
                os.kill(pid, signal.SIGSTOP)
            assert job.end() == 75
        assert watch.seconds < DEADLINE + 7
        assert "was not heard for" in job.text()
        assert not left_running(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_a_signal_stops_with_one_snapshot(expected, tmp_path, number):
    held = tmp_path / "held"
    held.touch()
    with stand_in(tmp_path, "300", "0.01", launcher=["--restarts", "1"]) as job:
        job.wait_for("snapshot at 10\n")
        job.process.send_signal(number)
        assert job.end() == 128 + number
        assert "restart" not in job.text()
    held.unlink()
    assert np.load(tmp_path / "state.npy")[0] <= 300
    with stand_in(tmp_path, "300") as job:
        assert job.end() == 0
    np.testing.assert_array_equal(np.load(tmp_path / "weights.npy"), expected)


def test_a_second_signal_does_not_wait(tmp_path):
    with stand_in(tmp_path, "100000", "0.2", "stop:1:3") as job:
        pid = job.pids(2)[1]
        wait_until(lambda: state_of(pid) == "T")
        with Stopwatch() as watch:
            # Two of one kind might come as one.
            job.process.send_signal(signal.SIGINT)
            job.process.send_signal(signal.SIGTERM)
            assert job.end() == 130
        assert watch.seconds < 5
        assert not left_running(tmp_path)


def test_ranks_end_with_a_launch_that_is_killed(tmp_path):
    with stand_in(tmp_path, "100000") as job:
        job.pids(2)
        job.wait_for("snapshot")
        job.process.kill()
        wait_until(lambda: not left_running(tmp_path), 5)


def test_the_words_of_hydra():
    hydra = MpiExec(["mpiexec"], is_open_mpi=False)
    assert hydra.command(["x"], 2) == ["mpiexec", "-n", "2", "x"]
    words = hydra.command(["x", "y"], 5, ["a", "b"], {"K": "1"})
    assert words == ["mpiexec", "-n", "5", "-hosts", "a:3,b:2", "-genv", "K", "1", "x", "y"]
    assert hydra.command(["x"], 1, ["a", "b"])[:5] == ["mpiexec", "-n", "1", "-hosts", "a:1"]
    assert hydra.passes_on(signal.SIGINT) == signal.SIGINT


def test_the_words_of_open_mpi(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    words = MpiExec(["mpirun"], is_open_mpi=True).command(["x"], 3, ["a:1", "b:2"], {"K": "1"})
    flags = "--oversubscribe --bind-to none --allow-run-as-root --host a:1,b:2 -x K"
    assert words == f"mpirun -n 3 {flags} x".split()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "--allow-run-as-root" not in MpiExec(["mpirun"], is_open_mpi=True).command(["x"], 3)


def test_ranks_of_a_host():
    assert ranks_per_host([], 4) == 4
    assert ranks_per_host(["a", "b"], 5) == 3
    assert ranks_per_host(["a:1", "b:4"], 5) == 4


@pytest.mark.parametrize(
    ("hosts", "message"),
    [(["a:1", "b"], "name:ranks for each, got 'a:1,b'"), (["a:1", "b:1"], "3 ranks.*got 2")],
)
def test_hosts_that_do_not_fit(hosts, message):
    with pytest.raises(SscaffeError, match=message):
        ranks_per_host(hosts, 3)


def test_an_mpiexec_that_is_not_there(tmp_path, monkeypatch):
    with pytest.raises(UnsupportedError, match="no_such_mpiexec does not run"):
        MpiExec.find(["no_such_mpiexec"])
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnsupportedError, match=r"no mpiexec; pip install \"sscaffe\[mpi\]\""):
        MpiExec.find()
