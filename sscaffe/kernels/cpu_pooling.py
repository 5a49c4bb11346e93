"""Pooling on the CPU: by oneDNN where the bottom is in its layout, by sscaffe's own otherwise."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sscaffe import _core
from sscaffe.kernels.tape import run

if TYPE_CHECKING:
    from sscaffe.blob import Blob
    from sscaffe.geometry import PoolGeometry

Array = npt.NDArray[Any]
Sizes = tuple[int, ...]


def _has_even_divisors(geometry: "PoolGeometry") -> bool:
    """Tell whether oneDNN's average is Caffe's.

    It divides by the elements of the image or by the whole window; Caffe counts the padding, but
    nothing beyond it.
    """
    g = geometry
    axes = list(zip(g.input, g.output, g.kernel, g.stride, g.pad, strict=True))
    last_starts = [(output - 1) * stride - pad for _, output, _, stride, pad in axes]
    if any(start >= size for start, (size, *_) in zip(last_starts, axes, strict=True)):
        return False  # nothing to divide by
    ends = [start + axis[2] for start, axis in zip(last_starts, axes, strict=True)]
    return not any(g.pad) or all(
        end <= size + pad for end, (size, _, _, _, pad) in zip(ends, axes, strict=True)
    )


class Pooling:
    """A pooling of two spatial axes; it remembers which element was the largest."""

    def __init__(self, geometry: "PoolGeometry", batch: int, method: str) -> None:
        self._geometry, self._batch, self._max = geometry, batch, method == "MAX"
        self._may_be_native = _core.has_onednn and (self._max or _has_even_divisors(geometry))
        self._native: _core.Pooling | None = None
        self._bottom_layout: _core.Layout | None = None  # of the last forward pass, where native
        self._mask: Array | None = None

    def forward(self, bottom: "Blob", top: "Blob") -> None:
        """See `PoolingOperator.forward`."""
        self._bottom_layout = None
        if self._may_be_native and bottom.dtype == np.float32:
            memory = bottom.data_tensor.memory(bottom.shape)
            # Behind a Reshape it is in the layout of another shape.
            if not memory.layout.is_plain and tuple(memory.layout.dims) == bottom.shape:
                native = self._native_pooling()
                out = top.data_tensor.output(native.top_layout(memory.layout), top.shape)
                # In a compact net there are no backward passes.
                if bottom.data_tensor.is_passing:
                    run(native.infer, memory, out)
                    return
                self._bottom_layout = memory.layout
                run(native.forward, memory, out)
                return
        x, y = bottom.const_data, top.data_tensor.overwrite()
        if self._max:
            if self._mask is None:
                self._mask = np.empty(top.count, np.int32)
            run(_core.max_pool_forward, x.reshape(-1), *self._sizes(), y, self._mask)
        else:
            run(_core.ave_pool_forward, x.reshape(-1), *self._sizes(), y)

    def backward(self, top: "Blob", bottom: "Blob") -> None:
        """See `PoolingOperator.backward`."""
        if self._bottom_layout is not None:
            self._native_pooling().backward(
                top.diff_tensor.memory(top.shape),
                bottom.diff_tensor.output(self._bottom_layout, bottom.shape),
            )
            return
        dy, dx = top.diff_tensor.read(), bottom.diff_tensor.overwrite()
        if self._max:
            assert self._mask is not None, "backward before forward"
            _core.max_pool_backward(dy, self._mask, *self._sizes(), dx)
        else:
            _core.ave_pool_backward(dy, *self._sizes(), dx)

    def _sizes(self) -> tuple[int, Sizes, Sizes, Sizes, Sizes, Sizes]:
        g = self._geometry
        return self._batch * g.channels, g.input, g.output, g.kernel, g.stride, g.pad

    def _native_pooling(self) -> "_core.Pooling":
        if self._native is None:
            g = self._geometry
            self._native = _core.Pooling(
                batch=self._batch,
                channels=g.channels,
                input=g.input,
                output=g.output,
                kernel=g.kernel,
                stride=g.stride,
                pad=g.pad,
                max=self._max,
            )
        return self._native
