"""Start the ranks, and start them again where the newest snapshot is, if they fail."""

import contextlib
import os
import shlex
import signal
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

from sscaffe.glog import logger
from sscaffe.launch.mpiexec import MpiExec, ranks_per_host
from sscaffe.launch.run import Ended, Run
from sscaffe.parallel.news import DEADLINE, LAUNCHED

_STOPS = (signal.SIGINT, signal.SIGTERM)
_PASSED_ON = (*_STOPS, signal.SIGHUP, signal.SIGUSR1)
_ERROR = 1
_FINAL = (0, 3, 4)  # done, diverged, disk full: another time it would be the same

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
        if ended.status:
            logger.error("The training failed: %s", ended.reason)
        return ended.status

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
