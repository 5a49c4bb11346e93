"""Recording the calls of a forward pass, to repeat them without the layers that made them.

A pass over a net of small layers spends more time in Python than in kernels. What it asks of the
core is the same every time, on the same memory, as long as no shape changes; so it is written down
once.
"""

import threading
from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any

from sscaffe import _core

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
        self._joined: list[Call] = []

    def __enter__(self) -> "Tape":
        self._calls = []
        _local.recording = self._calls
        return self

    def __exit__(self, *error: object) -> None:
        _local.recording = None
        self._joined = _join(self._calls)

    def __len__(self) -> int:
        return len(self._calls)

    def replay(self) -> None:
        """Make the calls again."""
        for function, arguments in self._joined:
            function(*arguments)


def _join(calls: Iterable[Call]) -> list[Call]:
    """Make one call of forward passes of primitives that follow each other."""
    joined: list[Call] = []
    for are_forward, group in groupby(calls, lambda call: _is_forward(call[0])):
        if are_forward:
            series: list[Any] = [(_owner(function), *arguments) for function, arguments in group]
            joined.append((_core.ForwardSeries(series).run, ()))
        else:
            joined.extend(group)
    return joined


def _is_forward(function: Callable[..., Any]) -> bool:
    is_primitive = _core.has_onednn and isinstance(_owner(function), _core.WeightedPrimitive)
    return is_primitive and function.__name__ == "forward"


def _owner(function: Callable[..., Any]) -> Any:
    return getattr(function, "__self__", None)
