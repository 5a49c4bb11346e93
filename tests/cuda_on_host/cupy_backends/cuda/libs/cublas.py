"""cuBLAS: products of batches of matrices."""

import functools
from ctypes import c_int, c_longlong, c_size_t, c_void_p

import numpy as np
from cupy import _capture
from cupy_backends.cuda.libs import INVALID_VALUE, SUCCESS, array, load, number

modes = []  # that were set, for tests
streams = {}  # by handle


def _create(handle):
    array(handle, (1,), (1,), np.uintp)[0] = 1
    return SUCCESS


def _set_stream(handle, stream):
    streams[handle] = stream or 0
    return SUCCESS


def _set_workspace(handle, memory, size):
    return SUCCESS if memory and memory % 256 in range(0, 256, 16) else INVALID_VALUE


def _set_math_mode(handle, mode):
    modes.append(mode)
    return SUCCESS


def _matrices(address, dtype, count, rows, columns, lead, apart, transposed):
    """Return matrices that lie column after column."""
    if transposed:
        return array(address, (count, rows, columns), (apart, lead, 1), dtype)
    return array(address, (count, rows, columns), (apart, 1, lead), dtype)


def _multiply(
    dtype, handle, transa, transb, m, n, k, alpha, a, lda, apart_a, b, ldb, apart_b, beta,
    c, ldc, apart_c, count,
):  # fmt: skip
    least = (k if transa else m, n if transb else k, m)
    if any(lead < max(1, rows) for lead, rows in zip((lda, ldb, ldc), least, strict=True)):
        return INVALID_VALUE
    if streams.get(handle, 0) != _capture.get_current_stream().ptr:
        return INVALID_VALUE  # a GPU would compute, but in another order
    alpha, beta = number(alpha, dtype), number(beta, dtype)

    def run():
        left = _matrices(a, dtype, count, m, k, lda, apart_a, transa)
        right = _matrices(b, dtype, count, k, n, ldb, apart_b, transb)
        out = _matrices(c, dtype, count, m, n, ldc, apart_c, False)
        product = alpha * (left @ right)
        out[...] = product if beta == 0 else product + beta * out

    _capture.run(run)
    return SUCCESS


def _multiply_one(
    dtype, handle, transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc
):  # fmt: skip
    sizes = handle, transa, transb, m, n, k
    return _multiply(dtype, *sizes, alpha, a, lda, 0, b, ldb, 0, beta, c, ldc, 0, 1)


_SIZES = [c_void_p, c_int, c_int, c_int, c_int, c_int, c_void_p]
_ONE = [c_void_p, c_int]
_ONE_PRODUCT = [*_SIZES, *_ONE, *_ONE, c_void_p, *_ONE]
_MANY = [c_void_p, c_int, c_longlong]
_PRODUCT = [*_SIZES, *_MANY, *_MANY, c_void_p, *_MANY, c_int]

load(
    "libcublas.so.13",
    {
        "cublasCreate_v2": (_create, [c_void_p]),
        "cublasSetStream_v2": (_set_stream, [c_void_p, c_void_p]),
        "cublasSetWorkspace_v2": (_set_workspace, [c_void_p, c_void_p, c_size_t]),
        "cublasSetMathMode": (_set_math_mode, [c_void_p, c_int]),
        "cublasSgemm_v2": (functools.partial(_multiply_one, np.float32), _ONE_PRODUCT),
        "cublasDgemm_v2": (functools.partial(_multiply_one, np.float64), _ONE_PRODUCT),
        "cublasSgemmStridedBatched": (functools.partial(_multiply, np.float32), _PRODUCT),
        "cublasDgemmStridedBatched": (functools.partial(_multiply, np.float64), _PRODUCT),
    },
)
