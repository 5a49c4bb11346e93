"""How long kernels take that compute the same."""

import resource
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from sscaffe.blob import Blob
from sscaffe.kernels.tape import Tape
from sscaffe.weighted.base import Epilogue, WeightedKernel

ROUNDS = 9
LEAST_ROUNDS = 3
LEAST_MILLISECONDS, MOST_REPEATS = 0.2, 20  # of one kernel in one round
SECONDS = 0.25  # all runs of a race together, after LEAST_ROUNDS
MOST_SECONDS = 0.5  # likewise, where one kernel had no round for itself
APART = 40.0  # ms from one time that other work has the processor to the next: so rare, it is none


class Race(NamedTuple):
    """The times of kernels in ms, and whether they count for more than this once.

    They do not where other work had the processor in all rounds of one of them: a call of some
    microseconds takes as long then as the scheduler lets the others run.
    """

    times: dict[str, float]
    counts: bool


def race(
    kernels: Mapping[str, WeightedKernel],
    bottom: Blob,
    weights: Blob,
    bias: Blob | None,
    top_shape: tuple[int, ...],
    epilogue: Epilogue,
) -> Race:
    """Let kernels run in turns on one bottom, and return the least time of each.

    Each takes the bottom in the layout that it has now, and pays for another one if it needs it;
    and the top has to be in the layout that the first kernel gives it, as the next layer may be
    like the first one.
    What a compact net would repeat by a tape is timed without the Python around it, and what is
    short is run several times for each time that is taken.
    Times in which a thread had to leave the processor to others do not count where all kernels
    have better ones; of those that are left the least is the least disturbed.

    Parameters
    ----------
    kernels : mapping of str to WeightedKernel
        What runs; they keep what they prepare from the weights.
    bottom, weights, bias : Blob
        What they compute with.
    top_shape : tuple of int
        The shape of what they make.
    epilogue : Epilogue
        What follows.
    """
    tops = {name: Blob(top_shape, bottom.dtype, bottom.device) for name in kernels}
    if not bottom.device.is_cpu:
        return _race_elsewhere(kernels, bottom, weights, bias, tops, epilogue)

    def forward(name: str) -> None:
        kernels[name].forward(bottom.alias(), weights, bias, tops[name], epilogue)
        if layout is not None:
            tops[name].data_tensor.memory_as(layout, top_shape)

    layout: Any = None
    for name in kernels:
        forward(name)  # prepares weights and memory
    if bottom.dtype == "float32":
        layout = tops[next(iter(kernels))].data_tensor.memory(top_shape).layout
    calls = {name: partial(forward, name) for name in kernels}
    for name, kernel in kernels.items():
        if kernel.replays:
            with Tape() as tape:
                forward(name)
            calls[name] = partial(tape.replay)
    return _undisturbed(calls)


def _undisturbed(calls: Mapping[str, Callable[[], None]]) -> Race:
    """Let calls run in turns until each had some rounds for itself, or for too long."""
    first = min(_milliseconds(call, 1)[0] for call in calls.values() for _ in range(LEAST_ROUNDS))
    repeats = max(1, min(MOST_REPEATS, round(LEAST_MILLISECONDS / max(first, 1e-6))))
    alone: dict[str, list[float]] = {name: [] for name in calls}
    beside: dict[str, list[float]] = {name: [] for name in calls}
    begin, done = time.perf_counter(), 0
    while done < LEAST_ROUNDS or time.perf_counter() - begin < (
        SECONDS if all(alone.values()) else MOST_SECONDS
    ):
        for name, call in calls.items():
            milliseconds, was_alone = _milliseconds(call, repeats)
            (alone if was_alone else beside)[name].append(milliseconds)
        done += 1
        if min(map(len, alone.values())) >= ROUNDS:
            break
    counts = all(alone.values())
    # Like is compared with like.
    better, other = (alone, beside) if counts else (beside, alone)
    return Race({name: min(better[name] or other[name]) for name in calls}, counts)


def _milliseconds(call: Callable[[], None], repeats: int) -> tuple[float, bool]:
    """Return how long a call takes, on average, and whether that is its own time."""
    before = _times_put_off()
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    taken = 1e3 * (time.perf_counter() - start)
    return taken / repeats, APART * (_times_put_off() - before) <= taken


def _times_put_off() -> int:
    """Return how often a thread of this process had to leave the processor to others."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def _race_elsewhere(
    kernels: Mapping[str, WeightedKernel],
    bottom: Blob,
    weights: Blob,
    bias: Blob | None,
    tops: Mapping[str, Blob],
    epilogue: Epilogue,
) -> Race:
    """Do as `race` on a device of one layout, which has a clock of its own."""
    runs = [
        partial(kernel.forward, bottom, weights, bias, tops[name], epilogue)
        for name, kernel in kernels.items()
    ]
    for run in runs:
        run()  # prepares weights and memory
    times = bottom.device.kernels.elapsed(runs, ROUNDS)
    return Race(dict(zip(kernels, times, strict=True)), counts=True)
