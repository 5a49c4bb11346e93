"""Group lassos and sums of squares on the GPU, one array at a time."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sscaffe.kernels.gpu_runtime import launch, launch_each, to_host, xp

if TYPE_CHECKING:
    from sscaffe.tensor import Tensor

Array = npt.NDArray[Any]

CHUNK = 4096  # elements that a block of threads takes
_THREADS, _WARP = 256, 32
_LARGE = 1024  # elements of a block of weights that are worth a block of threads


def tiles_of(rows: int, columns: int, ydimen: int, xdimen: int) -> tuple[int, int]:
    """Return how many blocks of threads find norms, and the threads of each block of weights.

    One thread stands for columns: 32 neighbours share a block of threads.
    """
    down, across = rows // ydimen, columns // xdimen
    if xdimen == 1:
        return down * -(-columns // _WARP), 1
    if ydimen * xdimen >= _LARGE:
        return down * across, _THREADS
    return -(-down * across // (_THREADS // _WARP)), _WARP


def group_lasso(
    weights: Array, diff: Array, ydimen: int, xdimen: int, decay: float, want_value: bool = True
) -> float:
    """See `Kernels.group_lasso`."""
    if not weights.size:
        return 0.0
    factors, norms = _block_factors(weights, (ydimen, xdimen), decay, shrinks=False)
    columns, dtype = weights.shape[1], weights.dtype
    arguments = weights, factors, columns, ydimen, xdimen, diff
    launch_each("lasso.cu", "add_by_block", weights.size, arguments, dtype)
    return float(dtype.type(decay)) * float(to_host(norms).sum()) if want_value else 0.0


def shrink_groups(
    weights: Array, past: Array | None, block: tuple[int, int], limit: float, share: float
) -> None:
    """See `Kernels.shrink_groups`."""
    if not weights.size:
        return
    factors, _ = _block_factors(weights, block, limit, shrinks=True)
    arguments = factors, weights.shape[1], *block, float(share), weights, past
    launch_each("lasso.cu", "shrink_by_block", weights.size, arguments, weights.dtype)


def sum_of_squares(tensor: "Tensor") -> float:
    """See `Kernels.sum_of_squares`."""
    if not tensor.count:
        return 0.0
    values = tensor.read()
    partial, out = xp.empty(-(-values.size // CHUNK), np.float64), xp.empty(3, np.float64)
    arguments = values, values.size, CHUNK, partial
    launch("lasso.cu", "squares_of", (partial.size,), (_THREADS,), arguments, values.dtype)
    return float(to_host(finish_squares(partial, out, 0.0))[2])


def finish_squares(partial: Any, out: Any, limit: float) -> Any:
    """Set `out` to the factor that makes a norm at most `limit`, the norm and its square."""
    arguments = partial, partial.size, np.float64(limit), out
    launch("lasso.cu", "finish_squares", (1,), (_THREADS,), arguments)
    return out


def _block_factors(
    weights: Array, block: tuple[int, int], strength: float, *, shrinks: bool
) -> tuple[Any, Any]:
    """Return factors of blocks of weights, for the gradient or to shrink them, and their norms."""
    rows, columns = weights.shape
    tiles, team = tiles_of(rows, columns, *block)
    count = weights.size // (block[0] * block[1])
    factors, norms = xp.empty(count, weights.dtype), xp.empty(count, np.float64)
    sizes = rows, columns, *block, team
    arguments = weights, *sizes, np.float64(strength), shrinks, factors, norms
    launch("lasso.cu", "block_factors", (tiles,), (_THREADS,), arguments, weights.dtype)
    return factors, norms
