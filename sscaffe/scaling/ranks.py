"""Time Allreduces of several sizes: what `measure_allreduce` starts once for each rank.

mpiexec -n 2 python -m sscaffe.scaling.ranks 4 1024 1048576
"""

import json
import statistics
import sys
import time

import numpy as np

_LEAST, _MOST = 5, 200  # runs of each size
_SECONDS = 0.4  # of each size, after _LEAST


def main(sizes: list[int]) -> None:
    """Print a list of [bytes, seconds] as JSON, from the first rank alone."""
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    points = [[size, _measure(world, MPI.MAX, size)] for size in sizes]
    if world.Get_rank() == 0:
        print(json.dumps(points))  # noqa: T201 (a program of its own)


def _measure(world, slowest, size: int) -> float:  # type: ignore[no-untyped-def]
    """Return the median over the runs, of each the seconds of the rank that took longest."""
    gradient = np.ones(max(size // 4, 1), np.float32)
    total = np.empty_like(gradient)
    world.Allreduce(gradient, total)
    start = time.perf_counter()
    world.Allreduce(gradient, total)
    once = world.allreduce(time.perf_counter() - start, op=slowest)
    runs = int(min(max(_SECONDS / once, _LEAST), _MOST))  # the same number on every rank
    times = []
    for _ in range(runs):
        world.Barrier()
        start = time.perf_counter()
        world.Allreduce(gradient, total)
        times.append(world.allreduce(time.perf_counter() - start, op=slowest))
    return float(statistics.median(times))


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]])
