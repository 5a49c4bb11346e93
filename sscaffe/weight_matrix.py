"""One weight matrix, stored in three ways.

* DenseMatrix         every weight
* CsrMatrix           the non-zero weights, in compressed sparse row form
* ConcatenatedMatrix  a smaller dense matrix, without the rows and columns of zeros (scnn's CCN)
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar, cast

import numpy as np
import numpy.typing as npt

from sscaffe.blob import Blob
from sscaffe.device import Device
from sscaffe.kernels import Kernels, SparseProduct
from sscaffe.tensor import Tensor

Array = npt.NDArray[Any]
T = TypeVar("T")


class WeightMatrix(ABC):
    """A weight matrix that multiplies the rows of its input which it needs.

    Attributes
    ----------
    shape : (int, int)
        Rows M and columns K of the whole matrix.
    kept_rows, kept_columns : ndarray of int32, or None
        The rows and columns that are stored, ascending; None for all of them.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        kept_rows: Array | None = None,
        kept_columns: Array | None = None,
    ) -> None:
        self.shape, self.kept_rows, self.kept_columns = shape, kept_rows, kept_columns

    @classmethod
    @abstractmethod
    def from_dense(cls, array: Array, device: Device) -> "WeightMatrix":
        """Store a matrix of shape (M, K)."""

    @property
    def inputs(self) -> int:
        """How many columns are stored, which is how many rows of input `matmul` takes."""
        return self.shape[1] if self.kept_columns is None else int(self.kept_columns.size)

    @abstractmethod
    def matmul(self, columns: Array, out: Array, kernels: Kernels) -> None:
        """Multiply a dense matrix by this one.

        Parameters
        ----------
        columns : ndarray, shape (inputs, P)
            Only the kept rows of the input; C-contiguous.
        out : ndarray, shape (M, P)
            Overwritten; 0 in the rows that are not kept. Must not overlap `columns`.
        kernels : Kernels
            Those of the device that holds the arrays.
        """


class DenseMatrix(WeightMatrix):
    """Every weight. The matrix is not copied."""

    def __init__(self, values: Array) -> None:
        super().__init__(values.shape)
        self.values = values

    @classmethod
    def from_dense(cls, array: Array, device: Device) -> "DenseMatrix":
        """Store a C-contiguous matrix of shape (M, K)."""
        return cls(array)

    def matmul(self, columns: Array, out: Array, kernels: Kernels) -> None:
        """Multiply a dense matrix by this one."""
        kernels.gemm(self.values, columns, out)


class CsrMatrix(WeightMatrix):
    """The non-zero weights and where they are; zero columns take no input.

    Attributes
    ----------
    row_ptr, indices, values : ndarrays
        As `Kernels.sparse_product` takes them; `indices` count the kept columns only.
    last_product : SparseProduct, or None
        What `product` made last.
    """

    def __init__(
        self, row_ptr: Array, indices: Array, values: Array, columns: int, kept: Array | None
    ) -> None:
        super().__init__((row_ptr.size - 1, columns), None, kept)
        self.row_ptr, self.indices, self.values = row_ptr, indices, values
        self.last_product: SparseProduct | None = None
        self._width = -1

    @classmethod
    def from_dense(
        cls, array: Array, device: Device, *, keep_all_columns: bool = False
    ) -> "CsrMatrix":
        """Store a matrix of shape (M, K)."""
        row_ptr, indices, values = compress_rows(array, device)
        kept = None if keep_all_columns else _unless_all(_non_zero(array, 0), array.shape[1])
        if kept is not None:
            indices = device.xp.searchsorted(kept, indices).astype(np.int32)
        return cls(row_ptr, indices, values, array.shape[1], kept)

    @classmethod
    def block_diagonal(cls, parts: "Sequence[CsrMatrix]", device: Device) -> "CsrMatrix":
        """Join matrices, each of which multiplies the rows of its own input."""
        xp, row_ptrs, indices, start, column = device.xp, [], [], 0, 0
        for part in parts:
            row_ptrs.append(part.row_ptr[:-1] + np.int32(start))
            indices.append(part.indices + np.int32(column))
            start, column = start + part.values.size, column + part.inputs
        row_ptrs.append(xp.asarray([start], np.int32))
        values = xp.concatenate([part.values for part in parts])
        return cls(xp.concatenate(row_ptrs), xp.concatenate(indices), values, column, None)

    def product(self, kernels: Kernels, width: int) -> SparseProduct:
        """Return this matrix as `kernels` like it best for dense matrices of so many columns."""
        if self.last_product is None or width != self._width:
            self.last_product = kernels.sparse_product(
                self.row_ptr, self.indices, self.values, self.inputs, width
            )
            self._width = width
        return self.last_product

    def matmul(self, columns: Array, out: Array, kernels: Kernels) -> None:
        """Multiply a dense matrix by this one."""
        self.product(kernels, columns.shape[1]).multiply(columns[None], out[None])


