"""The alpha-beta model: what an Allreduce costs, and what of that a step has to wait for.

Source: Thakur, Rabenseifner, Gropp, "Optimization of Collective Communication Operations in
MPICH", International Journal of High Performance Computing Applications 19(1), 2005: sections 3
and 4.5. A message of n bytes takes alpha + n beta; adding n bytes to n others takes n gamma.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

AGREEMENT = 8  # bytes


@dataclass(frozen=True)
class Network:
    """What lies between two ranks."""

    latency: float  # alpha: seconds a message
    per_byte: float  # beta: seconds a byte
    adding: float = 0.0  # gamma: seconds a byte; 0 where beta was fitted to reductions


@dataclass(frozen=True)
class Bucket:
    """A part of the gradient that is reduced as one."""

    size: int  # bytes
    ready: float  # seconds from the start of the step


@dataclass(frozen=True)
class Work:
    """What one rank does in a step, but for the reductions that it waits for."""

    batch: int  # records of a step
    buckets: tuple[Bucket, ...]  # in the order in which the backward pass is done with them
    rest: float  # seconds from the last bucket to the end of the step
    agreements: int = 0  # Allreduces of a few bytes

    @property
    def size(self) -> int:
        """Bytes of the whole gradient."""
        return sum(bucket.size for bucket in self.buckets)

    @property
    def step(self) -> float:
        """Seconds of a step in which nothing is waited for."""
        return self.buckets[-1].ready + self.rest


@dataclass(frozen=True)
class Prediction:
    """A step of so many ranks with one algorithm; times in seconds."""

    ranks: int
    batch: int  # records of a step, of all ranks together
    algorithm: str
    reduction: float  # of the whole gradient at once
    step: float  # the reduction after the backward pass
    step_overlapped: float  # bucket by bucket, while the backward pass goes on
    efficiency: float  # speed of a rank, over that of one alone
    efficiency_overlapped: float


def ring(ranks: int, size: float, network: Network) -> float:
    """Return the seconds of reduce-scatter and allgather around a ring, size / ranks a message."""
    share = (ranks - 1) / ranks * size
    return 2 * (ranks - 1) * network.latency + share * (2 * network.per_byte + network.adding)


def doubling(ranks: int, size: float, network: Network) -> float:
    """Return the seconds of recursive doubling: everything to a partner, in each of lg p steps."""
    steps, extra = _steps(ranks, size, network)
    return extra + steps * (network.latency + size * (network.per_byte + network.adding))


def halving(ranks: int, size: float, network: Network) -> float:
    """Return the seconds of Rabenseifner's algorithm.

    Reduce-scatter by recursive halving, then allgather by recursive doubling.
    """
    steps, extra = _steps(ranks, size, network)
    share = (1 - 0.5**steps) * size
    return extra + 2 * steps * network.latency + share * (2 * network.per_byte + network.adding)


def recursive(ranks: int, size: float, network: Network) -> float:
    """Return the seconds of the faster of `doubling` and `halving`, as MPI libraries choose."""
    return min(doubling(ranks, size, network), halving(ranks, size, network))


def _steps(ranks: int, size: float, network: Network) -> tuple[int, float]:
    """Return lg p rounded down, and what the ranks beyond that power of two cost.

    Each of them sends all it has to a partner before, and gets the sum after.
    """
    steps = ranks.bit_length() - 1
    if ranks == 1 << steps:
        return steps, 0.0
    return steps, 2 * (network.latency + size * network.per_byte) + size * network.adding


ALGORITHMS: dict[str, Callable[[int, float, Network], float]] = {
    "ring": ring,
    "recursive": recursive,
}


def overlapped(work: Work, reduce: Callable[[float], float]) -> float:
    """Return the seconds of a step that reduces one bucket after the other, during backward.

    Parameters
    ----------
    work : Work
        When each bucket is there.
    reduce : callable
        Returns the seconds that so many bytes take.
    """
    done = 0.0
    for bucket in work.buckets:
        done = max(done, bucket.ready) + reduce(bucket.size)
    return done + work.rest + work.agreements * reduce(AGREEMENT)


def predict(
    alone: Work, work: Work, ranks: int, network: Network, algorithm: str = "ring"
) -> Prediction:
    """Predict a step of many ranks.

    Parameters
    ----------
    alone : Work
        A step of one rank that has no others: what efficiency is measured by.
    work : Work
        What each of the ranks does.
    ranks : int
        How many.
    network : Network
        What lies between them.
    algorithm : str
        One of ALGORITHMS.
    """

    def reduce(size: float) -> float:
        return ALGORITHMS[algorithm](ranks, size, network)

    reduction = reduce(work.size)
    plain = work.step + reduction + work.agreements * reduce(AGREEMENT)
    hidden = overlapped(work, reduce)
    # Of as many records as the rank has.
    ideal = alone.step * work.batch / alone.batch
    total = ranks * work.batch
    return Prediction(
        ranks, total, algorithm, reduction, plain, hidden, ideal / plain, ideal / hidden
    )


def fit(points: Sequence[tuple[int, float]], ranks: int) -> Network:
    """Fit latency and time per byte to Allreduces that were timed.

    The line a + b n with the least relative errors; a is the lg p messages of recursive doubling,
    which small ones are reduced by, b the 2 (p - 1) / p n bytes of the algorithms for large ones.

    Parameters
    ----------
    points : sequence of (int, float)
        Bytes and seconds.
    ranks : int
        How many took part; 2 or more.
    """
    # Each equation a / t + b n / t = 1 has the weight of any other.
    rows = [(1 / seconds, size / seconds) for size, seconds in points]
    aa, ab, bb = (sum(r[i] * r[j] for r in rows) for i, j in ((0, 0), (0, 1), (1, 1)))
    a, b = (sum(row[i] for row in rows) for i in (0, 1))
    determinant = aa * bb - ab * ab
    start = (a * bb - b * ab) / determinant if determinant > 0 else 0.0
    slope = (b * aa - a * ab) / determinant if determinant > 0 else b / bb
    if start < 0:
        start, slope = 0.0, b / bb
    elif slope < 0:
        start, slope = a / aa, 0.0
    return Network(start / math.ceil(math.log2(ranks)), slope * ranks / (2 * (ranks - 1)))


def fitted(size: float, ranks: int, network: Network) -> float:
    """Return the seconds on the line that `fit` found."""
    steps = math.ceil(math.log2(ranks))
    return steps * network.latency + 2 * (ranks - 1) / ranks * size * network.per_byte
