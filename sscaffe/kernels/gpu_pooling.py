"""Pooling on the GPU."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from sscaffe.kernels.gpu_runtime import BLOCK, launch, launch_each, xp

if TYPE_CHECKING:
    from sscaffe.blob import Blob
    from sscaffe.geometry import PoolGeometry

_FILE = "pooling.cu"
_WARP = 32


class Pooling:
    """See `PoolingOperator`; it remembers the place of the largest element in each window."""

    def __init__(self, geometry: "PoolGeometry", batch: int, method: str, dtype: Any) -> None:
        g = geometry
        self._max, self._dtype = method == "MAX", np.dtype(dtype)
        self._planes, self._plane = batch * g.channels, math.prod(g.input)
        self._sizes = (*g.input, *g.output, *g.kernel, *g.stride, *g.pad)
        in_a_byte = math.prod(g.kernel) < 256  # 255 stands for none
        self._index = np.dtype(np.uint8 if in_a_byte else np.int32)
        self._suffix = "byte" if in_a_byte else "int"
        self._winner: Any = None
        self._is_global = (
            g.output == (1, 1)
            and not any(g.pad)
            and all(k >= size for k, size in zip(g.kernel, g.input, strict=True))
            and self._plane >= _WARP
        )

    def forward(self, bottom: "Blob", top: "Blob") -> None:
        """See `PoolingOperator.forward`."""
        x, y = bottom.data_tensor.read(), top.data_tensor.overwrite()
        if self._max:
            if self._winner is None:
                self._winner = xp.empty(top.count, self._index)
            arguments = x, y, self._winner, *self._sizes
            launch_each(_FILE, f"max_forward_{self._suffix}", top.count, arguments, self._dtype)
        elif self._is_global:
            blocks = -(-self._planes * _WARP // BLOCK)
            arguments = self._planes, self._plane, x, y
            launch(_FILE, "mean_of_planes", (blocks,), (BLOCK,), arguments, self._dtype)
        else:
            launch_each(_FILE, "ave_forward", top.count, (x, y, *self._sizes), self._dtype)

    def backward(self, top: "Blob", bottom: "Blob") -> None:
        """See `PoolingOperator.backward`."""
        dy, dx = top.diff_tensor.read(), bottom.diff_tensor.overwrite()
        if self._max:
            assert self._winner is not None, "backward before forward"
            arguments = dy, self._winner, dx, *self._sizes
            kernel = f"max_backward_{self._suffix}"
            launch_each(_FILE, kernel, bottom.count, arguments, self._dtype)
        else:
            launch_each(_FILE, "ave_backward", bottom.count, (dy, dx, *self._sizes), self._dtype)