class ConcatenatedMatrix(WeightMatrix):
    """What is left of a matrix when its rows and columns of zeros are taken out.

    References
    ----------
    Wen et al., "Learning Structured Sparsity in Deep Neural Networks", NIPS 2016, section 4.
    """

    def __init__(
        self,
        values: Array,
        shape: tuple[int, int],
        kept_rows: Array | None,
        kept_columns: Array | None,
        device: Device,
    ) -> None:
        super().__init__(shape, kept_rows, kept_columns)
        self.values, self._xp = values, device.xp
        self._product: Array | None = None

    @classmethod
    def from_dense(cls, array: Array, device: Device) -> "ConcatenatedMatrix":
        """Store a matrix of shape (M, K)."""
        rows, columns = _non_zero(array, 1), _non_zero(array, 0)
        values = device.xp.ascontiguousarray(array[rows[:, None], columns])
        height, width = array.shape
        kept = _unless_all(rows, height), _unless_all(columns, width)
        return cls(values, (height, width), *kept, device)

    def matmul(self, columns: Array, out: Array, kernels: Kernels) -> None:
        """Multiply a dense matrix by this one."""
        if self.kept_rows is None:
            kernels.gemm(self.values, columns, out)
            return
        product = self._scratch((self.values.shape[0], out.shape[1]), out.dtype)
        kernels.gemm(self.values, columns, product)
        out[...] = 0
        out[self.kept_rows] = product

    def _scratch(self, shape: tuple[int, int], dtype: Any) -> Array:
        if self._product is None or self._product.shape != shape:
            self._product = self._xp.empty(shape, dtype)
        assert self._product is not None
        return self._product


class Prepared(Generic[T]):
    """Something made from a blob's data, and made again whenever the data has changed.

    Parameters
    ----------
    make : function of an ndarray
        Makes it. The result keeps no view of the array, for an array that is held has to be
        compared each time.
    """

    def __init__(self, make: Callable[[Array], T]) -> None:
        self._make = make
        self._tensor: Tensor | None = None  # sharing gives a blob another one
        self._version = -1
        self._value: T | None = None

    @property
    def last(self) -> T | None:
        """What was made last; None before the first `get`."""
        return self._value

    def is_current(self, blob: Blob) -> bool:
        """Return whether what was made last is of the data that the blob has now."""
        return blob.data_tensor is self._tensor and blob.data_version == self._version

    def get(self, blob: Blob) -> T:
        """Return what is made from the data that the blob has now."""
        if self._value is None or not self.is_current(blob):
            tensor, version = blob.data_tensor, blob.data_version
            self._value = self._make(blob.const_data)
            self._tensor, self._version = tensor, version
        return self._value


def compress_rows(array: Array, device: Device) -> tuple[Array, Array, Array]:
    """Return a matrix in CSR form: row_ptr, indices (both int32) and values.

    Parameters
    ----------
    array : ndarray, shape (M, K)
        The dense matrix.
    device : Device
        Where it is.
    """
    xp = device.xp
    rows, indices = array.nonzero()
    row_ptr = xp.zeros(array.shape[0] + 1, np.int32)
    row_ptr[1:] = xp.cumsum(xp.bincount(rows, minlength=array.shape[0]))
    return row_ptr, indices.astype(np.int32), array[rows, indices]


def _non_zero(array: Array, axis: int) -> Array:
    """Return where a matrix is not all zero along an axis."""
    kept = cast(Array, array.any(axis=axis))
    return kept.nonzero()[0].astype(np.int32)


def _unless_all(kept: Array, length: int) -> Array | None:
    return None if kept.size == length else kept
