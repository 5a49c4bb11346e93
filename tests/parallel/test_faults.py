"""Trainings on several ranks that are killed, stopped and interrupted.

``FAULT_KILLS=20`` makes it the long test of ``make faults``.
"""

import os
import random
import re
import shlex
import signal
import sys
import time

import pytest

from tests.parallel import jobs
from tests.parallel.ranks import (
    launch_train,
    launched,
    left_running,
    ranks_of,
    require_mpi,
    tells_of_a_kill,
)
from tests.stopwatch import Stopwatch
from tests.trust.jobs import NET, SOLVER, digest, prepare, say

KILLS = int(os.environ.get("FAULT_KILLS", "3"))
SECONDS = 1.4  # after its start in which a rank is killed
DEADLINE = 3.0
LAST = 600  # iterations

pytestmark = pytest.mark.timeout(300 + 10 * KILLS)

SLOWLY_TESTED = (
    NET
    + """
layer { name: "slow" type: "Python" bottom: "ip1" top: "slow" include { phase: TEST }
  python_param { module: "slow" layer: "Slow" } }
"""
)
SLOW = """
import time
import sscaffe

class Slow(sscaffe.Layer):
    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape(1)

    def forward(self, bottom, top):
        time.sleep(0.1)
        top[0].data[...] = 1
"""


@pytest.fixture(autouse=True)
def _mpi():
    require_mpi()


