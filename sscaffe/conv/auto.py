"""The conv_mode that chooses by itself."""

from typing import Any

from sscaffe.conv.base import ConvKernel
from sscaffe.conv.direct_dense import DirectDense
from sscaffe.conv.direct_sparse import DirectSparse
from sscaffe.conv.lowered import LoweredCcnmm, LoweredCsrmm
from sscaffe.device import Device
from sscaffe.geometry import ConvGeometry
from sscaffe.weighted.auto import AutoKernel
from sscaffe.weighted.base import WeightedKernel
from sscaffe.weighted.choice import Zeros

_FEW_CHANNELS = 4  # of which dense kernels fill no vector; what reads elements one by one gains


class Auto(AutoKernel, ConvKernel):
    """See `AutoKernel`."""

    def __init__(
        self, geometry: ConvGeometry, batch: int, device: Device, dtype: Any, phase: int
    ) -> None:
        super().__init__(geometry, batch, device, dtype, phase)
        self._start(geometry.group, batch)

    def _make_dense(self) -> WeightedKernel:
        return DirectDense(self.geometry, self.batch, self.device, self.dtype, self.phase)

    def _work(self) -> str:
        return f"Convolution {self.batch} x {self.geometry}"

    def _set_batch(self, batch: int) -> None:
        self.batch = batch

    def _candidates(self, zeros: Zeros) -> dict[str, WeightedKernel]:
        classes: list[type[ConvKernel]] = []
        channels = self.geometry.in_channels // self.geometry.group
        if zeros.kept < 0.95 or (zeros.density < 1 and channels <= _FEW_CHANNELS):
            classes.append(LoweredCcnmm)
        if zeros.density < 0.65:
            classes.append(DirectSparse if len(self.geometry.input) == 2 else LoweredCsrmm)
        kernels: dict[str, WeightedKernel] = {DirectDense.mode_name: self._dense}
        for kernel in classes:
            kernels[kernel.mode_name] = kernel(
                self.geometry, self.batch, self.device, self.dtype, self.phase
            )
        return kernels
