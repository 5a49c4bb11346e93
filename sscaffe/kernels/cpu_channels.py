"""BatchNorm and Scale on the CPU: what treats each channel apart, in any layout of activations."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sscaffe import _core
from sscaffe.kernels.operators import AfterNorm, MovingSums
from sscaffe.kernels.tape import run

if TYPE_CHECKING:
    from sscaffe.blob import Blob
    from sscaffe.tensor import Tensor

Array = npt.NDArray[Any]
Shape = tuple[int, ...]


class ByChannel:
    """A layer over an array (N, C, ...); it keeps the bottom where forward runs in place."""

    may_overwrite = True  # whether the kernel may write where it reads

    def __init__(self, shape: Shape) -> None:
        self._shape, self._plain = shape, _core.Layout(shape)
        self._saved: _core.Memory | None = None  # the bottom of a forward pass in place
        self._spare: _core.Memory | None = None

    def _read(self, tensor: "Tensor") -> "_core.Memory":
        """Return the value of `tensor` in a layout that has channels."""
        memory = tensor.memory(self._shape)
        layout = memory.layout
        if layout.dims == self._shape and layout.by_channel:
            return memory
        return tensor.memory_as(self._plain, self._shape)

    def _start(self, bottom: "Blob", top: "Blob") -> tuple["_core.Memory", "_core.Memory"]:
        """Return where forward reads and writes; the bottom is kept where the top replaces it."""
        x, self._saved = self._read(bottom.data_tensor), None
        layout = x.layout
        if top.data_tensor is not bottom.data_tensor:
            return x, top.data_tensor.output(layout, self._shape)
        is_passing = bottom.data_tensor.is_passing
        if is_passing and self.may_overwrite:
            # A net that was compacted does not run backward.
            return x, bottom.data_tensor.memory_in(layout, self._shape)
        if self._spare is None or self._spare.layout != layout:
            self._spare = _core.Memory(layout)
        if is_passing or layout.is_plain:
            run(x.copy_to, self._spare)
            self._saved = self._spare
            return self._spare, bottom.data_tensor.memory_in(layout, self._shape)
        # No copy: the top goes to the spare memory, and the bottom's becomes the next spare.
        y = self._spare
        self._saved = self._spare = bottom.data_tensor.exchange(y)
        return x, y

    def _bottom_again(self, bottom: "Blob", layout: "_core.Layout | None" = None) -> "_core.Memory":
        """Return, in backward, what forward read; in this layout, or else any by channels."""
        if self._saved is not None:
            return self._saved
        tensor = bottom.data_tensor
        return self._read(tensor) if layout is None else tensor.memory_as(layout, self._shape)

    def _diffs(
        self, top: "Blob", bottom: "Blob", layout: "_core.Layout"
    ) -> tuple["_core.Memory", "_core.Memory"]:
        """Return where backward reads and writes, in this layout; one memory if in place."""
        if top.diff_tensor is bottom.diff_tensor:
            diff = top.diff_tensor.memory_in(layout, self._shape)
            return diff, diff
        return (
            top.diff_tensor.memory_as(layout, self._shape),
            bottom.diff_tensor.output(layout, self._shape),
        )


_NOTHING = AfterNorm()


class BatchNorm(ByChannel):
    """See `BatchNormOperator`."""

    goes_on = True

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        statistics = np.empty((3, shape[1]), np.float32)
        self._mean, self._variance, self._inverse_std = statistics

    def forward(
        self, bottom: "Blob", top: "Blob", eps: float, sums: MovingSums, after: AfterNorm = _NOTHING
    ) -> None:
        """See `BatchNormOperator.forward`."""
        x, y = self._start(bottom, top)
        statistics = self._mean, self._variance, self._inverse_std
        _core.batch_norm_forward(eps, *after, x, y, *statistics)
        sums.add(self._mean, self._variance)

    def backward(
        self,
        top: "Blob",
        bottom: "Blob",
        after: AfterNorm = _NOTHING,
        diffs: tuple[Array | None, Array | None] = (None, None),
    ) -> None:
        """See `BatchNormOperator.backward`."""
        x = self._bottom_again(bottom)
        dy, dx = self._diffs(top, bottom, x.layout)
        _core.batch_norm_backward(self._mean, self._inverse_std, *after, x, dy, *diffs, dx)

    def normalized(self, bottom: "Blob") -> "_core.Memory":
        """See `BatchNormOperator.normalized`."""
        x = self._bottom_again(bottom)
        y = _core.Memory(x.layout)
        _core.channel_affine(self._mean, self._inverse_std, None, x, y)
        return y

    def normalize(self, bottom: "Blob", top: "Blob", sums: MovingSums, eps: float) -> None:
        """See `BatchNormOperator.normalize`."""
        mean, variance = sums.statistics()
        inverse_std: Array = 1 / np.sqrt(variance + eps)
        x, out = self._read(bottom.data_tensor), top.data_tensor
        in_place = out is bottom.data_tensor
        y = out.memory_in(x.layout, self._shape) if in_place else out.output(x.layout, self._shape)
        run(_core.channel_affine, mean, inverse_std, None, x, y)

    def backward_normalize(self, top: "Blob", bottom: "Blob", sums: MovingSums, eps: float) -> None:
        """See `BatchNormOperator.backward_normalize`."""
        _, variance = sums.statistics()
        inverse_std: Array = 1 / np.sqrt(variance + eps)
        layout = self._read(top.diff_tensor).layout
        dy, dx = self._diffs(top, bottom, layout)
        _core.channel_scale_backward(inverse_std, None, dy, None, None, dx)


class Scale(ByChannel):
    """See `ScaleOperator`."""

    def forward(self, bottom: "Blob", factor: Array, bias: Array | None, top: "Blob") -> None:
        """See `ScaleOperator.forward`."""
        x, y = self._start(bottom, top)
        run(_core.channel_affine, None, factor, bias, x, y)

    def backward(
        self,
        top: "Blob",
        factor: Array,
        factor_diff: Array | None,
        bias_diff: Array | None,
        bottom: "Blob",
        propagate_down: bool,
    ) -> None:
        """See `ScaleOperator.backward`."""
        x = None if factor_diff is None else self._bottom_again(bottom)
        layout = (x or self._read(top.diff_tensor)).layout
        if propagate_down:
            dy, dx = self._diffs(top, bottom, layout)
        else:
            dy, dx = top.diff_tensor.memory_as(layout, self._shape), None
        _core.channel_scale_backward(factor, x, dy, factor_diff, bias_diff, dx)

    def recall(self, bottom: "_core.Memory") -> None:
        """See `ScaleOperator.recall`."""
        self._saved = bottom
