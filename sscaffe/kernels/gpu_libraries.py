"""Products by NVIDIA's libraries: cuBLAS for dense matrices, cuSPARSE for sparse ones.

They are called by ctypes, as CuPy's own calls refuse to be captured into a CUDA graph. One product
of a device runs after the other, so all of a device share one handle and its workspace.
"""

import ctypes
import functools
import importlib
from ctypes import c_double, c_float, c_int, c_int64, c_longlong, c_size_t, c_void_p
from typing import Any

import numpy as np
import numpy.typing as npt

from sscaffe.errors import UnsupportedError
from sscaffe.kernels.gpu_runtime import library_lock, settings, xp

Array = npt.NDArray[Any]

_WORKSPACE = 32 << 20  # bytes: what cuBLAS asks for on an H100
_DEFAULT_MATH, _TF32_MATH = 0, 3
_ROW_MAJOR = 2
_SONAMES = {
    "cublas": ("libcublas.so.13", "libcublas.so.12"),
    "cusparse": ("libcusparse.so.12",),
}


def gemm(
    a: Array,
    b: Array,
    out: Array,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    accumulate: bool = False,
) -> None:
    """See `Kernels.gemm`."""
    gemm_batched(
        a[None],
        b[None],
        out[None],
        transpose_a=transpose_a,
        transpose_b=transpose_b,
        accumulate=accumulate,
    )


def gemm_batched(
    a: Array,
    b: Array,
    out: Array,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    accumulate: bool = False,
) -> None:
    """Multiply matrices: ``out[i] = a[i] @ b[i]``, or ``out[i] += a[i] @ b[i]``, all at once.

    Parameters
    ----------
    a, b : ndarray, shapes (B, M, K) and (B, K, N)
        (B, K, M) and (B, N, K) where they are to be transposed; B may be 1 for one factor of all
        products. Rows are contiguous, and may lie apart.
    out : ndarray, shape (B, M, N)
        Must not overlap `a` or `b`.
    transpose_a, transpose_b : bool
        Use the transpose of the factor.
    accumulate : bool
        Add to `out` instead of overwriting it.
    """
    count, rows, columns = out.shape
    inner = a.shape[1] if transpose_a else a.shape[2]
    if out.size == 0:
        return
    if inner == 0:
        if not accumulate:
            out[...] = 0
        return
    single = out.dtype == np.float32
    number = c_float if single else c_double
    one, factor = ctypes.byref(number(1.0)), ctypes.byref(number(accumulate))
    # cuBLAS counts columns first: to it these are the transposed matrices.
    sizes = int(transpose_b), int(transpose_a), columns, rows, inner
    left, right, product = _matrices(b), _matrices(a), _matrices(out)
    with library_lock:
        library, handle = _cublas()
        if count == 1:  # has kernels that split the inner size between blocks
            multiply = library.cublasSgemm_v2 if single else library.cublasDgemm_v2
            operands: tuple[Any, ...] = (one, *left[:2], *right[:2], factor, *product[:2])
        else:
            multiply = (
                library.cublasSgemmStridedBatched if single else library.cublasDgemmStridedBatched
            )
            operands = one, *left, *right, factor, *product, count
        status = multiply(handle, *sizes, *operands)
    _check(status, "cuBLAS: product")


class SparseMatrix:
    """A matrix W (M, K) in CSR form, as `Kernels.sparse_product` takes it, for products."""

    def __init__(self, row_ptr: Array, indices: Array, values: Array, columns: int) -> None:
        self._arrays = row_ptr, indices, values
        self._shape = row_ptr.size - 1, columns
        self._buffers: dict[int, Array] = {}  # by the width of the other factor

    def multiply(self, x: Array, out: Array) -> None:
        """Set ``out = W @ x``, C-contiguous of shapes (K, n) and (M, n)."""
        if out.size == 0:
            return
        if self._arrays[2].size == 0:
            out[...] = 0
            return
        with library_lock:
            self._multiply(x, out)

    def _multiply(self, x: Array, out: Array) -> None:
        library, handle = _cusparse()
        number = c_float if out.dtype == np.float32 else c_double
        kind = 0 if out.dtype == np.float32 else 1  # CUDA_R_32F, CUDA_R_64F
        matrix, factor, product = c_void_p(), c_void_p(), c_void_p()
        rows, columns = self._shape
        try:
            _check(
                library.cusparseCreateCsr(
                    *(ctypes.byref(matrix), rows, columns, int(self._arrays[2].size)),
                    *(_pointer(array) for array in self._arrays),
                    *(2, 2, 0, kind),  # indices of int32 that start at 0
                ),
                "cuSPARSE: matrix",
            )
            for made, array in ((factor, x), (product, out)):
                height, width = array.shape
                shape = height, width, width
                status = library.cusparseCreateDnMat(
                    ctypes.byref(made), *shape, _pointer(array), kind, _ROW_MAJOR
                )
                _check(status, "cuSPARSE: dense matrix")
            operation = (
                *(handle, 0, 0, ctypes.byref(number(1.0)), matrix, factor),
                # CSR_ALG3 alone gives the same bits each time.
                *(ctypes.byref(number(0.0)), product, kind, 12),
            )
            buffer = self._buffer(library, operation, out.shape[1])
            _check(library.cusparseSpMM(*operation, buffer), "cuSPARSE: product")
        finally:
            if matrix:
                library.cusparseDestroySpMat(matrix)
            for dense in filter(None, (factor, product)):
                library.cusparseDestroyDnMat(dense)

    def _buffer(self, library: Any, operation: tuple[Any, ...], width: int) -> c_void_p:
        if width not in self._buffers:
            size = c_size_t()
            status = library.cusparseSpMM_bufferSize(*operation, ctypes.byref(size))
            _check(status, "cuSPARSE: size of a product's buffer")
            self._buffers[width] = xp.empty(max(16, size.value), np.uint8)
        return _pointer(self._buffers[width])


