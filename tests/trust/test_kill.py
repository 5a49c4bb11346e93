"""kill -9 at any time: nothing that was announced is lost, and the end is the same bit for bit.

``TRUST_KILLS=200`` makes it the long test of ``make soak``.
"""

import os
import random
import re
import shutil
import subprocess
import time

import pytest

from tests.trust.jobs import digest, prepare, say, train, training

KILLS = int(os.environ.get("TRUST_KILLS", "25"))
LINES = 60  # of the log, among which a training is killed; a whole one has 260 and more
SECONDS = 0.02  # and how long after such a line at most

pytestmark = pytest.mark.timeout(300 + 20 * KILLS)

ANNOUNCED = re.compile(r"Snapshot complete: (\S+)")
RESTORED = re.compile(r"Restoring from (\S+) ")


def iteration_of(path):
    return int(re.search(r"_iter_(\d+)", path)[1])


class Job:
    """A training that is killed until it is done."""

    def __init__(self, folder, rng):
        self.folder, self.rng, self.announced, self.kills, self.resumed = folder, rng, 0, 0, []

    def run_and_kill(self):
        """Go on with the training; True if it was done before it was killed."""
        log = self.folder / "log"
        options = {"stdout": subprocess.DEVNULL, "stderr": log.open("w")}
        with options["stderr"], training(self.folder, "--snapshot", "auto", **options) as process:
            lines = self.rng.randrange(LINES) + 1
            while log.read_text().count("\n") < lines and process.poll() is None:
                time.sleep(0.002)
            try:
                process.wait(self.rng.uniform(0, SECONDS))
            except subprocess.TimeoutExpired:
                process.kill()
                self.kills += 1
            status = process.wait()
        text = log.read_text()
        assert status in (0, -9), text
        self.look_at(text)
        return status == 0

    def look_at(self, log):
        restored = RESTORED.search(log)
        if restored:
            self.resumed.append(iteration_of(restored[1]))
            assert self.resumed[-1] >= self.announced, "an announced snapshot was lost"
        elif self.announced:
            assert "training starts anew" not in log
        assert "is passed over" not in log  # the state is written last, so each has its weights
        for path in ANNOUNCED.findall(log):
            assert iteration_of(path) > self.announced
            self.announced = iteration_of(path)


def test_a_training_that_is_killed_at_any_time_ends_as_if_it_were_not(tmp_path, undisturbed):
    rng, kills, ends, resumed = random.Random(KILLS), 0, 0, 0
    while kills < KILLS:
        job = Job(prepare(tmp_path / f"job{ends}"), rng)
        while kills + job.kills < KILLS:
            if job.run_and_kill():
                break
        else:
            status, _, log = train(job.folder, "--snapshot", "auto")
            assert status == 0, log
        assert digest(job.folder / "small_iter_400.caffemodel") == undisturbed
        assert not [*job.folder.glob("*.tmp.*"), *job.folder.glob("*.lock")]
        kills, ends, resumed = kills + job.kills, ends + 1, resumed + len(job.resumed)
        shutil.rmtree(job.folder)
    say(f"\n{kills} kills, {resumed} resumptions, {ends} trainings, each bit-identical")
    assert resumed >= kills // 3
