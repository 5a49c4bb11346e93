"""The updates of a net's parameters on the GPU: all of them in one launch, lassos in another.

Where everything is stands in tables in device memory; they are made anew when something moved.
"""

import itertools
import math
import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sscaffe.kernels.gpu_lasso import CHUNK, finish_squares, tiles_of
from sscaffe.kernels.gpu_runtime import launch, pinned, to_device, to_host, xp
from sscaffe.kernels.operators import PackedMask, UpdateJob

if TYPE_CHECKING:
    from sscaffe.tensor import Tensor

Array = npt.NDArray[Any]

_RULES = {"SGD": 0, "Nesterov": 1, "Adam": 2}
_THREADS = 256
_SLOTS = 4  # copies of constants that may be on their way at a time


class Mask:
    """A byte for each weight."""

    def __init__(self, mask: Array) -> None:
        self.array = to_device(mask.astype(np.uint8))

    def apply(self, diff: Array) -> None:
        """See `PackedMask.apply`."""
        xp.multiply(diff, self.array.reshape(diff.shape), out=diff)


class Updates:
    """See `UpdateOperator`.

    `apply` is `prepare`, which copies what changed, and `launch`, which can be captured.
    """

    def __init__(self) -> None:
        self._table: _JobTable | None = None
        self._gradients: _SquaresTable | None = None

    def clip_factor(
        self, gradients: "Sequence[Tensor]", limit: float, want_norm: bool = False
    ) -> tuple[Any, float]:
        """See `UpdateOperator.clip_factor`."""
        arrays = [tensor.read() for tensor in gradients if tensor.count]
        if not arrays:
            return 1.0, 0.0
        if self._gradients is None or not self._gradients.is_of(arrays):
            self._gradients = _SquaresTable(arrays)
        found = self._gradients.launch(limit)
        return found[:1].reshape(()), float(to_host(found)[1]) if want_norm else 0.0

    def apply(self, jobs: Sequence[UpdateJob], clip: Any = 1.0, want_value: bool = False) -> float:
        """See `UpdateOperator.apply`."""
        factor = None if isinstance(clip, float | int) else clip
        if factor is None and clip != 1:
            jobs = [job._replace(step=job.step._replace(clip=clip)) for job in jobs]
        if not self.prepare(jobs):
            return 0.0
        self.launch(factor)
        return self._value() if want_value else 0.0

    def prepare(self, jobs: Sequence[UpdateJob]) -> bool:
        """Bring the tables up to date; return whether there is anything to launch."""
        jobs = [job for job in jobs if job.blob.count]
        arrays = [_arrays_of(job) for job in jobs]
        key = _key_of(jobs, arrays)
        if self._table is None or self._table.key != key:
            self._table = _JobTable(jobs, arrays, key)
        self._table.constants.set(_constants_of(jobs))
        return bool(jobs)

    def launch(self, clip: Any = None) -> None:
        """Make the updates that were prepared; `clip` is an array () of the device, of float64."""
        assert self._table is not None, "launch before prepare"
        self._table.launch(clip)

    def _value(self) -> float:
        assert self._table is not None
        return self._table.value()


class _Constants:
    """Numbers in device memory; they are copied there, without waiting, when they change."""

    def __init__(self, count: int) -> None:
        self.array = xp.empty(count, np.float64)
        self.values: list[float] = []
        self._copies = [(pinned(count, np.float64), xp.cuda.Event()) for _ in range(_SLOTS)]
        self._slots = itertools.cycle(self._copies)

    def __del__(self) -> None:
        # The memory of the host may be given to somebody else.
        for _, copied in self._copies:
            copied.synchronize()

    def set(self, values: list[float]) -> None:
        if values == self.values:
            return
        place, copied = next(self._slots)
        copied.synchronize()  # until the copy before the last few is done: it is
        place[:] = values
        to_device(place, self.array)
        copied.record()
        self.values = values


