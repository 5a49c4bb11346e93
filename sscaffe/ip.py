"""Inner products, by how the weights are stored.

To add a way: a class here, a row in `KERNELS`; the table-driven test covers it.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy.typing as npt

from sscaffe.blob import Blob
from sscaffe.device import Device
from sscaffe.proto import caffe_pb2
from sscaffe.weight_matrix import ConcatenatedMatrix, CsrMatrix, Prepared
from sscaffe.weighted.auto import AutoKernel
from sscaffe.weighted.base import NOTHING, Epilogue, Propagate, WeightedKernel
from sscaffe.weighted.choice import Zeros

Array = npt.NDArray[Any]


class IpSizes(NamedTuple):
    """Sizes of an inner product; the weights are (outputs, inputs) unless `transpose`."""

    batch: int
    inputs: int
    outputs: int
    transpose: bool = False


class IpKernel(WeightedKernel):
    """A way to compute the inner products of a batch.

    Parameters
    ----------
    sizes : IpSizes
        Batch, inputs, outputs, and how the weights lie.
    device, dtype, phase
        As `WeightedKernel` takes them.
    """

    trains = False

    def __init__(self, sizes: IpSizes, device: Device, dtype: Any, phase: int) -> None:
        super().__init__(device, dtype, phase)
        self.sizes = sizes

    @classmethod
    def cannot_train(cls) -> str:
        """Return the sentence that refuses a backward pass."""
        mode = cls.mode_name
        return f"gemm_mode: {mode} cannot train; use GEMM in TRAIN and {mode} in TEST"

    def _matrix(self, weights: Array) -> Array:
        return weights.T if self.sizes.transpose else weights

    def _vectors(self, bottom: Blob) -> Array:
        return bottom.const_data.reshape(self.sizes.batch, self.sizes.inputs)

    def _products(self, top: Blob) -> Array:
        return top.data_tensor.overwrite().reshape(self.sizes.batch, self.sizes.outputs)


class DenseIp(IpKernel):
    """Every weight: the device's inner product, or a matrix product where it has none."""

    mode_name = "GEMM"
    trains = True

    def __init__(self, sizes: IpSizes, device: Device, dtype: Any, phase: int) -> None:
        super().__init__(sizes, device, dtype, phase)
        self._operator = None
        if not sizes.transpose:
            train = phase == caffe_pb2.TRAIN
            self._operator = device.kernels.inner_product(*sizes[:3], self.dtype, train)

    @property
    def replays(self) -> bool:
        """See `WeightedKernel.replays`."""
        return self._operator is not None

    @property
    def description(self) -> str:
        """Which code really runs."""
        return "gemm" if self._operator is None else self._operator.description

    def forward(
        self,
        bottom: Blob,
        weights: Blob,
        bias: Blob | None,
        top: Blob,
        epilogue: Epilogue = NOTHING,
    ) -> None:
        """Set ``top.data``, with what `epilogue` adds."""
        if self._operator is not None:
            self._operator.forward(bottom, weights, bias, top, *epilogue)
            return
        y, transpose_b = self._products(top), not self.sizes.transpose
        self.device.kernels.gemm(
            self._vectors(bottom), weights.const_data, y, transpose_b=transpose_b
        )
        if bias is not None:
            y += bias.const_data
        self._finish(top, epilogue)

    def backward(
        self, top: Blob, bottom: Blob, weights: Blob, bias: Blob | None, wanted: Propagate
    ) -> None:
        """Set ``bottom.diff`` and add to ``weights.diff`` and ``bias.diff``, as `wanted` says."""
        operator = self._operator
        # The operator computes both parameter gradients or none.
        if operator is not None and (bias is None or wanted.weights == wanted.bias):
            if wanted.weights:
                operator.backward_weights(top, bottom, weights, bias)
        else:
            self._backward_params(top, bottom, weights, bias, wanted)
        if not wanted.data:
            return
        if operator is not None:
            operator.backward_data(top, weights, bottom)
            return
        top_diff = self._top_diff(top)
        out = bottom.diff_tensor.overwrite().reshape(self.sizes.batch, self.sizes.inputs)
        self.device.kernels.gemm(
            top_diff, weights.const_data, out, transpose_b=self.sizes.transpose
        )

    def _backward_params(
        self, top: Blob, bottom: Blob, weights: Blob, bias: Blob | None, wanted: Propagate
    ) -> None:
        x, top_diff = self._vectors(bottom), self._top_diff(top)
        if wanted.weights:
            a, b = (x, top_diff) if self.sizes.transpose else (top_diff, x)
            self.device.kernels.gemm(a, b, weights.mutable_diff, transpose_a=True, accumulate=True)
        if wanted.bias and bias is not None:
            diff = bias.mutable_diff
            diff += top_diff.sum(axis=0)

    def _top_diff(self, top: Blob) -> Array:
        return top.const_diff.reshape(self.sizes.batch, self.sizes.outputs)


