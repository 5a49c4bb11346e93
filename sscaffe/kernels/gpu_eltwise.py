"""Eltwise and Concat on the GPU: bottoms combined element by element, or put behind each other."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from sscaffe.kernels.gpu_elementwise import launch_packs
from sscaffe.kernels.gpu_runtime import launch_each, xp

if TYPE_CHECKING:
    from sscaffe.blob import Blob
    from sscaffe.tensor import Tensor

_FILE = "eltwise.cu"
_MOST = 4  # arrays that a launch combines


def _filled(values: list[Any], filler: Any = None) -> tuple[Any, ...]:
    """Return as many as a launch takes."""
    return (*values, *[filler] * (_MOST - len(values)))


def weighted_sum(terms: list[Any], factors: list[float], out: Any) -> None:
    """Set the array `out`, which is none of the terms, to their weighted sum."""
    terms, factors = list(terms), [float(factor) for factor in factors]
    while terms:
        some, weights = terms[:_MOST], factors[:_MOST]
        arguments = *_filled(some), *_filled(weights, 0.0), out
        launch_packs(_FILE, "weighted_sum", out.size, arguments, out.dtype)
        terms, factors = terms[_MOST:], factors[_MOST:]
        if terms:
            terms, factors = [out, *terms], [1.0, *factors]


def product(factors: list[Any], out: Any) -> None:
    """Set the array `out`, which is none of the factors, to their product."""
    factors = list(factors)
    while factors:
        launch_packs(_FILE, "product", out.size, (*_filled(factors[:_MOST]), out), out.dtype)
        factors = factors[_MOST:]
        if factors:
            factors = [out, *factors]


def sum_tensors(terms: list["Tensor"], out: "Tensor") -> None:
    """See `Kernels.sum_of`."""
    arrays = [term.read() for term in terms]
    weighted_sum(arrays, [1.0] * len(arrays), out.overwrite())


class WeightedSum:
    """See `EltwiseOperator`; SUM."""

    def __init__(self, coeff: list[float], dtype: Any) -> None:
        self._coeff, self._dtype = [float(factor) for factor in coeff], np.dtype(dtype)

    def forward(self, bottom: list["Blob"], top: "Blob") -> None:
        """See `EltwiseOperator.forward`."""
        terms = [blob.data_tensor.read() for blob in bottom]
        weighted_sum(terms, self._coeff, top.data_tensor.overwrite())

    def backward(self, top: "Blob", propagate_down: list[bool], bottom: list["Blob"]) -> None:
        """See `EltwiseOperator.backward`."""
        dy = top.diff_tensor.read()
        wanted = [
            (blob.diff_tensor.overwrite(), factor)
            for factor, blob, flag in zip(self._coeff, bottom, propagate_down, strict=True)
            if flag
        ]
        for first in range(0, len(wanted), _MOST):
            copies, factors = zip(*wanted[first : first + _MOST], strict=True)
            arguments = dy, *_filled(list(copies)), *_filled(list(factors), 0.0)
            launch_packs(_FILE, "scaled_copies", top.count, arguments, self._dtype)


class Product:
    """See `EltwiseOperator`; PROD, its gradient with a division only where not `stable`."""

    def __init__(self, stable: bool, dtype: Any) -> None:
        self._stable, self._dtype = stable, np.dtype(dtype)

    def forward(self, bottom: list["Blob"], top: "Blob") -> None:
        """See `EltwiseOperator.forward`."""
        product([blob.data_tensor.read() for blob in bottom], top.data_tensor.overwrite())

    def backward(self, top: "Blob", propagate_down: list[bool], bottom: list["Blob"]) -> None:
        """See `EltwiseOperator.backward`."""
        x, dy = [blob.data_tensor.read() for blob in bottom], top.diff_tensor.read()
        diffs = [
            blob.diff_tensor.overwrite() if flag else None
            for blob, flag in zip(bottom, propagate_down, strict=True)
        ]
        if self._stable and len(x) == 2:
            arguments = dy, *x, *diffs
            launch_packs(_FILE, "product_of_two_backward", top.count, arguments, self._dtype)
            return
        for i, dx in enumerate(diffs):
            if dx is None:
                continue
            if self._stable:
                product([*x[:i], *x[i + 1 :], dy], dx)
                continue
            arguments = dy, top.data_tensor.read(), x[i], dx
            launch_packs(_FILE, "product_backward_by_division", top.count, arguments, self._dtype)


class Largest:
    """See `EltwiseOperator`; MAX."""

    def __init__(self, dtype: Any) -> None:
        self._dtype = np.dtype(dtype)
        self._winner: Any = None

    def forward(self, bottom: list["Blob"], top: "Blob") -> None:
        """See `EltwiseOperator.forward`."""
        x, y = [blob.data_tensor.read() for blob in bottom], top.data_tensor.overwrite()
        if self._winner is None or self._winner.size != top.count:
            self._winner = xp.empty(top.count, np.int32)
        arguments = x[0], x[1], y, self._winner
        launch_packs(_FILE, "larger_of_two", top.count, arguments, self._dtype)
        for i, other in enumerate(x[2:], start=2):
            launch_packs(_FILE, "take_larger", top.count, (i, other, y, self._winner), self._dtype)

    def backward(self, top: "Blob", propagate_down: list[bool], bottom: list["Blob"]) -> None:
        """See `EltwiseOperator.backward`."""
        dy = top.diff_tensor.read()
        diffs = [
            blob.diff_tensor.overwrite() if flag else None
            for blob, flag in zip(bottom, propagate_down, strict=True)
        ]
        for i in range(0, len(diffs), 2):
            pair = (*diffs[i : i + 2], None)[:2]
            if any(dx is not None for dx in pair):
                arguments = i, dy, self._winner, *pair
                launch_packs(_FILE, "select_winners", top.count, arguments, self._dtype)


class ChannelConcat:
    """See `ConcatOperator`; along any axis."""

    def __init__(self, axis: int, dtype: Any) -> None:
        self._axis, self._dtype = axis, np.dtype(dtype)

    def forward(self, bottom: list["Blob"], top: "Blob") -> None:
        """See `ConcatOperator.forward`."""
        y, whole, start = top.data_tensor.overwrite(), self._row(top), 0
        for blob in bottom:
            row = self._row(blob)
            self._copy(blob.count, row, blob.data_tensor.read(), (0, row), y, (start, whole))
            start += row

    def backward(self, top: "Blob", propagate_down: list[bool], bottom: list["Blob"]) -> None:
        """See `ConcatOperator.backward`."""
        dy, whole, start = top.diff_tensor.read(), self._row(top), 0
        for blob, wanted in zip(bottom, propagate_down, strict=True):
            row = self._row(blob)
            if wanted:
                dx = blob.diff_tensor.overwrite()
                self._copy(blob.count, row, dy, (start, whole), dx, (0, row))
            start += row

    def _row(self, blob: "Blob") -> int:
        """Return how many elements of a blob lie behind each other in the whole."""
        return math.prod(blob.shape[self._axis :])

    def _copy(
        self, count: int, width: int, x: Any, of_x: tuple[int, int], y: Any, of_y: tuple[int, int]
    ) -> None:
        """Copy rows; `of_x` and `of_y` say where the first begins, and how far the next is."""
        kernel, sizes = "copy_rows", [count, width, *of_x, *of_y]
        if all(size % 4 == 0 for size in sizes):
            kernel, sizes = "copy_packed_rows", [size // 4 for size in sizes]
        elements, row, x_start, x_step, y_start, y_step = sizes
        arguments = row, x, x_start, x_step, y, y_start, y_step
        launch_each("concat.cu", kernel, elements, arguments, self._dtype)