class _JobTable:
    """The jobs of a net in device memory, as `update.cu` and `lasso.cu` read them."""

    def __init__(self, jobs: Sequence[UpdateJob], arrays: list[list[Any]], key: list[Any]) -> None:
        self.key, self._kept = key, (jobs, arrays)  # what the pointers point to
        self._dtype = jobs[0].blob.dtype if jobs else np.dtype(np.float32)
        self._jobs = len(jobs)
        blocks = [-(-job.blob.count // CHUNK) for job in jobs]
        firsts, self._owner = _spread(blocks)
        self._rows = self._upload(self._job_rows(jobs, arrays, firsts))
        self._lay_out_lassos(jobs, arrays)
        self.constants = _Constants(len(_constants_of(jobs)))

    def launch(self, clip: Any) -> None:
        """Work out the factors of lassos, and make the updates."""
        constants, dtype = self.constants.array, self._dtype
        if self._lasso_owner is not None:
            decays = constants[-self._lassos :]
            grid = (self._lasso_owner.size,)
            found = self._lasso_rows, self._lasso_owner, decays, self._factors, self._norms
            launch("lasso.cu", "lasso_factors", grid, (_THREADS,), found, dtype)
        arguments = (
            self._rows,
            self._owner,
            constants,
            self._lasso_rows,
            self._factors,
            clip,
            CHUNK,
        )
        launch("update.cu", "update", (self._owner.size,), (_THREADS,), arguments, dtype)

    def value(self) -> float:
        """Return the terms of the lassos, from before the update."""
        if not self._lassos:
            return 0.0
        norms, decays = to_host(self._norms), self.constants.values[-self._lassos :]
        parts = np.split(norms, self._offsets[1:])
        # math.fsum: neither the order nor the number of blocks matters.
        return sum(
            float(self._dtype.type(decay)) * math.fsum(part)
            for decay, part in zip(decays, parts, strict=True)
        )

    def _job_rows(
        self, jobs: Sequence[UpdateJob], arrays: list[list[Any]], firsts: list[int]
    ) -> list[list[int]]:
        rows, lassos = [], 0
        for job, own, first in zip(jobs, arrays, firsts, strict=True):
            places = [array.data.ptr for array in own]
            places += [0] * (4 - len(places))
            mask = 0 if job.mask is None else _array_of(job.mask).data.ptr
            size = len(job.lassos)
            numbers = job.blob.count, _columns_of(job), _RULES[job.step.rule], lassos, size, first
            rows.append([*places, mask, *numbers])
            lassos += size
        return rows

    def _lay_out_lassos(self, jobs: Sequence[UpdateJob], arrays: list[list[Any]]) -> None:
        self._lassos = sum(len(job.lassos) for job in jobs)
        self._lasso_rows: Any = None
        self._lasso_owner: Any = None
        self._factors: Any = None
        self._norms: Any = None
        self._offsets: list[int] = []
        if not self._lassos:
            return
        rows, tiles, offset = [], [], 0
        for job, own in zip(jobs, arrays, strict=True):
            columns = _columns_of(job)
            for ydimen, xdimen, _ in job.lassos:
                count, team = tiles_of(job.blob.count // columns, columns, ydimen, xdimen)
                sizes = job.blob.count // columns, columns, ydimen, xdimen
                rows.append([own[0].data.ptr, *sizes, offset, 0, team])
                tiles.append(count)
                self._offsets.append(offset)
                offset += job.blob.count // (ydimen * xdimen)
        firsts, self._lasso_owner = _spread(tiles)
        for row, first in zip(rows, firsts, strict=True):
            row[-2] = first
        self._lasso_rows = self._upload(rows)
        self._factors = xp.empty(offset, self._dtype)
        self._norms = xp.empty(offset, np.float64)

    @staticmethod
    def _upload(rows: list[list[int]]) -> Any:
        return to_device(np.array(rows, np.int64)) if rows else None


class _SquaresTable:
    """Arrays whose squares are summed up, all together."""

    def __init__(self, arrays: list[Any]) -> None:
        self._arrays = arrays
        self._dtype = arrays[0].dtype
        firsts, self._owner = _spread([-(-array.size // CHUNK) for array in arrays])
        pointers, sizes = ([a.data.ptr for a in arrays], [a.size for a in arrays])
        rows = [list(row) for row in zip(pointers, sizes, firsts, strict=True)]
        self._rows = to_device(np.array(rows, np.int64))
        self._partial = xp.empty(self._owner.size, np.float64)
        self._out = xp.empty(3, np.float64)

    def is_of(self, arrays: list[Any]) -> bool:
        """Tell whether they are where they were."""
        return len(arrays) == len(self._arrays) and all(map(operator.is_, arrays, self._arrays))

    def launch(self, limit: float) -> Any:
        """Return an array of the clip factor, the norm and the sum."""
        arguments = self._rows, self._owner, CHUNK, self._partial
        grid = (self._owner.size,)
        launch("lasso.cu", "squares_of_all", grid, (_THREADS,), arguments, self._dtype)
        return finish_squares(self._partial, self._out, limit)


def _spread(blocks: list[int]) -> tuple[list[int], Any]:
    """Return the first block of the grid of each, and the owner of each block."""
    firsts = [0, *itertools.accumulate(blocks)]
    owner = np.repeat(np.arange(len(blocks), dtype=np.int32), blocks)
    return firsts[:-1], to_device(owner) if owner.size else owner


def _arrays_of(job: UpdateJob) -> list[Any]:
    blob = job.blob
    written = blob.data_tensor, blob.diff_tensor, *(one.data_tensor for one in job.history)
    return [tensor.write() for tensor in written]


def _key_of(jobs: Sequence[UpdateJob], arrays: list[list[Any]]) -> list[Any]:
    """Return what a table depends on; while it keeps the jobs, nothing else has their ids."""
    return [
        (
            job.blob.shape,
            id(job.mask),
            job.step.rule,
            *[one[:2] for one in job.lassos],
            *map(id, own),
        )
        for job, own in zip(jobs, arrays, strict=True)
    ]


def _constants_of(jobs: Sequence[UpdateJob]) -> list[float]:
    steps = itertools.chain.from_iterable(job.step[1:] for job in jobs)
    return [*steps, *(lasso.decay for job in jobs for lasso in job.lassos)]


def _columns_of(job: UpdateJob) -> int:
    shape = job.blob.shape
    return job.blob.count // (shape[0] if shape else 1)


def _array_of(mask: PackedMask) -> Any:
    assert isinstance(mask, Mask)
    return mask.array
