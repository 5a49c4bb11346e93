"""Matrix products by the device's kernels, with a result of their own."""

import math

from sscaffe.blob import Array
from sscaffe.layer import Layer


def product(
    layer: Layer, a: Array, b: Array, *, transpose_a: bool = False, transpose_b: bool = False
) -> Array:
    """Return ``a @ b``; of `a`, where it is not transposed, all axes but the last are rows.

    Parameters
    ----------
    layer : Layer
        Whose device computes.
    a, b : ndarray
        C-contiguous, of one dtype.
    transpose_a, transpose_b : bool
        Use the transpose of the operand.
    """
    rows = a.shape[1:] if transpose_a else a.shape[:-1]
    columns = b.shape[0] if transpose_b else b.shape[1]
    out: Array = layer.xp.empty((math.prod(rows), columns), a.dtype)
    flat = a if a.ndim == 2 else a.reshape(math.prod(rows), a.shape[-1])
    layer.kernels.gemm(flat, b, out, transpose_a=transpose_a, transpose_b=transpose_b)
    return out.reshape(*rows, columns)
