"""Start the ranks, and start them again where the newest snapshot is, if they fail."""

import contextlib
import os
import shlex
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

from sscaffe.errors import SscaffeError
from sscaffe.glog import logger
from sscaffe.launch.mpiexec import MpiExec, ranks_per_host
from sscaffe.launch.run import Ended, Run
from sscaffe.parallel.news import DEADLINE, LAUNCHED

_STOPS = (signal.SIGINT, signal.SIGTERM)
_PASSED_ON = (*_STOPS, signal.SIGHUP, signal.SIGUSR1)
_ERROR = 1
_FINAL = (0, 3, 4)  # done, diverged, disk full: another time it would be the same
_PAUSE, _LONGEST_PAUSE = 1.0, 30.0  # seconds before another try
_TICK = 0.05

Resume = Callable[[], tuple[str, Sequence[str]]]
"""Returns the snapshot to go on from, if there is one, and the program that does so."""


class Launcher:
    """Runs a program on several ranks until it is done.

    Parameters
    ----------
    mpiexec : MpiExec
        What starts the ranks.
    ranks : int
        How many.
    hosts : sequence of str
        Where; see `MpiExec.command`.
    max_restarts : int
        How often the program may be started again after a failure.
    deadline : float, optional
        The seconds that a step may take; see `Watchdog`.

    Notes
    -----
    Before another try there is a pause of a second, twice as long after each that came no further
    than the one before, up to 30 s.
    """

    def __init__(
        self,
        mpiexec: MpiExec,
        ranks: int,
        hosts: Sequence[str] = (),
        max_restarts: int = 0,
        deadline: float | None = None,
    ) -> None:
        self._mpiexec, self._ranks, self._hosts = mpiexec, ranks, hosts
        self._max_restarts = max_restarts
        threads = max(1, (os.cpu_count() or 1) // ranks_per_host(hosts, ranks))
        self._known = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads))}
        again = ["sscaffe", "launch", "-n", str(ranks)]
        again += ["--hosts", ",".join(hosts)] if hosts else []
        again += ["--max-restarts", str(max_restarts)] if max_restarts else []
        if deadline is not None:
            self._known[DEADLINE] = str(deadline)
            again += ["--deadline", f"{deadline:g}"]
        self._known[LAUNCHED] = shlex.join([*again, "--"])
        self._run: Run | None = None
        self._stopped_by: signal.Signals | None = None

    def launch(self, program: Sequence[str], resume: Resume) -> int:
        """Run a program, and what `resume` returns after each failure.

        Signals go to the ranks once; the second SIGINT or SIGTERM ends them at once.

        Returns
        -------
        int
            The exit status: that of the program, 128 and the number of a signal, or 75 if a rank
            stood still.
        """
        last, pause = "", 0.0
        with self._signals():
            for restart in range(1, self._max_restarts + 2):
                ended = self._start(program)
                if self._stopped_by and ended.status:
                    return 128 + self._stopped_by
                if not _may_pass(ended) or restart > self._max_restarts:
                    break
                snapshot, program = resume()
                logger.warning(
                    "The training failed: %s; restart %d of %d %s",
                    ended.reason,
                    restart,
                    self._max_restarts,
                    f"from {snapshot}" if snapshot else "from the beginning, without a snapshot",
                )
                came_further = snapshot != last or not pause
                pause = _PAUSE if came_further else min(2 * pause, _LONGEST_PAUSE)
                last = snapshot
                if self._is_stopped_within(pause):
                    return 128 + (self._stopped_by or 0)
        if ended.status:
            logger.error("The training failed: %s", ended.reason)
        if _may_pass(ended):
            self._say_how_to_go_on(resume)
        return ended.status

    def _is_stopped_within(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not self._stopped_by and time.monotonic() < end:
            time.sleep(_TICK)
        return self._stopped_by is not None

    def _say_how_to_go_on(self, resume: Resume) -> None:
        try:
            snapshot, program = resume()
        except SscaffeError as error:
            logger.error("There is nothing to go on from: %s", error)
            return
        if not snapshot:
            logger.error("There is no snapshot to go on from; set snapshot in the solver")
            return
        typed = program[3:] if program[1:3] == ["-m", "sscaffe"] else program
        logger.error("go on with: %s %s", self._known[LAUNCHED], shlex.join(typed))

    def _start(self, program: Sequence[str]) -> Ended:
        words = self._mpiexec.command(program, self._ranks, self._hosts, self._known)
        self._run = Run(words, self._ranks, {**os.environ, **self._known})
        if self._stopped_by:  # meanwhile
            self._run.send(self._mpiexec.passes_on(self._stopped_by))
        return self._run.wait()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        before = {number: signal.signal(number, self._handle) for number in _PASSED_ON}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        which = signal.Signals(number)
        if which in _STOPS and self._stopped_by:
            if self._run:
                self._run.kill()
            return
        if which in _STOPS:
            self._stopped_by = which
        if self._run:
            self._run.send(self._mpiexec.passes_on(which))


def _may_pass(ended: Ended) -> bool:
    """Return whether another try may do better."""
    # An error before the first step is one in what was asked for.
    return ended.status not in _FINAL and (ended.status != _ERROR or ended.steps > 0)
