"""A thread that ends a rank which makes no steps, so that a stall is never a hang.

No MPI notices a stopped rank or a network that is cut; the others wait in a reduction for ever.
"""

import contextlib
import os
import statistics
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

from sscaffe.errors import SscaffeError
from sscaffe.glog import logger
from sscaffe.parallel.news import DEADLINE, News, tell, wait_until_read

STALLED = 75
"""The exit status of a rank that made no step in time; EX_TEMPFAIL of sysexits.h."""

FLOOR = 60.0  # seconds that a step may always take
PATIENCE = 600.0  # and what comes before the first, and a snapshot
FACTOR = 10  # how many times the median a step may take
REMEMBERED = 101  # steps that the median is of
LONGEST_TICK = 1.0  # seconds from one look to the next
_LOGGING = 1.0  # seconds to say why, and again to tell the launcher
_GIVING_WAY = 1.0  # seconds for the rank that others wait for to say why


class Watchdog:
    """Ends the process with status 75 if no step ends for too long.

    The time in which the process itself was stopped does not count.

    Parameters
    ----------
    rank : int
        Whose steps they are.
    deadline : float, optional
        The seconds that a step may take; by default those of the environment's SSCAFFE_DEADLINE,
        else ten times the median step, at least 60. The first, and all before it, may take 600.
    leave : callable
        Ends the process.

    Attributes
    ----------
    deadline : float
        The seconds that a step may take now.
    before_leaving : list of callable
        Called before it ends the process; it does not wait for them long.
    """

    def __init__(
        self,
        rank: int,
        deadline: float | None = None,
        *,
        leave: Callable[[int], object] = os._exit,
    ) -> None:
        self._rank, self._leave = rank, leave
        self._given = deadline if deadline is not None else given_deadline()
        self.deadline = FLOOR if self._given is None else self._given
        self._durations: deque[float] = deque(maxlen=REMEMBERED)
        self._begin = time.monotonic()  # of this step
        self.before_leaving: list[Callable[[], object]] = []
        self._meals = self._steps = self._patient = self._waiting = 0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._main = threading.get_ident()

    @property
    def limit(self) -> float:
        """The seconds that may pass now."""
        is_patient = self._patient or not self._steps
        return max(PATIENCE, self.deadline) if is_patient else self.deadline

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Note that the block waits for other ranks: whoever is too late, it is not this one."""
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    def step(self) -> None:
        """Tell that a step has ended, and the next begins."""
        duration = time.monotonic() - self._begin
        self.feed()  # before the limit gets less, for which too much may have passed already
        if self._steps:
            self._durations.append(duration)
            if self._given is None:
                self.deadline = max(FLOOR, FACTOR * statistics.median(self._durations))
        self._steps += 1
        if self._steps == 1:
            self._tell("alive")  # From now on, another try may come further.

    def feed(self) -> None:
        """Tell that something else has ended, such as a batch of a test; the time begins anew."""
        self._begin = time.monotonic()
        self._meals += 1

    @contextlib.contextmanager
    def patiently(self) -> Iterator[None]:
        """Let the block take 600 seconds, as a snapshot may; then the time begins anew."""
        self._patient += 1
        try:
            yield
        finally:
            self.feed()
            self._patient -= 1

    def start(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def close(self) -> None:
        """End the thread; the rank has done its work."""
        self._closed.set()
        self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.close()

    def _watch(self) -> None:
        waited, seen, last = 0.0, -1, time.monotonic()
        tick = min(LONGEST_TICK, self.deadline / 10)
        self._tell("alive")
        while not self._closed.wait(tick):
            now = time.monotonic()
            # A longer gap is one in which this process was stopped, as a batch system may.
            waited, last = waited + min(now - last, 2 * tick), now
            # Read before the meals: what makes it less, makes it after one.
            limit = self.limit + (_GIVING_WAY if self._waiting else 0)
            if seen != self._meals:
                waited, seen = 0.0, self._meals
            if waited > limit:
                self._expire(waited)
                return
            self._tell("alive")
        self._tell("left")

    def _tell(self, kind: str) -> None:
        # This thread speaks while a snapshot is taken too.
        silence = self.deadline if self._steps else PATIENCE
        tell(News(kind, self._rank, silence, self._steps, "" if self._waiting else self._place()))

    def _expire(self, waited: float) -> None:
        # Who stalls may hold the lock of the log, or nobody reads it. The launcher is told last,
        # as it leaves the ranks no time.
        for words in (lambda: self._explain(waited), lambda: self._tell("expired")):
            thread = threading.Thread(target=words, daemon=True)
            thread.start()
            thread.join(_LOGGING)
        wait_until_read(_LOGGING)
        self._leave(STALLED)

    def _explain(self, waited: float) -> None:
        logger.error(
            "no step on rank %d for %.1f s after step %d, where %.1f s are allowed: it %s %s; %s; "
            "this rank ends",
            self._rank,
            waited,
            self._steps,
            self.limit,
            "waits in" if self._waiting else "stands in",
            self._place(),
            "another rank did not come, or the network is cut"
            if self._waiting
            else "all others have to wait for it",
        )
        for call in self.before_leaving:
            call()

    def _place(self) -> str:
        frame = sys._current_frames().get(self._main)
        return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}" if frame else "no line"


def given_deadline() -> float | None:
    """Return the deadline of a step that the environment gives, or none.

    Raises
    ------
    SscaffeError
        If it is no positive number.
    """
    text = os.environ.get(DEADLINE, "")
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise SscaffeError(f"{DEADLINE}: expected a positive number of seconds, got {text!r}")
    return seconds
