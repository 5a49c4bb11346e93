"""Time reductions of several sizes: what `measure_allreduce` starts once for each rank.

mpiexec -n 2 python -m sscaffe.scaling.ranks 4 1024 1048576
"""

import json
import statistics
import sys
import time

import numpy as np

from sscaffe.parallel.world import World, current

_LEAST, _MOST = 5, 200  # runs of each size
_SECONDS = 0.4  # of each size, after _LEAST


def main(sizes: list[int]) -> None:
    """Print a list of [bytes, seconds] as JSON, from the first rank alone."""
    world = current()
    points = [[size, _measure(world, size)] for size in sizes]
    if world.is_first:
        print(json.dumps(points))  # noqa: T201 (a program of its own)


def _measure(world: World, size: int) -> float:
    """Return the median over the runs, of each the seconds of the rank that took longest."""
    gradient = np.zeros(max(size // 4, 1), np.float32)
    _run(world, gradient)
    once = _run(world, gradient)
    runs = int(min(max(_SECONDS / once, _LEAST), _MOST))  # the same number on every rank
    return statistics.median(_run(world, gradient) for _ in range(runs))


def _run(world: World, gradient: np.ndarray) -> float:
    world.largest(0)  # all begin together
    start = time.perf_counter()
    world.start_sum(gradient).wait()
    return max(world.gather(time.perf_counter() - start))


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]])
