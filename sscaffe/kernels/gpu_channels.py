"""BatchNorm and Scale on a GPU: what treats each channel apart."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from sscaffe.kernels.gpu_runtime import launch, xp
from sscaffe.kernels.operators import AfterNorm, MovingSums

if TYPE_CHECKING:
    from sscaffe.blob import Blob

Shape = tuple[int, ...]

_THREADS = 256
_BLOCKS = 1024  # about as many as an H100 holds at a time
_LEAST, _MOST = 8, 32  # elements of a thread, which adds up so many in float


class ByChannel:
    """An operator over an array (N, C, ...); each block of threads takes a chunk of a channel."""

    file: str

    def __init__(self, shape: Shape, dtype: Any) -> None:
        self._dtype = np.dtype(dtype)
        rows, channels, inner = shape[0], shape[1], math.prod(shape[2:])
        self._channels, self._count = channels, rows * channels * inner
        wide = 16 // self._dtype.itemsize
        share = -(-self._count // (_BLOCKS * _THREADS * wide)) * wide
        per_thread = min(max(share, _LEAST), _MOST)
        in_channel = rows * inner
        self._threads = min(_THREADS, 32 * max(1, -(-in_channel // (32 * wide))))
        self._chunks = max(1, -(-in_channel // (self._threads * per_thread)))
        self._split = rows, channels, inner, self._chunks, per_thread
        self._saved: Any = None  # the bottom of a forward pass in place
        self._is_saved = False
        self._sums: Any = None

    def _run(self, kernel: str, *arguments: Any) -> None:
        grid = (self._channels * self._chunks,) if self._count else (0,)
        arguments = (*arguments, *self._split)
        launch(self.file, kernel, grid, (self._threads,), arguments, self._dtype)

    def _parts(self) -> Any:
        """Return room for two sums of each chunk."""
        if self._sums is None:
            self._sums = xp.empty((self._channels, self._chunks, 2), np.float64)
        return self._sums

    def _save(self, bottom: "Blob", top: "Blob") -> Any:
        """Return, in forward, where the kernel keeps the bottom, or None if the top is another."""
        self._is_saved = top.data_tensor is bottom.data_tensor
        if not self._is_saved:
            return None
        if self._saved is None:
            self._saved = xp.empty(self._count, self._dtype)
        return self._saved

    def _bottom_again(self, bottom: "Blob") -> Any:
        """Return, in backward, what forward read."""
        return self._saved if self._is_saved else bottom.const_data


_NOTHING = AfterNorm()


class BatchNorm(ByChannel):
    """See `BatchNormOperator`."""

    file = "batch_norm.cu"
    goes_on = True

    def __init__(self, shape: Shape, dtype: Any) -> None:
        super().__init__(shape, dtype)
        self._shift, self._mean, self._variance, self._inverse_std = (
            xp.empty(shape[1], self._dtype) for _ in range(4)
        )

    def forward(
        self, bottom: "Blob", top: "Blob", eps: float, sums: MovingSums, after: AfterNorm = _NOTHING
    ) -> None:
        """See `BatchNormOperator.forward`."""
        x, saved, parts = bottom.const_data, self._save(bottom, top), self._parts()
        self._run("batch_norm_sums", x, self._shift, parts)
        statistics = self._mean, self._variance, self._inverse_std
        moving = [blob.data_tensor.write() for blob in sums.blobs]
        factors = float(sums.fraction), float(sums.correction)
        read = x, top.new_data(), saved, self._shift, parts, float(eps), *_flat(after)
        self._run("batch_norm_forward", *read, *statistics, *moving, *factors)

    def backward(
        self,
        top: "Blob",
        bottom: "Blob",
        after: AfterNorm = _NOTHING,
        diffs: tuple[Any, Any] = (None, None),
    ) -> None:
        """See `BatchNormOperator.backward`."""
        x, dy, parts = self._bottom_again(bottom), top.const_diff, self._parts()
        normal = self._mean, self._inverse_std, *_flat(after)
        self._run("batch_norm_products", x, dy, *normal, parts)
        dx = bottom.new_diff()
        self._run("batch_norm_backward", x, dy, dx, *normal, *diffs, parts)

    def normalized(self, bottom: "Blob") -> Any:
        """See `BatchNormOperator.normalized`."""
        x, out = self._bottom_again(bottom), xp.empty(self._count, self._dtype)
        factor, bias = self._inverse_std, -self._mean * self._inverse_std
        arguments = x, out, None, factor, bias, *self._split
        grid = (self._channels * self._chunks,)
        launch("scale.cu", "scale_forward", grid, (self._threads,), arguments, self._dtype)
        return out

    def normalize(self, bottom: "Blob", top: "Blob", sums: MovingSums, eps: float) -> None:
        """See `BatchNormOperator.normalize`."""
        x, moving = bottom.const_data, [blob.const_data for blob in sums.blobs]
        self._run("batch_norm_by_sums", x, top.new_data(), *moving, float(eps))

    def backward_normalize(self, top: "Blob", bottom: "Blob", sums: MovingSums, eps: float) -> None:
        """See `BatchNormOperator.backward_normalize`."""
        dy, moving = top.const_diff, [blob.const_data for blob in sums.blobs[1:]]
        self._run("batch_norm_by_sums", dy, bottom.new_diff(), None, *moving, float(eps))


def _flat(after: AfterNorm) -> tuple[Any, Any, int]:
    return after.factor, after.bias, int(after.rectify)


class Scale(ByChannel):
    """See `ScaleOperator`."""

    file = "scale.cu"

    def forward(self, bottom: "Blob", factor: Any, bias: Any, top: "Blob") -> None:
        """See `ScaleOperator.forward`."""
        x, saved = bottom.const_data, self._save(bottom, top)
        self._run("scale_forward", x, top.new_data(), saved, factor, bias)

    def backward(
        self,
        top: "Blob",
        factor: Any,
        factor_diff: Any,
        bias_diff: Any,
        bottom: "Blob",
        propagate_down: bool,
    ) -> None:
        """See `ScaleOperator.backward`."""
        x = None if factor_diff is None else self._bottom_again(bottom)
        sums = None if factor_diff is None and bias_diff is None else self._parts()
        if sums is None and not propagate_down:
            return
        dy = top.const_diff
        dx = bottom.new_diff() if propagate_down else None
        self._run("scale_backward", x, dy, dx, factor, sums)
        if sums is not None and self._count:
            arguments = sums, factor_diff, bias_diff, self._chunks
            threads = min(_THREADS, 32 * -(-self._chunks // 32))
            launch(self.file, "scale_diffs", (self._channels,), (threads,), arguments, self._dtype)

    def recall(self, bottom: Any) -> None:
        """See `ScaleOperator.recall`."""
        self._saved, self._is_saved = bottom, True
