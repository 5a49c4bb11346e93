"""Recording the calls of a forward pass, to repeat them without the layers that made them.

A pass over a net of small layers spends more time in Python than in kernels. What it asks of the
core is the same every time, on the same memory, as long as no shape changes; so it is written down
once.
"""

import threading
from collections.abc import Callable
from typing import Any

from sscaffe import _core

Call = tuple[Callable[..., Any], tuple[Any, ...]]


class Tape:
    """The calls that were made within a ``with`` block, in this thread.

    Those that follow each other and that the core can make again by itself are one call of a
    `_core.Series`.
    """

    def __init__(self) -> None:
        self._calls: list[Call] = []
        self._joined: list[Call] = []
        self._series = _core.Series()

    def __enter__(self) -> "Tape":
        _local.recording = self
        return self

    def __exit__(self, *error: object) -> None:
        _local.recording = None
        self._end_series()

    def __len__(self) -> int:
        return len(self._calls)

    def make(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        """Call a function, and note it."""
        self._calls.append((function, arguments))
        if not self._series.note(function, arguments):
            self._end_series()
            self._joined.append((function, arguments))

    def _end_series(self) -> None:
        if len(self._series):
            self._joined.append((self._series.run, ()))
            self._series = _core.Series()

    def replay(self) -> None:
        """Make the calls again."""
        for function, arguments in self._joined:
            function(*arguments)


class _Local(threading.local):
    recording: Tape | None = None


_local = _Local()


def run(function: Callable[..., Any], *arguments: Any) -> None:
    """Call a function of the core, and note the call if a tape is recording.

    The arguments are what holds the memory: they are kept with the tape.
    """
    if _local.recording is None:
        function(*arguments)
    else:
        _local.recording.make(function, arguments)