def prepared(folder, more="", net=NET, last=LAST):
    return prepare(folder, net, SOLVER.replace("max_iter: 400", f"max_iter: {last}") + more)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Return the SHA-256 of the last caffemodel and of the last solverstate."""
    require_mpi()
    folder = prepared(tmp_path_factory.mktemp("undisturbed") / "job")
    with launch_train(folder) as job:
        assert job.end() == 0, job.text()
    return ends(folder)


def ends(folder):
    return [digest(folder / f"small_iter_{LAST}.{kind}") for kind in ("caffemodel", "solverstate")]


class Victim:
    """A launch whose ranks are killed until it is done."""

    def __init__(self, folder, rng, kills):
        self.kills, self.text = 0, ""
        with launch_train(folder, launcher=["-n", "2", "--max-restarts", str(kills)]) as job:
            while self.kills < kills and self.kill_one(job, folder, rng):
                self.kills += 1
            assert job.end() == 0, job.text()
            self.text = job.text()

    def kill_one(self, job, folder, rng):
        """Kill one of two ranks; false if they were done before."""
        job.wait_for("restart", self.kills)
        while len(ranks := ranks_of(folder)) < 2:
            if job.process.poll() is not None:
                return False
            time.sleep(0.005)
        time.sleep(rng.uniform(0, SECONDS))
        try:
            os.kill(ranks[rng.randrange(2)], signal.SIGKILL)
        except ProcessLookupError:
            return False
        while f"restart {self.kills + 1} of" not in job.text():
            if job.process.poll() is not None:
                return False  # It had just told that it was done.
            time.sleep(0.005)
        return True


def test_kills_at_random_moments_change_nothing(undisturbed, tmp_path):
    rng, kills, resumed, trainings = random.Random(KILLS), 0, 0, 0
    while kills < KILLS:
        folder = prepared(tmp_path / f"job{trainings}")
        victim = Victim(folder, rng, KILLS - kills)
        assert ends(folder) == undisturbed
        assert not [*folder.glob("*.tmp.*"), *folder.glob("*.lock")]
        kills, trainings = kills + victim.kills, trainings + 1
        resumed += len(re.findall(r"restart \d+ of \d+ from small_iter_", victim.text))
    say(f"\n{kills} kills, {resumed} resumptions, {trainings} trainings, each bit-identical")


@pytest.mark.parametrize("rank", [0, 1])
def test_a_stall_ends_within_its_deadline(tmp_path, rank):
    folder = prepared(tmp_path / "job", last=10**6)
    with launch_train(folder, launcher=["-n", "2", "--deadline", str(DEADLINE)]) as job:
        job.wait_for("Snapshot complete")
        before = time.monotonic()
        with Stopwatch() as watch:
            os.kill(ranks_of(folder)[rank], signal.SIGSTOP)
            assert job.end() == 75
        took = time.monotonic() - before
        assert took > DEADLINE - 0.5
        assert watch.seconds < DEADLINE + 5
        assert not left_running(folder)
        # The other says so, if it is not in a snapshot of rank 0, which may take longer.
        heard = f"did not come: rank {rank}, not heard for", f"rank {rank} was not heard for"
        assert any(words in job.text() for words in heard), job.text()
    say(f"\na stall of rank {rank} ended after {took:.1f} s of {DEADLINE:.1f}")


def test_an_error_of_one_rank_ends_all(tmp_path):
    folder = prepared(tmp_path / "job", last=10**6)
    with launch_train(folder, launcher=["-n", "2", "--max-restarts", "1"]) as job:
        job.wait_for("Snapshot complete")
        with Stopwatch() as watch:
            os.kill(ranks_of(folder)[1], signal.SIGSEGV)
            job.wait_for("restart 1 of 1 from small_iter_")
        assert watch.seconds < 5
        job.wait_for("Restoring from")
    assert not left_running(folder)


def test_a_bad_record_of_one_rank_ends_all_with_its_message(tmp_path):
    folder = jobs.prepare_net(tmp_path / "job", "max_iter: 10000000", batch=4)
    jobs.spoil(folder, 17)
    with launch_train(folder) as job:
        job.wait_for(r"rank \d: sscaffe train: ")
        with Stopwatch() as watch:
            assert job.end() == 1, job.text()
        assert watch.seconds < 5
        assert not left_running(folder)


def test_the_log_says_how_to_go_on(tmp_path):
    folder = prepared(tmp_path / "job", last=300)
    with launch_train(folder, "--set", "max_iter=10000000") as job:
        job.wait_for("Snapshot complete")
        os.kill(ranks_of(folder)[1], signal.SIGKILL)
        assert tells_of_a_kill(job.end()), job.text()
        [words] = re.findall(r"go on with: sscaffe (launch .*)", job.text())
    assert "launch -n 2 -- train --solver solver.prototxt" in words
    assert re.search(r"--snapshot small_iter_\d+\.solverstate$", words)
    words = words.replace("max_iter=10000000", "max_iter=300")
    with launched([sys.executable, "-m", "sscaffe", *shlex.split(words)], folder) as job:
        assert job.end() == 0, job.text()
        assert "Restoring from small_iter_" in job.text()


def test_restarts_without_snapshots_get_a_warning(tmp_path):
    folder = prepared(tmp_path / "job", last=3)
    flags = ["-n", "2", "--max-restarts", "1"]
    with launch_train(folder, "--set", "snapshot=0", launcher=flags) as job:
        assert job.end() == 0, job.text()
        assert "each restart begins anew; set snapshot in it" in job.text()


def test_a_host_that_is_not_there_is_an_error_of_one_sentence(tmp_path):
    folder = prepared(tmp_path / "job", last=3)
    shell = tmp_path / "ssh"
    shell.write_text('#!/bin/sh\necho "no host $1" >&2\nexit 255\n')
    shell.chmod(0o755)
    mpiexec = f"{jobs.MPIEXEC} -launcher-exec {shell}"
    flags = ["-n", "2", "--hosts", "localhost,nowhere", "--mpiexec", mpiexec]
    with launch_train(folder, launcher=flags) as job:
        assert job.end() == 1
        assert "sscaffe launch: host nowhere: it cannot be reached (no host nowhere)" in job.text()
        assert "rank" not in job.text()


def test_what_would_come_again_is_not_tried_again(tmp_path):
    folder = prepared(tmp_path / "job", more="weights: 'none.caffemodel'")
    with launch_train(folder, launcher=["-n", "2", "--max-restarts", "3"]) as job:
        assert job.end() == 1
        assert "restart" not in job.text()
        assert "none.caffemodel" in job.text()


def test_older_snapshots_of_another_training_are_let_be(tmp_path):
    folder = prepared(tmp_path / "job", last=100)
    with launch_train(folder) as job:
        assert job.end() == 0
    flags = "--set", "max_iter=1000000", "--set", "snapshot=7"  # which is never at 100
    with launch_train(folder, *flags, launcher=["-n", "2", "--max-restarts", "1"]) as job:
        job.wait_for(r"Snapshot complete: small_iter_14\.")
        os.kill(ranks_of(folder)[1], signal.SIGKILL)
        [found] = job.wait_for(r"restart 1 of 1 from small_iter_(\d+)")
        assert int(found) % 7 == 0


def test_ctrl_c_takes_one_snapshot(tmp_path):
    folder, launcher = prepared(tmp_path / "job", last=10**7), ["-n", "2", "--max-restarts", "1"]
    flags = "--set", "snapshot=0", "--set", "display=1"
    with launch_train(folder, *flags, launcher=launcher) as job:
        job.wait_for("Iteration 3, loss")  # to which all ranks came
        job.process.send_signal(signal.SIGINT)
        assert job.end() == 130, job.text()
        text = job.text()
    assert text.count("Snapshot complete") == 1
    assert "restart 1" not in text
    [model] = folder.glob("*.caffemodel")
    last = re.search(r"_iter_(\d+)", model.name)[1]
    other = prepared(tmp_path / "other", last=last)
    with launch_train(other, "--set", "snapshot=0") as job:
        assert job.end() == 0, job.text()
    assert digest(model) == digest(other / model.name)


def test_the_message_names_the_rank_that_others_wait_for(tmp_path):
    folder = jobs.prepare_net(tmp_path / "job", "max_iter: 10000000")
    with jobs.ranks(2, folder, jobs.DRIVER, "stall", known={"SSCAFFE_DEADLINE": "2"}) as process:
        _, log = process.communicate(timeout=100)
    assert process.returncode == 75
    assert "no step on rank 1 for" in log
    assert "it stands in driver.py:" in log


def test_a_long_test_is_no_stall(tmp_path):
    more = "test_iter: 50 test_interval: 3 test_initialization: false"
    folder = prepared(tmp_path / "job", more, SLOWLY_TESTED, last=5)
    (folder / "slow.py").write_text(SLOW)
    # It takes 5 s, more than a rank may wait, and more than one may be silent.
    launcher = ["-n", "2", "--deadline", "2"]
    with launch_train(folder, "--allow-python-layers", launcher=launcher) as job:
        job.wait_for("Test net output #0")
        assert job.end() == 0, job.text()
