"""How long kernels take that compute the same."""

import statistics
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from sscaffe.blob import Blob
from sscaffe.weighted.base import Epilogue, WeightedKernel

ROUNDS = 9
LEAST_ROUNDS = 3
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

    def run(name: str) -> float:
        source = bottom.alias()
        start = time.perf_counter()
        kernels[name].forward(source, weights, bias, tops[name], epilogue)
        if layout is not None:
            tops[name].data_tensor.memory_as(layout, top_shape)
        return 1e3 * (time.perf_counter() - start)

    layout: Any = None
    for name in kernels:
        run(name)  # prepares weights and memory
    if bottom.dtype == "float32":
        layout = tops[next(iter(kernels))].data_tensor.memory(top_shape).layout
    times: dict[str, list[float]] = {name: [] for name in kernels}
    begin = time.perf_counter()
    for done in range(ROUNDS):
        if done >= LEAST_ROUNDS and time.perf_counter() - begin > SECONDS:
            break
        for name in kernels:
            times[name].append(run(name))
    return {name: statistics.median(values) for name, values in times.items()}


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
