"""Matrix products on the CPU, dense and sparse, by the library that SSCAFFE_BLAS names."""

import functools
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from sscaffe import _core
from sscaffe.errors import UnsupportedError
from sscaffe.kernels import SparseProduct, mkl
from sscaffe.kernels.tape import run

Array = npt.NDArray[Any]
Sgemm = Callable[[Array, Array, Array, bool, bool, bool], None]

VARIABLE = "SSCAFFE_BLAS"
_MISSING = {
    "mkl": 'pip install "sscaffe[mkl]"',
    "onednn": "install sscaffe again where pip finds onednn-devel-cpu-gomp (Linux on x86-64)",
}


@functools.cache
def chosen() -> str:
    """Return the library in use: ``onednn``, ``mkl`` or ``native``.

    Raises
    ------
    UnsupportedError
        If the environment names one that there is not.
    """
    available = ["native"]
    if _core.has_onednn:
        available.insert(0, "onednn")
    if mkl.find() is not None:
        available.append("mkl")
    name = os.environ.get(VARIABLE) or available[0]
    if name in available:
        return name
    if name in _MISSING:
        raise UnsupportedError(
            f"{VARIABLE}: {name} is not here, only {' and '.join(available)}; {_MISSING[name]}"
        )
    raise UnsupportedError(
        f"{VARIABLE}: expected {', '.join(available)} (or mkl or onednn, once installed), "
        f"got {name!r}"
    )


def description() -> str:
    """Return the name of the library in use, with its version."""
    names = {
        "onednn": lambda: f"oneDNN {_core.onednn_version()}",
        "mkl": lambda: f"MKL {mkl.version()}",
        "native": lambda: f"own kernels, {_core.cpu_features()}",
    }
    return f"{names[chosen()]()} ({VARIABLE}={chosen()})"


@functools.cache
def _sgemm() -> Sgemm:
    return {
        "onednn": getattr(_core, "onednn_sgemm", _core.gemm),
        "mkl": mkl.sgemm,
        "native": _core.gemm,
    }[chosen()]


def gemm(
    a: Array, b: Array, out: Array, transpose_a: bool, transpose_b: bool, accumulate: bool
) -> None:
    """See `Kernels.gemm`."""
    if out.dtype == np.float32:
        if a.size and b.size:
            _sgemm()(a, b, out, transpose_a, transpose_b, accumulate)
        elif not accumulate:
            out[...] = 0
        return
    product = (a.T if transpose_a else a) @ (b.T if transpose_b else b)
    if accumulate:
        out += product
    else:
        out[...] = product


def sparse_product(
    row_ptr: Array, indices: Array, values: Array, columns: int, width: int
) -> SparseProduct:
    """See `Kernels.sparse_product`."""
    made = MklProduct if chosen() == "mkl" and values.dtype == np.float32 else NativeProduct
    return made(row_ptr, indices, values, columns, width)


class NativeProduct:
    """The core's sparse matrix; see `SparseProduct`."""

    description = "own csrmm"

    def __init__(
        self, row_ptr: Array, indices: Array, values: Array, columns: int, width: int
    ) -> None:
        self._matrix = _core.sparse_matrix(row_ptr, indices, values, columns, width)

    def multiply(
        self, x: Array, out: Array, bias: Array | None = None, *, relu: bool = False
    ) -> None:
        """See `SparseProduct.multiply`."""
        run(self._matrix.multiply, x, bias, relu, out)

    def multiply_vectors(
        self, x: Array, out: Array, bias: Array | None = None, *, relu: bool = False
    ) -> None:
        """See `SparseProduct.multiply_vectors`."""
        run(self._matrix.multiply_vectors, x, bias, relu, out)


class MklProduct:
    """MKL's sparse matrix by inspection and execution; see `SparseProduct`."""

    description = "MKL's mkl_sparse_s_mm"

    def __init__(
        self, row_ptr: Array, indices: Array, values: Array, columns: int, width: int
    ) -> None:
        # MKL refuses matrices without rows or columns; there is nothing to multiply either.
        self._matrix = None
        if values.size:
            self._matrix = mkl.SparseMatrix(row_ptr, indices, values, columns, width)

    def multiply(
        self, x: Array, out: Array, bias: Array | None = None, *, relu: bool = False
    ) -> None:
        """See `SparseProduct.multiply`."""
        if self._matrix is None or not out.size:
            out[...] = 0
        else:
            for one, product in zip(x, out, strict=True):
                self._matrix.multiply(True, one, product)
        _finish(out, None if bias is None else bias[:, None], relu)

    def multiply_vectors(
        self, x: Array, out: Array, bias: Array | None = None, *, relu: bool = False
    ) -> None:
        """See `SparseProduct.multiply_vectors`."""
        if self._matrix is None or not out.size:
            out[...] = 0
        else:
            self._matrix.multiply(False, x, out)
        _finish(out, bias, relu)


def _finish(out: Array, bias: Array | None, relu: bool) -> None:
    if bias is not None:
        out += bias
    if relu:
        np.maximum(out, 0, out=out)
