"""What every convolution kernel can do."""

from typing import Any

from sscaffe.blob import Blob
from sscaffe.device import Device
from sscaffe.geometry import ConvGeometry
from sscaffe.proto import caffe_pb2
from sscaffe.weighted.base import WeightedKernel


class ConvKernel(WeightedKernel):
    """A way to compute a convolution of one geometry.

    Parameters
    ----------
    geometry : ConvGeometry
        Sizes of one image.
    batch : int
        Number of images.
    device, dtype, phase
        As `WeightedKernel` takes them.
    """

    def __init__(
        self, geometry: ConvGeometry, batch: int, device: Device, dtype: Any, phase: int
    ) -> None:
        super().__init__(device, dtype, phase)
        self.geometry, self.batch = geometry, batch

    @classmethod
    def refusal(cls, geometry: ConvGeometry, phase: int) -> str | None:
        """Return why this kernel cannot run, as the sentence of an error; None if it can."""
        if phase == caffe_pb2.TRAIN and not cls.trains:
            return cls.cannot_train()
        return None

    @classmethod
    def cannot_train(cls) -> str:
        """Return the sentence that refuses a backward pass."""
        return (
            f"conv_mode: {cls.mode_name} cannot train; "
            f"use LOWERED_GEMM in TRAIN and {cls.mode_name} in TEST"
        )

    def lower(self, bottom: Blob, weights: Blob) -> bool:
        """Do no more of a forward pass than lowering the bottom; False if there is no such part."""
        return False