class CsrIp(IpKernel):
    """The non-zero weights, for scattered zeros."""

    mode_name = "SPMDM"
    holds_weights = True

    def __init__(self, sizes: IpSizes, device: Device, dtype: Any, phase: int) -> None:
        super().__init__(sizes, device, dtype, phase)
        self._prepared = Prepared(self._store)

    @property
    def replays(self) -> bool:
        """See `WeightedKernel.replays`."""
        return bool(self.dtype == "float32")

    def resize(self, batch: int) -> bool:
        """See `WeightedKernel.resize`."""
        self.sizes = self.sizes._replace(batch=batch)
        return True

    @property
    def description(self) -> str:
        """Which code really runs."""
        made = self._prepared.last
        if made is None or made.last_product is None:
            return "csrmm of the non-zero weights"
        percent = 100 * made.values.size / max(1, self.sizes.inputs * self.sizes.outputs)
        return f"{made.last_product.description} of {percent:.1f} % of the weights"

    def forward(
        self,
        bottom: Blob,
        weights: Blob,
        bias: Blob | None,
        top: Blob,
        epilogue: Epilogue = NOTHING,
    ) -> None:
        """Set ``top.data``, with what `epilogue` adds."""
        product = self._prepared.get(weights).product(self.device.kernels, self.sizes.batch)
        start = None if bias is None else bias.const_data
        relu = epilogue.relu and epilogue.add is None
        product.multiply_vectors(self._vectors(bottom), self._products(top), start, relu=relu)
        if epilogue.add is not None:
            self._finish(top, epilogue)

    def _store(self, weights: Array) -> CsrMatrix:
        return CsrMatrix.from_dense(self._matrix(weights), self.device, keep_all_columns=True)


@dataclass
class _Smaller:
    """A dense inner product without rows and columns of zeros."""

    kept_rows: Array | None
    kept_columns: Array | None
    kernel: DenseIp
    weights: Blob
    bottom: Blob | None  # None where all columns are kept
    top: Blob | None  # None where all rows are kept

    def resize(self, batch: int) -> None:
        """Go on with another number of vectors."""
        old = self.kernel
        self.kernel = DenseIp(old.sizes._replace(batch=batch), old.device, old.dtype, old.phase)
        for blob in (self.bottom, self.top):
            if blob is not None:
                blob.reshape(batch, blob.shape[1])


class ConcatenatedIp(IpKernel):
    """A smaller dense matrix, without rows and columns of zeros: for structured sparsity.

    References
    ----------
    Wen et al., "Learning Structured Sparsity in Deep Neural Networks", NIPS 2016, section 4.
    """

    mode_name = "CCNMM"
    holds_weights = True

    def __init__(self, sizes: IpSizes, device: Device, dtype: Any, phase: int) -> None:
        super().__init__(sizes, device, dtype, phase)
        self._prepared = Prepared(self._store)

    def resize(self, batch: int) -> bool:
        """See `WeightedKernel.resize`."""
        self.sizes = self.sizes._replace(batch=batch)
        if self._prepared.last is not None:
            self._prepared.last.resize(batch)
        return True

    @property
    def description(self) -> str:
        """Which code really runs; how much of the weights is left, once they have been used."""
        made = self._prepared.last
        if made is None:
            return "dense product of the non-zero rows and columns"
        rows, columns = made.weights.shape
        sizes = f"{rows} x {columns} of {self.sizes.outputs} x {self.sizes.inputs}"
        return f"{made.kernel.description} of {sizes}"

    def forward(
        self,
        bottom: Blob,
        weights: Blob,
        bias: Blob | None,
        top: Blob,
        epilogue: Epilogue = NOTHING,
    ) -> None:
        """Set ``top.data``, with what `epilogue` adds."""
        made = self._prepared.get(weights)
        if made.bottom is not None:
            # NumPy copies `out` first unless it may clip; CuPy knows no modes.
            mode = {"mode": "clip"} if self.device.is_cpu else {}
            source, out = self._vectors(bottom), made.bottom.new_data()
            self.device.xp.take(source, made.kept_columns, axis=1, out=out, **mode)
        small_bottom = made.bottom or bottom
        if made.top is None:
            made.kernel.forward(small_bottom, made.weights, bias, top, epilogue)
            return
        made.kernel.forward(small_bottom, made.weights, None, made.top)
        y = self._products(top)
        y[...] = 0
        y[:, made.kept_rows] = made.top.const_data
        if bias is not None:
            y += bias.const_data
        self._finish(top, epilogue)

    def _store(self, weights: Array) -> _Smaller:
        matrix = ConcatenatedMatrix.from_dense(self._matrix(weights), self.device)
        rows, columns = matrix.values.shape
        batch = self.sizes.batch
        small = Blob((rows, columns), self.dtype, self.device)
        small.set_data(matrix.values)
        bottom = Blob((batch, columns), self.dtype, self.device)
        top = Blob((batch, rows), self.dtype, self.device)
        return _Smaller(
            matrix.kept_rows,
            matrix.kept_columns,
            DenseIp(IpSizes(batch, columns, rows), self.device, self.dtype, self.phase),
            small,
            None if matrix.kept_columns is None else bottom,
            None if matrix.kept_rows is None else top,
        )


class AutoIp(AutoKernel, IpKernel):
    """See `AutoKernel`."""

    def __init__(self, sizes: IpSizes, device: Device, dtype: Any, phase: int) -> None:
        super().__init__(sizes, device, dtype, phase)
        self._start(1, sizes.batch)

    def _make_dense(self) -> WeightedKernel:
        return DenseIp(self.sizes, self.device, self.dtype, self.phase)

    def _work(self) -> str:
        return f"InnerProduct {self.sizes.batch} x {self.sizes.inputs} to {self.sizes.outputs}"

    def _set_batch(self, batch: int) -> None:
        self.sizes = self.sizes._replace(batch=batch)

    def _candidates(self, zeros: Zeros) -> dict[str, WeightedKernel]:
        classes: list[type[IpKernel]] = []
        if zeros.density < 0.6:  # 6 bytes each instead of 4
            classes.append(CsrIp)
        if zeros.kept < 0.95:
            classes.append(ConcatenatedIp)
        kernels: dict[str, WeightedKernel] = {DenseIp.mode_name: self._dense}
        for kernel in classes:
            kernels[kernel.mode_name] = kernel(self.sizes, self.device, self.dtype, self.phase)
        return kernels


KERNELS: dict[str, type[IpKernel]] = {
    kernel.mode_name: kernel for kernel in (DenseIp, CsrIp, ConcatenatedIp, AutoIp)
}