def _pointer(array: Any) -> c_void_p:
    return c_void_p(array.data.ptr)


def _matrices(array: Array) -> tuple[c_void_p, int, int]:
    """Return where matrices are, how far apart their rows are, and how far they themselves."""
    count, rows, columns = array.shape
    size = array.dtype.itemsize
    assert columns == 1 or array.strides[2] == size, "rows that are not contiguous"
    row = array.strides[1] // size if rows > 1 else columns
    return _pointer(array), max(row, columns), array.strides[0] // size if count > 1 else 0


def _check(status: int, what: str) -> None:
    if status:
        raise UnsupportedError(f"{what}: the library's status is {status}")


def _load(name: str) -> Any:
    """Return a library that CuPy has loaded, from wherever it finds it."""
    # Not an import of the module itself: the package looks for the library when it is asked.
    getattr(importlib.import_module("cupy_backends.cuda.libs"), name)
    for soname in _SONAMES[name]:
        try:
            return ctypes.CDLL(soname)
        except OSError:
            continue
    raise UnsupportedError(f"{name}: CuPy uses none of {', '.join(_SONAMES[name])}")


class _Handle:
    """A library's handle on one device."""

    def __init__(self, create: Any) -> None:
        self.value = c_void_p()
        self.stream = -1
        self.math = _DEFAULT_MATH
        self.workspace: Any = None
        _check(create(ctypes.byref(self.value)), "a library's handle")


@functools.cache
def _cublas_of(device: int) -> tuple[Any, _Handle]:
    library = _load("cublas")
    sizes, matrix = [c_void_p, *[c_int] * 5, c_void_p], [c_void_p, c_int]
    for one in (library.cublasSgemm_v2, library.cublasDgemm_v2):
        one.argtypes = [*sizes, *matrix, *matrix, c_void_p, *matrix]
    matrix = [*matrix, c_longlong]
    for many in (library.cublasSgemmStridedBatched, library.cublasDgemmStridedBatched):
        many.argtypes = [*sizes, *matrix, *matrix, c_void_p, *matrix, c_int]
    library.cublasSetStream_v2.argtypes = [c_void_p, c_void_p]
    library.cublasSetWorkspace_v2.argtypes = [c_void_p, c_void_p, c_size_t]
    library.cublasSetMathMode.argtypes = [c_void_p, c_int]
    handle = _Handle(library.cublasCreate_v2)
    handle.workspace = xp.empty(_WORKSPACE, np.uint8)
    return library, handle


def _cublas() -> tuple[Any, c_void_p]:
    """Return cuBLAS and its handle, on the current device and stream."""
    library, handle = _cublas_of(xp.cuda.runtime.getDevice())
    stream = int(xp.cuda.get_current_stream().ptr)
    if stream != handle.stream:
        _check(library.cublasSetStream_v2(handle.value, stream), "cuBLAS: stream")
        # A change of stream takes the workspace away.
        _check(
            library.cublasSetWorkspace_v2(handle.value, _pointer(handle.workspace), _WORKSPACE),
            "cuBLAS: workspace",
        )
        handle.stream = stream
    math = _TF32_MATH if settings.allow_tf32 else _DEFAULT_MATH
    if math != handle.math:
        _check(library.cublasSetMathMode(handle.value, math), "cuBLAS: precision")
        handle.math = math
    return library, handle.value


@functools.cache
def _cusparse_of(device: int) -> tuple[Any, _Handle]:
    library = _load("cusparse")
    library.cusparseCreateCsr.argtypes = [
        *(c_void_p, c_int64, c_int64, c_int64, c_void_p, c_void_p, c_void_p),
        *(c_int, c_int, c_int, c_int),
    ]
    library.cusparseCreateDnMat.argtypes = [
        *(c_void_p, c_int64, c_int64, c_int64, c_void_p, c_int, c_int)
    ]
    product = [
        *(c_void_p, c_int, c_int, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_int, c_int),
        c_void_p,
    ]
    library.cusparseSpMM.argtypes = library.cusparseSpMM_bufferSize.argtypes = product
    library.cusparseSetStream.argtypes = [c_void_p, c_void_p]
    library.cusparseDestroySpMat.argtypes = library.cusparseDestroyDnMat.argtypes = [c_void_p]
    return library, _Handle(library.cusparseCreate)


def _cusparse() -> tuple[Any, c_void_p]:
    """Return cuSPARSE and its handle, on the current device and stream."""
    library, handle = _cusparse_of(xp.cuda.runtime.getDevice())
    stream = int(xp.cuda.get_current_stream().ptr)
    if stream != handle.stream:
        _check(library.cusparseSetStream(handle.value, stream), "cuSPARSE: stream")
        handle.stream = stream
    return library, handle.value
