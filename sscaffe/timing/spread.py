"""Times of many runs, taken and summed up."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sscaffe.device import Device


@dataclass(frozen=True)
class Spread:
    """How long something took over many runs, in ms."""

    median: float
    low: float  # a tenth of the runs took less
    high: float  # a tenth of the runs took more
    mean: float

    @classmethod
    def of(cls, milliseconds: Sequence[float]) -> "Spread":
        """Sum up one number for each run."""
        ordered = sorted(milliseconds)
        last = len(ordered) - 1
        return cls(
            statistics.median(ordered),
            ordered[round(0.1 * last)],
            ordered[round(0.9 * last)],
            statistics.fmean(ordered),
        )


def milliseconds(run: Callable[[], object], device: Device) -> float:
    """Run something once on an idle device, and return how long it took until that was done."""
    device.kernels.synchronize()
    start = time.perf_counter()
    run()
    device.kernels.synchronize()
    return 1e3 * (time.perf_counter() - start)
