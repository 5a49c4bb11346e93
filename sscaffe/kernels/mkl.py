"""Intel's MKL through ctypes: its sgemm, and its sparse matrices by inspection and execution.

Nothing is linked: the library is that of the ``mkl`` package, where it is installed.
"""

import ctypes
import functools
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sscaffe import _core
from sscaffe.errors import UnsupportedError

Array = npt.NDArray[Any]

_ROW_MAJOR, _COLUMN_MAJOR = 101, 102
_NO_TRANSPOSE, _TRANSPOSE = 111, 112
_NON_TRANSPOSE = 10  # SPARSE_OPERATION_NON_TRANSPOSE
_LP64, _GNU_THREADS = 0, 3
_EXPECTED_CALLS = 1000  # of a product; more than any inspection costs


class _Description(ctypes.Structure):
    """``struct matrix_descr``: a general matrix."""

    _fields_ = (("type", ctypes.c_int), ("mode", ctypes.c_int), ("diag", ctypes.c_int))


_GENERAL = _Description(20, 40, 50)


def find() -> Path | None:
    """Return the library of the ``mkl`` package, or None where it is not installed."""
    try:
        files = metadata.files("mkl") or []
    except metadata.PackageNotFoundError:
        return None
    return next((Path(str(f.locate())) for f in files if f.name.startswith("libmkl_rt.so")), None)


@functools.cache
def library() -> ctypes.CDLL:
    """Load MKL, with the OpenMP runtime that the core has loaded already.

    Raises
    ------
    UnsupportedError
        If it is not installed or cannot be loaded.
    """
    path = find()
    if path is None:
        raise UnsupportedError('mkl is not installed; pip install "sscaffe[mkl]"')
    try:
        mkl = ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        raise UnsupportedError(f"mkl cannot be loaded: {error}") from error
    # Before any other call, and in place of MKL_THREADING_LAYER and MKL_INTERFACE_LAYER.
    mkl.MKL_Set_Threading_Layer(_GNU_THREADS)
    mkl.MKL_Set_Interface_Layer(_LP64)
    real, integer, pointer = ctypes.c_float, ctypes.c_int, ctypes.c_void_p
    mkl.cblas_sgemm.restype = None
    mkl.cblas_sgemm.argtypes = [
        *[integer] * 6,
        *(real, pointer, integer, pointer, integer, real, pointer, integer),
    ]
    mkl.mkl_sparse_s_create_csr.argtypes = [pointer, *[integer] * 3, *[pointer] * 4]
    mkl.mkl_sparse_set_mm_hint.argtypes = [pointer, integer, _Description, *[integer] * 3]
    mkl.mkl_sparse_optimize.argtypes = mkl.mkl_sparse_destroy.argtypes = [pointer]
    mkl.mkl_sparse_s_mm.argtypes = [
        *(integer, real, pointer, _Description, integer),
        *(pointer, integer, integer, real, pointer, integer),
    ]
    return mkl


def version() -> str:
    """Return MKL's name for itself, such as ``2026.2``."""
    text = ctypes.create_string_buffer(200)
    library().MKL_Get_Version_String(text, len(text))
    name = text.value.decode()  # "Intel(R) oneAPI Math Kernel Library Version 2026.2-Product ..."
    return name.partition("Version ")[2].partition("-")[0] or name


def sgemm(
    a: Array, b: Array, out: Array, transpose_a: bool, transpose_b: bool, accumulate: bool
) -> None:
    """Multiply two float matrices, as `Kernels.gemm`."""
    _check(a, b, out)
    m, n = out.shape
    k = a.shape[0 if transpose_a else 1]
    mkl = library()
    mkl.MKL_Set_Num_Threads(_core.get_num_threads())
    mkl.cblas_sgemm(
        _ROW_MAJOR,
        _TRANSPOSE if transpose_a else _NO_TRANSPOSE,
        _TRANSPOSE if transpose_b else _NO_TRANSPOSE,
        *(m, n, k, 1.0, a.ctypes.data, a.shape[1], b.ctypes.data, b.shape[1]),
        *(float(accumulate), out.ctypes.data, n),
    )


class SparseMatrix:
    """A float matrix that MKL has inspected, for products as those of `SparseProduct`.

    Parameters
    ----------
    row_ptr, indices, values : ndarrays
        The matrix in CSR form.
    columns : int
        How many it has.
    width : int
        Columns of the dense matrices to come.
    """

    def __init__(
        self, row_ptr: Array, indices: Array, values: Array, columns: int, width: int
    ) -> None:
        self._arrays = row_ptr, indices, values  # MKL goes on reading them
        self.rows, self.columns, self._width = row_ptr.size - 1, columns, width
        self._handles: dict[int, ctypes.c_void_p] = {}

    def multiply(self, layout_is_rows: bool, x: Array, out: Array) -> None:
        """Set ``out = W @ x``, both row-major, or else both column-major."""
        _check(x, out)
        layout = _ROW_MAJOR if layout_is_rows else _COLUMN_MAJOR
        mkl, handle = library(), self._inspected(layout)
        width = x.shape[1] if layout_is_rows else x.shape[0]
        leading = (width, width) if layout_is_rows else (self.columns, self.rows)
        mkl.MKL_Set_Num_Threads(_core.get_num_threads())
        _succeed(
            mkl.mkl_sparse_s_mm(
                *(_NON_TRANSPOSE, 1.0, handle, _GENERAL, layout),
                *(x.ctypes.data, width, leading[0], 0.0, out.ctypes.data, leading[1]),
            )
        )

    def _inspected(self, layout: int) -> ctypes.c_void_p:
        if layout not in self._handles:
            mkl, handle = library(), ctypes.c_void_p()
            row_ptr, indices, values = (array.ctypes.data for array in self._arrays)
            _succeed(
                mkl.mkl_sparse_s_create_csr(
                    *(ctypes.byref(handle), 0, self.rows, self.columns),
                    *(row_ptr, row_ptr + self._arrays[0].itemsize, indices, values),
                )
            )
            self._handles[layout] = handle
            _succeed(
                mkl.mkl_sparse_set_mm_hint(
                    handle, _NON_TRANSPOSE, _GENERAL, layout, self._width, _EXPECTED_CALLS
                )
            )
            _succeed(mkl.mkl_sparse_optimize(handle))
        return self._handles[layout]

    def __del__(self) -> None:
        for handle in self._handles.values():
            library().mkl_sparse_destroy(handle)


def _check(*arrays: Array) -> None:
    for array in arrays:
        if array.dtype != np.float32 or not array.flags.c_contiguous:
            raise TypeError(f"expected C-contiguous float32, got {array.dtype} {array.strides}")


def _succeed(status: int) -> None:
    if status:
        raise UnsupportedError(f"mkl refused a sparse matrix (status {status})")
