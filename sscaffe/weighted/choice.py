"""Choosing the fastest kernel for weights as they are."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from sscaffe import __version__, memo, sparsity
from sscaffe.blob import Blob
from sscaffe.device import on_host
from sscaffe.weight_matrix import Prepared
from sscaffe.weighted.base import Epilogue, WeightedKernel
from sscaffe.weighted.race import race

Array = npt.NDArray[Any]

EDITION = "edition 4"  # of kernels and of how they are timed: older times do not count
WORTH_IT = 0.95  # of dense's time: what is hardly faster is not taken
BESIDE = "beside other work"
CALL = 0.002  # ms; so much longer takes a call of another kernel from Python, which no race times


_raced_here: set[str] = set()  # in this process


@dataclass(frozen=True)
class Zeros:
    """How much of a weight matrix is left."""

    kept: float  # share of the elements in rows and columns that are not zero
    density: float  # share of the elements that are not zero

    @classmethod
    def of(cls, matrix: Array, group: int) -> "Zeros":
        """Look at a weight matrix of some conv groups."""
        size = max(matrix.size, 1)
        return cls(sparsity.kept_size(matrix, group) / size, int((matrix != 0).sum()) / size)

    def __str__(self) -> str:
        rows = f"{100 * (1 - self.kept):.0f} % in zero rows and columns"
        return f"{100 * (1 - self.density):.0f} % zeros, {rows}"

    def bucket(self) -> str:
        """Return a name for about as many zeros: what was measured for one holds for the other."""
        return f"{20 * self.kept:.0f}/20 kept, {40 * self.density:.0f}/40 dense"


class Choice:
    """Chooses among kernels that compute the same, once for each state of the weights.

    Parameters
    ----------
    kernels : function of Zeros
        Returns the kernels that may be the fastest for weights with such zeros, by their names;
        the first is the dense one.
    group : int
        Conv groups of the weight matrix.
    work : str
        What the kernels compute: layer type and sizes.
    """

    def __init__(
        self, kernels: Callable[[Zeros], dict[str, WeightedKernel]], group: int, work: str
    ) -> None:
        self._kernels, self._group, self.work = kernels, group, work
        self._zeros = Prepared(self._look)
        self._chosen_for: tuple[Zeros, bool] | None = None
        self.is_repeated = False  # whether a compact net spares the calls from Python
        self._chosen: WeightedKernel | None = None
        self._best = ""
        self.is_news = False  # whether the choice is another one and not told yet
        self.reason = "nothing has run yet"

    def _look(self, weights: Array) -> Zeros:
        return Zeros.of(on_host(weights).reshape(weights.shape[0], -1), self._group)

    def kernel(
        self, bottom: Blob, weights: Blob, bias: Blob | None, top: Blob, epilogue: Epilogue
    ) -> WeightedKernel:
        """Return the kernel for the weights as they are."""
        zeros = self._zeros.get(weights)
        chosen_for = zeros, self.is_repeated
        if self._chosen is not None and chosen_for == self._chosen_for:
            return self._chosen
        candidates = self._kernels(zeros)
        dense = next(iter(candidates))
        if len(candidates) == 1:
            best, self.reason = dense, f"{zeros} is too few"
        else:
            times = self._times(candidates, zeros, bottom, weights, bias, top, epilogue)

            def cost(name: str) -> float:
                if name == dense:
                    return times[name]
                is_called = not (self.is_repeated and candidates[name].replays)
                return times[name] / WORTH_IT + CALL * is_called

            best = min(times, key=cost)
            self.reason = _sentence(times, best, dense, zeros)
        self.is_news = best != self._best and zeros.density < 1
        self._best = best
        self._chosen, self._chosen_for = candidates[best], chosen_for
        return self._chosen

    def _times(
        self,
        candidates: dict[str, WeightedKernel],
        zeros: Zeros,
        bottom: Blob,
        weights: Blob,
        bias: Blob | None,
        top: Blob,
        epilogue: Epilogue,
    ) -> memo.Times:
        layout = "plain" if bottom.data_tensor.is_plain else "native"
        facts = [
            f"sscaffe {__version__}",
            bottom.device.kernels.place(),
            self.work,
            f"{layout} bottom",
            EDITION,
        ]
        key = "; ".join([*facts, zeros.bucket()])
        known = memo.recall_of(key, candidates)
        if known is not None:
            return known
        # Times beside other work are kept until another process has had a try as well; there is
        # nothing better to be had on a machine that is never quiet.
        beside = f"{key}; {BESIDE}"
        before = memo.recall_of(beside, candidates)
        if before is not None and beside in _raced_here:
            return before
        times, counts = race(candidates, bottom, weights, bias, top.shape, epilogue)
        memo.remember(beside if before is None and not counts else key, times)
        _raced_here.add(beside)
        return times


def _sentence(times: memo.Times, best: str, dense: str, zeros: Zeros) -> str:
    """Say why a kernel was chosen."""
    if best == dense:
        rival = min((name for name in times if name != dense), key=times.__getitem__)
        took = f"{rival} took {times[rival]:.3g} ms, dense {times[dense]:.3g}"
        return f"{zeros}, but {took}"
    spared = f"{times[best]:.3g} ms instead of {times[dense]:.3g}"
    return f"{zeros}; {times[dense] / times[best]:.1f}x as fast as dense, {spared}"
