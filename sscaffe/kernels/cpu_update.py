"""The updates of a net's parameters on the CPU: one pass over memory for each parameter."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sscaffe import _core
from sscaffe.kernels.cpu_mask import Mask
from sscaffe.kernels.operators import GroupLassoBlocks, LassoFactors, UpdateJob

if TYPE_CHECKING:
    from sscaffe.blob import Blob
    from sscaffe.tensor import Tensor

Array = npt.NDArray[Any]


class Updates:
    """See `UpdateOperator`."""

    def clip_factor(
        self, gradients: "Sequence[Tensor]", limit: float, want_norm: bool = False
    ) -> tuple[float, float]:
        """See `UpdateOperator.clip_factor`."""
        norm = math.sqrt(sum(map(squares, gradients)))
        return 1.0 if norm <= limit else limit / norm, norm

    def apply(
        self, jobs: Sequence[UpdateJob], clip: float = 1.0, want_value: bool = False
    ) -> float:
        """See `UpdateOperator.apply`."""
        total = 0.0
        for job in jobs:
            try:
                total += _update(job, clip)
            except MemoryError as error:
                error.add_note(f"  update: {job.name!r} {job.blob.shape}")
                raise
        return total


def squares(tensor: "Tensor") -> float:
    """See `Kernels.sum_of_squares`."""
    if tensor.dtype != np.float32:
        return float(np.square(tensor.read()).sum())
    return _core.memory_sum_of_squares(tensor.memory((tensor.count,)))


def _update(job: UpdateJob, clip: float) -> float:
    """Make one update, and return the terms of its lassos."""
    blob, mask, lassos = job.blob, job.mask, list[LassoFactors]()
    total = 0.0
    for lasso in job.lassos:
        found, term = _factors(blob, lasso)
        lassos.append(found)
        total += term
    shape, tensor = blob.shape, blob.data_tensor
    # Blocks are of the row-major matrix. Weights that have them stay there, and the convolution
    # makes its own copy of them: one reorder each of weights and gradient in a step, as against
    # a copy for the norms and an index of the block of each weight.
    layout = _core.Layout(shape) if lassos else tensor.memory(shape).layout
    weights = tensor.memory_in(layout, shape)
    diff = blob.diff_tensor.memory_in(layout, shape)
    past = [one.data_tensor.memory_in(layout, shape) for one in job.history]
    assert mask is None or isinstance(mask, Mask)
    connected = None if mask is None else mask.stored_in(layout)
    step = job.step if clip == 1 else job.step._replace(clip=clip)
    _core.memory_update(step, weights, diff, past, connected, shape[0] if shape else 1, lassos)
    return total


def _factors(blob: "Blob", lasso: GroupLassoBlocks) -> tuple[LassoFactors, float]:
    rows = blob.shape[0] if blob.shape else 1
    weights = blob.const_data.reshape(rows, -1)
    ydimen, xdimen, decay = lasso
    factors = np.empty((rows // ydimen, weights.shape[1] // xdimen), np.float32)
    term = _core.group_lasso_factors(weights, factors, ydimen, xdimen, decay)
    return LassoFactors(factors, ydimen, xdimen), term
