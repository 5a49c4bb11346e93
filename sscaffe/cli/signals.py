"""What signals do to a training: stop it with a snapshot, take a snapshot, or nothing."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

from sscaffe.solver import Solver

EFFECTS = ("stop", "snapshot", "none")


class Signals:
    """Turn signals into requests to a solver, and remember which one stopped it.

    The first signal to stop lets the iteration end; the second does not wait.

    Parameters
    ----------
    solver : Solver
        Who gets the requests.
    sigint_effect : str
        What SIGINT and SIGTERM do: ``stop``, ``snapshot`` or ``none``.
    sighup_effect : str
        What SIGHUP and SIGUSR1 do.

    SIGUSR2 stands for SIGINT, which Open MPI does not pass on.
    """

    def __init__(self, solver: Solver, sigint_effect: str, sighup_effect: str) -> None:
        self.solver = solver
        self.stopped_by: int | None = None
        self._effects = {
            signal.SIGINT: sigint_effect,
            signal.SIGTERM: sigint_effect,
            signal.SIGUSR2: sigint_effect,
            signal.SIGHUP: sighup_effect,
            signal.SIGUSR1: sighup_effect,
        }

    @property
    def status(self) -> int:
        """The exit status: 0, or 128 and the number of the signal that stopped the training."""
        return 128 + self.stopped_by if self.stopped_by else 0

    @contextlib.contextmanager
    def handled(self) -> Iterator[None]:
        """Handle the signals until the block ends."""
        before = {number: signal.signal(number, self._handle) for number in self._effects}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        number = signal.SIGINT if number == signal.SIGUSR2 else number
        effect = self._effects[signal.Signals(number)]
        if effect == "snapshot":
            self.solver.request_snapshot()
        elif effect == "stop" and self.stopped_by is None:
            self.stopped_by = number
            self.solver.request_stop()
        elif effect == "stop":
            raise SystemExit(128 + number)
