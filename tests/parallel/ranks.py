"""What the tests on several ranks share: start them, find them, look at what they did."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stopwatch import wait_until

ROOT = Path(__file__).parents[2]
STAND_IN = Path(__file__).with_name("stand_in.py")
DRIVER = Path(__file__).with_name("launch_driver.py")
SECONDS = 100  # after which a test gives up

HERE = re.compile(r"rank (\d+) is process (\d+)")


def require_mpi():
    """Skip a test where ranks cannot be started."""
    pytest.importorskip("mpi4py", reason="mpi4py is not installed: sscaffe[mpi]")
    if not Path(sys.executable).with_name("mpiexec").exists() and not shutil.which("mpiexec"):
        pytest.skip("there is no mpiexec")


class Job:
    """A launch in a process of its own, and its output in files."""

    def __init__(self, words, folder, environment):
        self.folder = folder
        self.log = folder / "launch.log"
        self.out = folder / "launch.out"
        with self.log.open("wb") as log, self.out.open("wb") as out:
            self.process = subprocess.Popen(
                words, cwd=folder, stdout=out, stderr=log, env=os.environ | environment
            )

    def text(self):
        return self.log.read_text(errors="replace")

    def wait_for(self, pattern, times=1):
        """Wait until the log has a pattern so often; return the matches."""

        def found():
            has_ended = self.process.poll() is not None  # before the log is read
            found = re.findall(pattern, self.text())
            assert len(found) >= times or not has_ended, f"no {pattern!r} in:\n{self.text()}"
            return [found] if len(found) >= times else []

        return wait_until(found, SECONDS, lambda: f"for {pattern!r}:\n{self.text()}")[0]

    def pids(self, ranks):
        """Return the process of each rank, as they were started last."""
        self.wait_for(HERE.pattern, ranks)
        return {int(rank): int(pid) for rank, pid in HERE.findall(self.text())}

    def end(self, seconds=SECONDS):
        """Return the exit status."""
        wait_until(
            lambda: self.process.poll() is not None,
            seconds,
            lambda: f"for the end:\n{self.text()}",
        )
        return self.process.returncode


@contextlib.contextmanager
def launched(words, folder, **environment):
    """Start a command line that launches ranks; nothing of it is left running."""
    known = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | environment
    job = Job(words, folder, known)
    try:
        yield job
    finally:
        if job.process.poll() is None:
            job.process.terminate()
            job.process.send_signal(15)
            with contextlib.suppress(subprocess.TimeoutExpired):
                job.process.wait(5)
            job.process.kill()
            job.process.wait()
        for pid in left_running(folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)


def tells_of_a_kill(status):
    """Return whether a launch says by its status that a rank was killed.

    Hydra adds the bits of what the other ranks ended with.
    """
    return status & ~0b110 == 128 + signal.SIGKILL


def stand_in(folder, *flags, prefix=(), launcher=(), **environment):
    """Launch the stand-in of a training."""
    words = [*prefix, sys.executable, str(DRIVER), *launcher, "--", *flags]
    return launched(words, folder, **environment)


def launch_train(folder, *flags, prefix=(), launcher=("-n", "2"), **environment):
    """Launch ``sscaffe train`` in a folder that `tests.trust.jobs.prepare` made."""
    train = ["train", "--solver", "solver.prototxt", *flags]
    words = [*prefix, sys.executable, "-m", "sscaffe", "launch", *launcher, "--", *train]
    return launched(words, folder, **environment)


def ranks_of(folder):
    """Return the processes of the ranks that train in a folder, by rank."""
    found = {}
    for pid in left_running(folder):
        with contextlib.suppress(OSError):
            facts = dict(
                word.split(b"=", 1)
                for word in Path("/proc", str(pid), "environ").read_bytes().split(b"\0")
                if b"=" in word
            )
            rank = facts.get(b"PMI_RANK", facts.get(b"OMPI_COMM_WORLD_RANK"))
            if rank is not None:
                found[int(rank)] = pid
    return found


def left_running(folder):
    """Return the processes whose working directory is a folder."""
    found = []
    for path in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if path.name.isdecimal() and (path / "cwd").resolve() == folder.resolve():
                found.append(int(path.name))
    return found
