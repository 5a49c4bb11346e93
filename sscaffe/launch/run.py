"""One start of the ranks: what they write is shown, their silence is heard, and they end."""

import contextlib
import os
import queue
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sscaffe.errors import UnsupportedError
from sscaffe.machine import end_with_parent
from sscaffe.parallel.news import LAUNCH, Ear, News
from sscaffe.parallel.watchdog import LONGEST_TICK, STALLED

START = 300.0  # seconds in which each rank must be heard
_POLL = 0.05
_LATE = 2.0  # seconds that news may take
_LEAVING = 60.0  # seconds for mpiexec to end once all ranks have told that they do
_GRACE = 1.0  # for mpiexec to end by itself once a rank has given up
_READING = 10.0  # for what was written before the end to be shown
_CHUNK = 1 << 16
_FAILED = 255  # Hydra's status, and that of ssh, where ranks cannot be started or are lost
_DEADLY = (signal.SIGABRT, signal.SIGBUS, signal.SIGKILL, signal.SIGSEGV)
_SIGNALS = 32  # Statuses from here on are no signal's; some below are classes of MPI's errors.


@dataclass(frozen=True)
class Ended:
    """How the ranks ended.

    Attributes
    ----------
    status : int
        The exit status.
    reason : str
        What happened, for a person; empty if all is well.
    steps : int
        The steps that were done at least.
    """

    status: int
    reason: str
    steps: int


class Run:
    """The ranks, from their start to their end.

    Parameters
    ----------
    words : sequence of str
        The command that starts them.
    ranks : int
        How many there are.
    environment : mapping of str to str
        What they know.
    start : float
        The seconds in which each must be heard.

    Raises
    ------
    UnsupportedError
        If the command cannot be started.
    """

    def __init__(
        self,
        words: Sequence[str],
        ranks: int,
        environment: Mapping[str, str],
        start: float = START,
    ) -> None:
        self._token = uuid.uuid4().hex
        self._patience = dict.fromkeys(range(ranks), start)
        self._silence = dict.fromkeys(range(ranks), 0.0)
        self._news: queue.SimpleQueue[News] = queue.SimpleQueue()
        self._latest: dict[int, News] = {}
        self._steps, self._leaving = 0, 0.0
        try:
            self._process = subprocess.Popen(
                list(words),
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={**environment, LAUNCH: self._token},
                start_new_session=True,  # Ctrl-C comes from here alone, once.
                preexec_fn=end_with_parent,
            )
        except OSError as error:
            raise UnsupportedError(f"{words[0]} does not run: {error.strerror}") from error
        assert self._process.stderr is not None
        self._reader = threading.Thread(target=self._read, args=(self._process.stderr,))
        self._reader.daemon = True
        self._reader.start()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to mpiexec."""
        if self._process.returncode is None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """End mpiexec and the ranks at once; those of other hosts lose their mpiexec and end."""
        kill_all(self._token)

    def wait(self) -> Ended:
        """Wait for the end, and make it one if a rank stands still; nothing is left running."""
        reason, last = "", time.monotonic()
        while self._process.poll() is None and not reason:
            time.sleep(_POLL)
            now = time.monotonic()
            # In a longer gap this process was stopped, and could hear nobody.
            gap, last = min(now - last, 10 * _POLL), now
            reason = self._listen(gap)
        if reason:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE)
        kill_all(self._token)
        self._process.wait()
        self._reader.join(_READING)  # not for ever: somebody else may hold the stream
        reason = reason or self._listen(0)  # its last words
        if reason:
            return Ended(STALLED, reason, self._steps)
        return self._ended(self._process.returncode)

    def _ended(self, code: int) -> Ended:
        reason = f"it ended with status {code}" if code else ""
        if code == _FAILED and not self._latest:
            code, reason = 1, "no rank was heard of; what mpiexec wrote above says more"
        elif code < 0:
            code, reason = 128 - code, f"mpiexec died of {signal.Signals(-code).name}"
        elif died_of := _deadly(code % 128):
            code, reason = 128 + code % 128, f"a rank died of {died_of}"
        return Ended(code, reason, self._steps)

    def _listen(self, gap: float) -> str:
        """Take in what is new; return why the ranks must end, if they must."""
        for rank in self._silence:
            self._silence[rank] += gap
        while not self._news.empty():
            one = self._news.get()
            self._steps = max(self._steps, one.steps)
            self._latest[one.rank] = one
            if one.kind == "expired":
                return self._who_stalled(one)
            if one.kind == "left":
                self._silence.pop(one.rank, None)
            elif one.rank in self._silence:
                self._silence[one.rank] = 0.0
                self._patience[one.rank] = one.silence + _LATE
        self._leaving += 0 if self._silence else gap
        if self._leaving > _LEAVING:
            return "mpiexec did not end after all ranks had"
        for rank, silence in self._silence.items():
            if silence > self._patience[rank]:
                return f"rank {rank} was not heard for {silence:.1f} s"
        return ""

    def _who_stalled(self, expired: News) -> str:
        """Return who let the others wait, as far as what was heard tells."""
        if expired.at:
            return f"rank {expired.rank} made no step; it stood in {expired.at}"
        late = [
            f"rank {rank}, not heard for {silence:.1f} s"
            if silence > 2 * LONGEST_TICK
            else f"rank {rank}, which stood in {self._latest[rank].at}"
            for rank, silence in self._silence.items()
            if silence > 2 * LONGEST_TICK or (rank in self._latest and self._latest[rank].at)
        ]
        waited = f"rank {expired.rank} waited too long for a step"
        return f"{waited}, to which others did not come: {'; '.join(late)}" if late else waited

    def _read(self, stream: IO[bytes]) -> None:
        ear = Ear()
        with stream:
            while data := os.read(stream.fileno(), _CHUNK):
                text, news = ear.listen(data)
                for one in news:
                    self._news.put(one)
                with contextlib.suppress(OSError):  # Nobody reads it, or the disk is full.
                    while text:
                        text = text[os.write(2, text) :]


def _deadly(code: int) -> str:
    """Return the signals that a rank may have died of.

    Hydra ends with the bitwise or of what its ranks ended with: 11 is SIGSEGV, or SIGKILL beside a
    rank that ended with 2 because the other was gone.
    """
    names = [one.name for one in _DEADLY if code < _SIGNALS and code & one == one]
    return " or ".join(names)


def kill_all(token: str) -> None:
    """Kill each process of this machine that a run started, and wait until they are gone.

    They are known by their environment: Hydra and Open MPI put ranks into sessions of their own,
    and whoever lost its parent is nobody's child.
    """
    mark = f"{LAUNCH}={token}".encode()
    while found := [pid for pid in _processes() if mark in _environment(pid)]:
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_POLL / 5)


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


def _environment(pid: int) -> list[bytes]:
    try:
        return Path("/proc", str(pid), "environ").read_bytes().split(b"\0")
    except OSError:  # It has ended, or is not ours.
        return []
