"""Convolution as a matrix product: lower each image, multiply by the weight matrix.

The modes differ only in how the weight matrix is stored, and so in which columns of it are lowered.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from sscaffe.blob import Blob
from sscaffe.conv.base import ConvKernel
from sscaffe.device import Device
from sscaffe.geometry import ConvGeometry
from sscaffe.kernels import LoweredOperator
from sscaffe.weight_matrix import (
    ConcatenatedMatrix,
    CsrMatrix,
    DenseMatrix,
    Prepared,
    WeightMatrix,
)
from sscaffe.weighted.base import NOTHING, Epilogue, Propagate

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class GroupedWeights:
    """The weight matrices of all conv groups."""

    groups: list[WeightMatrix]
    kept: Array | None  # rows of the lowered image that any group needs, int32; None for all
    inputs: int  # how many those are


@dataclass(frozen=True)
class JoinedWeights:
    """The weight matrices of all conv groups as one, along its diagonal."""

    matrix: CsrMatrix
    kept: Array | None  # rows of the lowered image that it multiplies, int32; None for all


class LoweredKernel(ConvKernel):
    """Lower the kept columns of one image after the other; one matrix product for each group."""

    storage: ClassVar[type[WeightMatrix]]

    def __init__(
        self, geometry: ConvGeometry, batch: int, device: Device, dtype: Any, phase: int
    ) -> None:
        super().__init__(geometry, batch, device, dtype, phase)
        self._positions = math.prod(geometry.output)
        self._columns: Array | None = None
        self._prepared = Prepared(self._store)

    def forward(
        self,
        bottom: Blob,
        weights: Blob,
        bias: Blob | None,
        top: Blob,
        epilogue: Epilogue = NOTHING,
    ) -> None:
        """Set ``top.data``, with what `epilogue` adds."""
        stored = self._stored(weights)
        images = self._images(bottom.const_data)
        tops = self._by_group(top.data_tensor.overwrite())
        start_values = None if bias is None else bias.const_data.reshape(self._by_group_shape(-1))
        for image, outputs in zip(images, tops, strict=True):
            columns = self._lower(image, stored)
            row = 0
            for matrix, out in zip(stored.groups, outputs, strict=True):
                matrix.matmul(columns[row : row + matrix.inputs], out, self.device.kernels)
                row += matrix.inputs
            if start_values is not None:
                outputs += start_values
        self._finish(top, epilogue)

    def lower(self, bottom: Blob, weights: Blob) -> bool:
        """Do no more of a forward pass than lowering the bottom; False if there is no such part."""
        stored = self._stored(weights)
        if self.geometry.is_1x1 and stored.kept is None:
            return False
        for image in self._images(bottom.const_data):
            self._lower(image, stored)
        return True

    def resize(self, batch: int) -> bool:
        """See `WeightedKernel.resize`."""
        self.batch = batch
        return True

    def _stored(self, weights: Blob) -> GroupedWeights:
        return self._prepared.get(weights)

    def _store(self, weights: Array) -> GroupedWeights:
        g = self.geometry
        parts = weights.reshape(g.group, g.out_channels // g.group, g.kernel_dim)
        groups = [self.storage.from_dense(part, self.device) for part in parts]
        kept = None
        if any(matrix.kept_columns is not None for matrix in groups):
            xp = self.device.xp
            every = xp.arange(g.kernel_dim, dtype=np.int32)
            kept = xp.concatenate(
                [
                    (every if matrix.kept_columns is None else matrix.kept_columns)
                    + np.int32(i * g.kernel_dim)
                    for i, matrix in enumerate(groups)
                ]
            )
        return GroupedWeights(groups, kept, sum(matrix.inputs for matrix in groups))

    def _lower(self, image: Array, stored: GroupedWeights) -> Array:
        if self.geometry.is_1x1 and stored.kept is None:
            return image.reshape(-1, self._positions)
        columns = self._buffer(stored.inputs)
        self.device.kernels.im2col(image, self.geometry, columns, stored.kept)
        return columns

    def _buffer(self, rows: int) -> Array:
        if self._columns is None or self._columns.shape[0] < rows:
            self._columns = self.device.xp.empty((rows, self._positions), self.dtype)
        assert self._columns is not None
        return self._columns[:rows]

    def _images(self, array: Array) -> Array:
        return array.reshape(self.batch, self.geometry.in_channels, *self.geometry.input)

    def _by_group(self, array: Array) -> Array:
        return array.reshape(self.batch, *self._by_group_shape(self._positions))

    def _by_group_shape(self, positions: int) -> tuple[int, int, int]:
        group = self.geometry.group
        return group, self.geometry.out_channels // group, positions


class LoweredGemm(LoweredKernel):
    """Dense weights: what Caffe has always done."""

    mode_name = "LOWERED_GEMM"
    storage = DenseMatrix

    def __init__(
        self, geometry: ConvGeometry, batch: int, device: Device, dtype: Any, phase: int
    ) -> None:
        super().__init__(geometry, batch, device, dtype, phase)
        self._operator = device.kernels.lowered_convolution(geometry, self.dtype)

    @property
    def description(self) -> str:
        """Which code really runs."""
        return "im2col + gemm" if self._operator is None else self._operator.description

    def forward(
        self,
        bottom: Blob,
        weights: Blob,
        bias: Blob | None,
        top: Blob,
        epilogue: Epilogue = NOTHING,
    ) -> None:
        """Set ``top.data``, with what `epilogue` adds."""
        if self._operator is None:
            super().forward(bottom, weights, bias, top, epilogue)
        else:
            self._operator.forward(bottom, weights, bias, top, *epilogue)

    def lower(self, bottom: Blob, weights: Blob) -> bool:
        """Do no more of a forward pass than lowering the bottom; False if there is no such part."""
        if self._operator is None:
            return super().lower(bottom, weights)
        return self._operator.lower(bottom)

    def _stored(self, weights: Blob) -> GroupedWeights:
        # Nothing is copied, so there is nothing worth keeping.
        return self._store(weights.const_data)

    def backward(
        self, top: Blob, bottom: Blob, weights: Blob, bias: Blob | None, wanted: Propagate
    ) -> None:
        """Set ``bottom.diff`` and add to ``weights.diff`` and ``bias.diff``, as `wanted` says."""
        if self._operator is not None:
            self._backward_at_once(self._operator, top, bottom, weights, bias, wanted)
            return
        top_diff = self._by_group(top.const_diff)
        if wanted.bias and bias is not None:
            diff = bias.mutable_diff
            diff += top_diff.sum(axis=(0, 3)).reshape(diff.shape)
        if wanted.weights:
            self._backward_weights(top_diff, bottom, weights)
        if wanted.data:
            self._backward_data(top_diff, weights, bottom)

    def _backward_at_once(
        self,
        operator: LoweredOperator,
        top: Blob,
        bottom: Blob,
        weights: Blob,
        bias: Blob | None,
        wanted: Propagate,
    ) -> None:
        if wanted.weights:
            operator.backward_weights(top, bottom, weights, bias if wanted.bias else None)
        elif wanted.bias and bias is not None:
            operator.backward_bias(top, bias)
        if wanted.data:
            operator.backward_data(top, weights, bottom)

    def _backward_weights(self, top_diff: Array, bottom: Blob, weights: Blob) -> None:
        stored = self._stored(weights)
        weights_diff = weights.mutable_diff.reshape(self._by_group_shape(self.geometry.kernel_dim))
        column_shape = (self.geometry.group, self.geometry.kernel_dim, self._positions)
        for image, diffs in zip(self._images(bottom.const_data), top_diff, strict=True):
            columns = self._lower(image, stored).reshape(column_shape)
            for diff, column, out in zip(diffs, columns, weights_diff, strict=True):
                self.device.kernels.gemm(diff, column, out, transpose_b=True, accumulate=True)

    def _backward_data(self, top_diff: Array, weights: Blob, bottom: Blob) -> None:
        g, kernels = self.geometry, self.device.kernels
        matrices = weights.const_data.reshape(self._by_group_shape(g.kernel_dim))
        images = self._images(bottom.diff_tensor.overwrite())
        for image, diffs in zip(images, top_diff, strict=True):
            lowered = image if g.is_1x1 else self._buffer(g.group * g.kernel_dim)
            columns = lowered.reshape(g.group, g.kernel_dim, self._positions)
            for matrix, diff, column in zip(matrices, diffs, columns, strict=True):
                kernels.gemm(matrix, diff, column, transpose_a=True)
            if not g.is_1x1:
                kernels.col2im(lowered, g, image)


class LoweredCsrmm(LoweredKernel):
    """Weights as one compressed sparse row matrix for all groups, for scattered zeros.

    As many images are lowered at a time as the caches hold: for conv2 of LeNet 2.2 times as fast as
    one after the other, for the last 3x3 of ResNet-20 2 times (batch 32, two threads, 90 % zeros).
    """

    mode_name = "LOWERED_CSRMM"
    trains = False
    holds_weights = True
    storage = CsrMatrix

    def __init__(
        self, geometry: ConvGeometry, batch: int, device: Device, dtype: Any, phase: int
    ) -> None:
        super().__init__(geometry, batch, device, dtype, phase)
        make = device.kernels.lowered_sparse_convolution(geometry, self.dtype)
        self._convolution = None if make is None else Prepared(make)
        self._joined = Prepared(self._join)

    @property
    def description(self) -> str:
        """Which code really runs."""
        if self._convolution is not None:
            whole = self._convolution.last
            return "im2col of the non-zero columns" if whole is None else whole.description
        made = self._joined.last
        product = None if made is None else made.matrix.last_product
        return f"im2col of the non-zero columns + {product.description if product else 'csrmm'}"

    def forward(
        self,
        bottom: Blob,
        weights: Blob,
        bias: Blob | None,
        top: Blob,
        epilogue: Epilogue = NOTHING,
    ) -> None:
        """Set ``top.data``, with what `epilogue` adds."""
        # A rectifier comes after what is added.
        relu = epilogue.relu and epilogue.add is None
        if self._convolution is None:
            self._forward_by_portions(bottom, weights, bias, top, relu)
        else:
            self._convolution.get(weights).forward(bottom, bias, top, relu=relu)
        self._finish(top, epilogue._replace(relu=epilogue.relu and not relu))

    def _forward_by_portions(
        self, bottom: Blob, weights: Blob, bias: Blob | None, top: Blob, relu: bool
    ) -> None:
        joined = self._joined.get(weights)
        product = joined.matrix.product(self.device.kernels, self._positions)
        images = self._images(bottom.const_data)
        tops = top.data_tensor.overwrite()
        tops = tops.reshape(self.batch, self.geometry.out_channels, self._positions)
        start_values = None if bias is None else bias.const_data
        for some in self._portions(joined.matrix.inputs):
            columns = self._lower_some(images[some], joined)
            product.multiply(columns, tops[some], start_values, relu=relu)

    def lower(self, bottom: Blob, weights: Blob) -> bool:
        """Do no more of a forward pass than lowering the bottom; False if there is no such part."""
        if self._convolution is not None:
            return False
        joined = self._joined.get(weights)
        if self.geometry.is_1x1 and joined.kept is None:
            return False
        images = self._images(bottom.const_data)
        for some in self._portions(joined.matrix.inputs):
            self._lower_some(images[some], joined)
        return True

    def _join(self, weights: Array) -> JoinedWeights:
        stored = self._store(weights)
        parts = [matrix for matrix in stored.groups if isinstance(matrix, CsrMatrix)]
        return JoinedWeights(CsrMatrix.block_diagonal(parts, self.device), stored.kept)

    def _portions(self, inputs: int) -> list[slice]:
        """Return which images are lowered at a time."""
        image = inputs * self._positions * int(self.dtype.itemsize)
        at_once = max(1, _CACHE // max(1, image))
        return [slice(first, first + at_once) for first in range(0, self.batch, at_once)]

    def _lower_some(self, images: Array, joined: JoinedWeights) -> Array:
        count, inputs, kept = len(images), joined.matrix.inputs, joined.kept
        if self.geometry.is_1x1 and kept is None:
            return images.reshape(count, inputs, self._positions)
        columns = self._buffer(count * inputs)
        if kept is not None:
            rows = self.geometry.group * self.geometry.kernel_dim
            starts = self.device.xp.arange(count, dtype=np.int32) * np.int32(rows)
            kept = (starts[:, None] + kept).reshape(-1)
        self.device.kernels.im2col(images, self.geometry, columns, kept)
        return columns.reshape(count, inputs, self._positions)


_CACHE = 4 << 20  # bytes of lowered images that are read again while the caches have them


class LoweredCcnmm(LoweredKernel):
    """Weights without their rows and columns of zeros, for structured sparsity."""

    mode_name = "LOWERED_CCNMM"
    trains = False
    holds_weights = True
    storage = ConcatenatedMatrix

    def __init__(
        self, geometry: ConvGeometry, batch: int, device: Device, dtype: Any, phase: int
    ) -> None:
        super().__init__(geometry, batch, device, dtype, phase)
        make = device.kernels.concatenated_convolution(geometry, self.dtype)
        self._convolution = None if make is None else Prepared(make)

    @property
    def description(self) -> str:
        """Which code really runs; how much of the weights is left, once they have been used."""
        if self._convolution is None:
            return "im2col of the non-zero columns + gemm of the non-zero rows"
        made = self._convolution.last
        return (
            "implicit GEMM of the non-zero rows and columns" if made is None else made.description
        )

    @property
    def replays(self) -> bool:
        """See `WeightedKernel.replays`."""
        return self._convolution is not None

    def forward(
        self,
        bottom: Blob,
        weights: Blob,
        bias: Blob | None,
        top: Blob,
        epilogue: Epilogue = NOTHING,
    ) -> None:
        """Set ``top.data``, with what `epilogue` adds."""
        if self._convolution is None:
            super().forward(bottom, weights, bias, top, epilogue)
        else:
            # A rectifier comes after what is added.
            relu = epilogue.relu and epilogue.add is None
            self._convolution.get(weights).forward(bottom, bias, top, relu)
            self._finish(top, epilogue._replace(relu=epilogue.relu and not relu))

    def lower(self, bottom: Blob, weights: Blob) -> bool:
        """Do no more of a forward pass than lowering the bottom; False if there is no such part."""
        return self._convolution is None and super().lower(bottom, weights)
