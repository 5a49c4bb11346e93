"""LRN on the GPU."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from sscaffe.kernels.gpu_runtime import launch_each, xp

if TYPE_CHECKING:
    from sscaffe.blob import Blob
    from sscaffe.tensor import Tensor

_FILE = "lrn.cu"
_ENOUGH = 200_000  # threads that keep a large GPU busy


class Lrn:
    """See `LrnOperator`."""

    def __init__(
        self,
        shape: tuple[int, ...],
        across: bool,
        size: int,
        alpha: float,
        beta: float,
        k: float,
        dtype: Any,
    ) -> None:
        self._count, self._dtype, self._across = math.prod(shape), np.dtype(dtype), across
        self._size, self._beta, self._k = size, float(beta), float(k)
        self._share = alpha / (size if across else size**2)
        self._gradient = 2 * self._share * self._beta
        batch, channels, height, width = shape
        self._image = height, width
        self._spatial = batch, channels, height * width
        self._segment = self._segment_of(batch * height * width, channels)
        self._scratch: dict[str, Any] = {}
        self._is_saved = False

    @staticmethod
    def _segment_of(positions: int, channels: int) -> int:
        """Return how many channels a thread takes: the more, the less is read twice."""
        for segment in (32, 16, 8, 4, 2):
            if positions * -(-channels // segment) >= _ENOUGH:
                return segment
        return 1

    def forward(self, bottom: "Blob", top: "Blob") -> None:
        """See `LrnOperator.forward`."""
        x, self._is_saved = bottom.data_tensor.read(), top.data_tensor is bottom.data_tensor
        if self._is_saved:
            # Threads read what others overwrite, and backward reads it again.
            x = self._copy("saved", x)
            y = bottom.data_tensor.write()
        else:
            y = top.data_tensor.overwrite()
        arguments = x, self._room("scale"), y, self._share, self._beta, self._k
        self._launch("forward", arguments)

    def backward(self, top: "Blob", bottom: "Blob") -> None:
        """See `LrnOperator.backward`."""
        assert "scale" in self._scratch, "backward before forward"
        x = self._scratch["saved"] if self._is_saved else bottom.data_tensor.read()
        dy, dx = self._diffs(top.diff_tensor, bottom.diff_tensor)
        operands: tuple[Any, ...] = (x, self._scratch["scale"], dy)
        if not self._across:
            ratios = self._room("ratios")
            arguments = *operands, ratios, self._beta
            launch_each(_FILE, "within_ratios", self._count, arguments, self._dtype)
            operands = *operands, ratios
        self._launch("backward", (*operands, dx, self._beta, self._gradient))

    def _launch(self, direction: str, operands: tuple[Any, ...]) -> None:
        if self._across:
            batch, channels, spatial = self._spatial
            count = batch * spatial * -(-channels // self._segment)
            kernel, sizes = "across", (channels, spatial, self._segment, self._size)
            arguments = *sizes, *operands
        else:
            count, kernel = self._count, "within"
            arguments = *self._image, self._size, *operands
        launch_each(_FILE, f"{kernel}_{direction}", count, arguments, self._dtype)

    def _diffs(self, top: "Tensor", bottom: "Tensor") -> tuple[Any, Any]:
        if top is bottom:
            return self._copy("diff", top.read()), bottom.write()
        return top.read(), bottom.overwrite()

    def _room(self, name: str) -> Any:
        """Return memory that stays where it is, as a captured graph wants it."""
        if name not in self._scratch:
            self._scratch[name] = xp.empty(self._count, self._dtype)
        return self._scratch[name]

    def _copy(self, name: str, array: Any) -> Any:
        room = self._room(name)
        room[...] = array
        return room
