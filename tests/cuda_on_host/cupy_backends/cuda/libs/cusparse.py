"""cuSPARSE: products of a matrix in CSR form with dense ones."""

from ctypes import c_int, c_int64, c_void_p
from typing import NamedTuple

import numpy as np
from cupy import _capture
from cupy_backends.cuda.libs import INVALID_VALUE, SUCCESS, array, load, number

_DTYPES = {0: np.float32, 1: np.float64}
_ROW_MAJOR, _INT32, _CSR_ALG3 = 2, 2, 12
_made = {}  # by the number that stands for a pointer
_streams = {}  # by handle


class _Csr(NamedTuple):
    rows: int
    columns: int
    nnz: int
    row_ptr: int
    indices: int
    values: int


class _Dense(NamedTuple):
    rows: int
    columns: int
    lead: int
    values: int


def _keep(out, made):
    pointer = max(_made, default=0) + 1
    _made[pointer] = made
    array(out, (1,), (1,), np.uintp)[0] = pointer
    return SUCCESS


def _create(handle):
    return _keep(handle, "handle")


def _set_stream(handle, stream):
    _streams[handle] = stream or 0
    return SUCCESS


def _create_csr(out, rows, columns, nnz, row_ptr, indices, values, kind, other, base, dtype):
    if (kind, other, base) != (_INT32, _INT32, 0) or dtype not in _DTYPES:
        return INVALID_VALUE
    return _keep(out, _Csr(rows, columns, nnz, row_ptr, indices, values))


def _create_dense(out, rows, columns, lead, values, dtype, order):
    if order != _ROW_MAJOR or lead < columns:
        return INVALID_VALUE
    return _keep(out, _Dense(rows, columns, lead, values))


def _destroy(made):
    del _made[made]
    return SUCCESS


def _buffer_size(handle, transa, transb, alpha, a, b, beta, c, dtype, algorithm, size):
    array(size, (1,), (1,), np.uint64)[0] = 64
    return SUCCESS


def _multiply(handle, transa, transb, alpha, a, b, beta, c, dtype, algorithm, buffer):
    a, b, c = (_made[pointer] for pointer in (a, b, c))
    fits = a.columns == b.rows and a.rows == c.rows and b.columns == c.columns
    if transa or transb or not fits or not buffer or algorithm != _CSR_ALG3:
        return INVALID_VALUE
    if _streams.get(handle, 0) != _capture.get_current_stream().ptr:
        return INVALID_VALUE  # a GPU would compute, but in another order
    kind = _DTYPES[dtype]
    alpha, beta = number(alpha, kind), number(beta, kind)

    def run():
        row_ptr = array(a.row_ptr, (a.rows + 1,), (1,), np.int32)
        whole = np.zeros((a.rows, a.columns), kind)
        rows = np.repeat(np.arange(a.rows), np.diff(row_ptr))
        indices = array(a.indices, (a.nnz,), (1,), np.int32)
        whole[rows, indices] = array(a.values, (a.nnz,), (1,), kind)
        dense = array(b.values, (b.rows, b.columns), (b.lead, 1), kind)
        out = array(c.values, (c.rows, c.columns), (c.lead, 1), kind)
        out[...] = alpha * (whole @ dense) + (beta * out if beta else 0)

    _capture.run(run)
    return SUCCESS


_PRODUCT = [
    *(c_void_p, c_int, c_int, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_int, c_int),
    c_void_p,
]
_CSR = [*(c_void_p, c_int64, c_int64, c_int64, c_void_p, c_void_p, c_void_p), *[c_int] * 4]
_DENSE = [c_void_p, c_int64, c_int64, c_int64, c_void_p, c_int, c_int]

load(
    "libcusparse.so.12",
    {
        "cusparseCreate": (_create, [c_void_p]),
        "cusparseSetStream": (_set_stream, [c_void_p, c_void_p]),
        "cusparseCreateCsr": (_create_csr, _CSR),
        "cusparseCreateDnMat": (_create_dense, _DENSE),
        "cusparseDestroySpMat": (_destroy, [c_void_p]),
        "cusparseDestroyDnMat": (_destroy, [c_void_p]),
        "cusparseSpMM_bufferSize": (_buffer_size, _PRODUCT),
        "cusparseSpMM": (_multiply, _PRODUCT),
    },
)
