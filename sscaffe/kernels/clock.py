"""Timing on the host's clock."""

import statistics
import time
from collections.abc import Callable, Sequence


def elapsed(functions: Sequence[Callable[[], None]], rounds: int) -> list[float]:
    """Return the median time of each function in ms; they take turns, `rounds` times."""
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(rounds):
        for function, own in zip(functions, times, strict=True):
            start = time.perf_counter()
            function()
            own.append(1e3 * (time.perf_counter() - start))
    return [statistics.median(own) for own in times]
