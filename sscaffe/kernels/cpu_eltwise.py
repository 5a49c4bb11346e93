"""Eltwise on the CPU: bottoms combined element by element, in whatever layout they have."""

from typing import TYPE_CHECKING

import numpy as np

from sscaffe import _core
from sscaffe.kernels.tape import run

if TYPE_CHECKING:
    from sscaffe.blob import Blob
    from sscaffe.tensor import Shape, Tensor


def memories_of_one_layout(tensors: list["Tensor"], shape: "Shape") -> list["_core.Memory"]:
    """Return the tensors to be read, all in the layout of the first that is not plain."""
    memories = [tensor.memory(shape) for tensor in tensors]
    layouts = [memory.layout for memory in memories]
    layout = next((layout for layout in layouts if not layout.is_plain), layouts[0])
    return [
        memory if own == layout else tensor.memory_as(layout, shape)
        for tensor, memory, own in zip(tensors, memories, layouts, strict=True)
    ]


def sum_tensors(terms: list["Tensor"], factors: list[float], out: "Tensor", shape: "Shape") -> None:
    """Set ``out`` to the weighted sum of float32 tensors."""
    x = memories_of_one_layout(terms, shape)
    run(_core.memory_weighted_sum, factors, x, out.output(x[0].layout, shape))


class WeightedSum:
    """See `EltwiseOperator`; SUM."""

    def __init__(self, coeff: list[float]) -> None:
        self._coeff = coeff

    def forward(self, bottom: list["Blob"], top: "Blob") -> None:
        """See `EltwiseOperator.forward`."""
        terms = [blob.data_tensor for blob in bottom]
        sum_tensors(terms, self._coeff, top.data_tensor, top.shape)

    def backward(self, top: "Blob", propagate_down: list[bool], bottom: list["Blob"]) -> None:
        """See `EltwiseOperator.backward`."""
        dy = top.diff_tensor.memory(top.shape)
        layout = dy.layout
        wanted = [
            (factor, blob.diff_tensor.output(layout, blob.shape))
            for factor, blob, flag in zip(self._coeff, bottom, propagate_down, strict=True)
            if flag
        ]
        _core.memory_scaled_copies([f for f, _ in wanted], dy, [dx for _, dx in wanted])


class Product:
    """See `EltwiseOperator`; PROD, its gradient without a division."""

    def forward(self, bottom: list["Blob"], top: "Blob") -> None:
        """See `EltwiseOperator.forward`."""
        x = memories_of_one_layout([blob.data_tensor for blob in bottom], top.shape)
        run(_core.memory_product, x, top.data_tensor.output(x[0].layout, top.shape))

    def backward(self, top: "Blob", propagate_down: list[bool], bottom: list["Blob"]) -> None:
        """See `EltwiseOperator.backward`."""
        x = memories_of_one_layout([blob.data_tensor for blob in bottom], top.shape)
        layout = x[0].layout
        dy = top.diff_tensor.memory_as(layout, top.shape)
        for i, blob in enumerate(bottom):
            if propagate_down[i]:
                dx = blob.diff_tensor.output(layout, blob.shape)
                _core.memory_product([*x[:i], *x[i + 1 :]], dx)
                _core.memory_product([dy, dx], dx)


class Largest:
    """See `EltwiseOperator`; MAX."""

    def forward(self, bottom: list["Blob"], top: "Blob") -> None:
        """See `EltwiseOperator.forward`."""
        x = memories_of_one_layout([blob.data_tensor for blob in bottom], top.shape)
        self._layout = x[0].layout
        self._winner = np.empty(self._layout.stored, np.int32)
        y = top.data_tensor.output(self._layout, top.shape)
        run(_core.memory_largest, x, y, self._winner)

    def backward(self, top: "Blob", propagate_down: list[bool], bottom: list["Blob"]) -> None:
        """See `EltwiseOperator.backward`."""
        dy = top.diff_tensor.memory_as(self._layout, top.shape)
        for i, blob in enumerate(bottom):
            if propagate_down[i]:
                dx = blob.diff_tensor.output(self._layout, blob.shape)
                _core.memory_select_winner(i, self._winner, dy, dx)
