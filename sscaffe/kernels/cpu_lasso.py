"""The proximal step of a group lasso over arrays of any precision."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def shrink(
    weights: Array, past: Array | None, block: tuple[int, int], limit: float, share: float
) -> None:
    """See `Kernels.shrink_groups`."""
    (rows, columns), (ydimen, xdimen) = weights.shape, block
    blocks = weights.reshape(rows // ydimen, ydimen, columns // xdimen, xdimen)
    norms = np.sqrt(np.square(blocks).sum(axis=(1, 3), keepdims=True))
    kept = norms > limit
    factors = np.where(norms <= limit, 0, 1 - limit / np.where(kept, norms, 1))
    shrunk = (blocks * np.where(np.isnan(norms), norms, factors) + 0.0).reshape(weights.shape)
    if past is not None:
        past += share * (weights - shrunk)
    weights[...] = shrunk


def add_lasso(weights: Array, diff: Array, block: tuple[int, int], decay: float) -> float:
    """Add the gradient of a group lasso; see `Kernels.group_lasso`."""
    rows, columns = weights.shape
    ydimen, xdimen = block
    blocks = weights.reshape(rows // ydimen, ydimen, columns // xdimen, xdimen)
    norms = np.sqrt(np.square(blocks).sum(axis=(1, 3), keepdims=True))
    diff += decay * (blocks / np.where(norms > 0, norms, 1)).reshape(diff.shape)
    return decay * float(norms.sum())
