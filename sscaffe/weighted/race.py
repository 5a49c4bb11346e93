"""How long kernels take that compute the same."""

import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from sscaffe.blob import Blob
from sscaffe.kernels.tape import Tape
from sscaffe.weighted.base import Epilogue, WeightedKernel

ROUNDS = 9
LEAST_ROUNDS = 3
LEAST_MILLISECONDS, MOST_REPEATS = 0.2, 20  # of one kernel in one round
SECONDS = 0.25  # all runs of a race together, after LEAST_ROUNDS


def race(
    kernels: Mapping[str, WeightedKernel],
    bottom: Blob,
    weights: Blob,
    bias: Blob | None,
    top_shape: tuple[int, ...],
    epilogue: Epilogue,
) -> dict[str, float]:
    """Let kernels run in turns on one bottom, and return the median of each in ms.

    Each takes the bottom in the layout that it has now, and pays for another one if it needs it;
    and the top has to be in the layout that the first kernel gives it, as the next layer may be
    like the first one.
    What a compact net would repeat by a tape is timed without the Python around it, and what is
    short is run several times for each time that is taken.
    A machine that others use slows them all alike, so ratios of their times mean something.

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
    first = min(_milliseconds(call, 1) for call in calls.values())
    repeats = max(1, min(MOST_REPEATS, round(LEAST_MILLISECONDS / max(first, 1e-6))))
    times: dict[str, list[float]] = {name: [] for name in kernels}
    begin = time.perf_counter()
    for done in range(ROUNDS):
        if done >= LEAST_ROUNDS and time.perf_counter() - begin > SECONDS:
            break
        for name in kernels:
            times[name].append(_milliseconds(calls[name], repeats))
    return {name: statistics.median(values) for name, values in times.items()}


def _milliseconds(call: Callable[[], None], repeats: int) -> float:
    """Return how long a call takes, on average."""
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return 1e3 * (time.perf_counter() - start) / repeats


def _race_elsewhere(
    kernels: Mapping[str, WeightedKernel],
    bottom: Blob,
    weights: Blob,
    bias: Blob | None,
    tops: Mapping[str, Blob],
    epilogue: Epilogue,
) -> dict[str, float]:
    """Do as `race` on a device of one layout, which has a clock of its own."""
    runs = [
        partial(kernel.forward, bottom, weights, bias, tops[name], epilogue)
        for name, kernel in kernels.items()
    ]
    for run in runs:
        run()  # prepares weights and memory
    return dict(zip(kernels, bottom.device.kernels.elapsed(runs, ROUNDS), strict=True))
