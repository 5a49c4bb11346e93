"""Recording the calls of a forward pass, to repeat them without the layers that made them.

A pass over a net of small layers spends more time in Python than in kernels. What it asks of the
core is the same every time, on the same memory, as long as no shape changes; so it is written down
once.
"""

import threading
from collections.abc import Callable
from typing import Any

Call = tuple[Callable[..., Any], tuple[Any, ...]]


class _Local(threading.local):
    recording: list[Call] | None = None


_local = _Local()


def run(function: Callable[..., Any], *arguments: Any) -> None:
    """Call a function of the core, and note the call if a tape is recording.

    The arguments are what holds the memory: they are kept with the tape.
    """
    function(*arguments)
    if _local.recording is not None:
        _local.recording.append((function, arguments))


class Tape:
    """The calls that were made within a ``with`` block, in this thread."""

    def __init__(self) -> None:
        self._calls: list[Call] = []

    def __enter__(self) -> "Tape":
        self._calls = []
        _local.recording = self._calls
        return self

    def __exit__(self, *error: object) -> None:
        _local.recording = None

    def __len__(self) -> int:
        return len(self._calls)

    def replay(self) -> None:
        """Make the calls again."""
        for function, arguments in self._calls:
            function(*arguments)
