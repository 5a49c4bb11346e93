"""The mode that chooses by itself: the fastest kernel for the weights as they are."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from sscaffe import __version__, machine, sparsity
from sscaffe.blob import Blob
from sscaffe.conv import memo
from sscaffe.conv.base import NOTHING, ConvKernel, Epilogue, Propagate
from sscaffe.conv.direct_dense import DirectDense
from sscaffe.conv.direct_sparse import DirectSparse
from sscaffe.conv.lowered import LoweredCcnmm, LoweredCsrmm
from sscaffe.conv.race import race
from sscaffe.device import Device
from sscaffe.geometry import ConvGeometry
from sscaffe.log import logger
from sscaffe.proto import caffe_pb2
from sscaffe.weight_matrix import Prepared

Array = npt.NDArray[Any]

WORTH_IT = 0.95  # of dense's time: what is hardly faster is not taken
DENSE = DirectDense.mode_name


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
        self, kernels: Callable[[Zeros], dict[str, ConvKernel]], group: int, work: str
    ) -> None:
        self._kernels, self._group, self._work = kernels, group, work
        self._zeros = Prepared(self._look)
        self._chosen_for: Zeros | None = None
        self._chosen: ConvKernel | None = None
        self._best = ""
        self.is_news = False  # whether the choice is another one and not told yet
        self.reason = "nothing has run yet"

    def _look(self, weights: Array) -> Zeros:
        return Zeros.of(weights.reshape(weights.shape[0], -1), self._group)

    def kernel(
        self, bottom: Blob, weights: Blob, bias: Blob | None, top: Blob, epilogue: Epilogue
    ) -> ConvKernel:
        """Return the kernel for the weights as they are."""
        zeros = self._zeros.get(weights)
        if self._chosen is not None and zeros == self._chosen_for:
            return self._chosen
        candidates = self._kernels(zeros)
        dense = next(iter(candidates))
        if len(candidates) == 1:
            best, self.reason = dense, f"{zeros} is too few"
        else:
            times = self._times(candidates, zeros, bottom, weights, bias, top, epilogue)
            best = min(times, key=lambda name: times[name] * (name == dense or 1 / WORTH_IT))
            self.reason = _sentence(times, best, dense, zeros)
        self.is_news = best != self._best and zeros.density < 1
        self._best = best
        self._chosen, self._chosen_for = candidates[best], zeros
        return self._chosen

    def _times(
        self,
        candidates: dict[str, ConvKernel],
        zeros: Zeros,
        bottom: Blob,
        weights: Blob,
        bias: Blob | None,
        top: Blob,
        epilogue: Epilogue,
    ) -> memo.Times:
        layout = "plain" if bottom.data_tensor.is_plain else "native"
        facts = [f"sscaffe {__version__}", machine.place(), self._work, f"{layout} bottom"]
        key = "; ".join([*facts, zeros.bucket()])
        known = memo.recall(key)
        if known is None or known.keys() != candidates.keys():
            known = race(candidates, bottom, weights, bias, top.shape, epilogue)
            memo.remember(key, known)
        return known


def _sentence(times: memo.Times, best: str, dense: str, zeros: Zeros) -> str:
    """Say why a kernel was chosen."""
    if best == dense:
        rival = min((name for name in times if name != dense), key=times.__getitem__)
        took = f"{rival} took {times[rival]:.3g} ms, dense {times[dense]:.3g}"
        return f"{zeros}, but {took}"
    spared = f"{times[best]:.3g} ms instead of {times[dense]:.3g}"
    return f"{zeros}; {times[dense] / times[best]:.1f}x as fast as dense, {spared}"


class Auto(ConvKernel):
    """Dense, or a sparse kernel where that was measured to be faster on this machine.

    In TRAIN it is dense. In TEST it looks at the zeros of the weights whenever they have changed,
    times the kernels that might gain from them, and remembers their times: see `sscaffe.conv.memo`.
    """

    mode_name = "AUTO"

    def __init__(
        self, geometry: ConvGeometry, batch: int, device: Device, dtype: Any, phase: int
    ) -> None:
        super().__init__(geometry, batch, device, dtype, phase)
        self._dense = DirectDense(geometry, batch, device, dtype, phase)
        self._running: ConvKernel = self._dense
        self._choice = Choice(self._candidates, geometry.group, f"Convolution {batch} x {geometry}")
        self._is_fixed = phase == caffe_pb2.TRAIN or batch == 0

    @property
    def description(self) -> str:
        """Which code really runs, and why where that is not what was asked for."""
        if self._is_fixed:
            return self._dense.description
        return f"{self._running.description} (AUTO: {self._choice.reason})"

    @property
    def holds_weights(self) -> bool:
        """Whether the kernel that runs has the weights in a form of its own."""
        return self._running.holds_weights

    def forward(
        self,
        bottom: Blob,
        weights: Blob,
        bias: Blob | None,
        top: Blob,
        epilogue: Epilogue = NOTHING,
    ) -> None:
        """Set ``top.data``, with what `epilogue` adds."""
        if not self._is_fixed:
            self._running = self._choice.kernel(bottom, weights, bias, top, epilogue)
        self._running.forward(bottom, weights, bias, top, epilogue)
        if self._choice.is_news and self.layer_name:
            logger.info("%s: %s", self.layer_name, self.description)
            self._choice.is_news = False

    def backward(
        self, top: Blob, bottom: Blob, weights: Blob, bias: Blob | None, wanted: Propagate
    ) -> None:
        """Set ``bottom.diff`` and add to ``weights.diff`` and ``bias.diff``, as `wanted` says."""
        self._dense.backward(top, bottom, weights, bias, wanted)

    def _candidates(self, zeros: Zeros) -> dict[str, ConvKernel]:
        classes: list[type[ConvKernel]] = []
        if zeros.kept < 0.95:
            classes.append(LoweredCcnmm)
        if zeros.density < 0.65:
            classes.append(DirectSparse if len(self.geometry.input) == 2 else LoweredCsrmm)
        kernels: dict[str, ConvKernel] = {DENSE: self._dense}
        for kernel in classes:
            kernels[kernel.mode_name] = kernel(
                self.geometry, self.batch, self.device, self.dtype, self.phase
            )
        return kernels
