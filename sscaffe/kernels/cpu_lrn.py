"""LRN on the CPU, in any layout of activations."""

from typing import TYPE_CHECKING

from sscaffe import _core
from sscaffe.kernels.cpu_channels import ByChannel
from sscaffe.kernels.tape import run

if TYPE_CHECKING:
    from sscaffe.blob import Blob

Shape = tuple[int, ...]


class Lrn(ByChannel):
    """See `LrnOperator`."""

    may_overwrite = False

    def __init__(
        self, shape: Shape, across: bool, size: int, alpha: float, beta: float, k: float
    ) -> None:
        super().__init__(shape)
        self._constants, self._k = (size, alpha, beta), k
        self._forward = _core.lrn_across_forward if across else _core.lrn_within_forward
        self._backward = _core.lrn_across_backward if across else _core.lrn_within_backward
        self._scale: _core.Memory | None = None

    def forward(self, bottom: "Blob", top: "Blob") -> None:
        """See `LrnOperator.forward`."""
        x, y = self._start(bottom, top)
        if self._scale is None or self._scale.layout != x.layout:
            self._scale = _core.Memory(x.layout)
        run(self._forward, *self._constants, self._k, x, self._scale, y)

    def backward(self, top: "Blob", bottom: "Blob") -> None:
        """See `LrnOperator.backward`."""
        assert self._scale is not None, "backward before forward"
        x = self._bottom_again(bottom, self._scale.layout)
        dy, dx = self._diffs(top, bottom, x.layout)
        self._backward(*self._constants, x, self._scale, dy, dx)
