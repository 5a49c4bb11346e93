"""What every convolution kernel can do."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import numpy as np

from sscaffe.blob import Blob
from sscaffe.device import Device
from sscaffe.errors import UnsupportedError
from sscaffe.geometry import ConvGeometry
from sscaffe.proto import caffe_pb2


class Propagate(NamedTuple):
    """Which gradients a backward pass is to compute."""

    data: bool
    weights: bool
    bias: bool


class Epilogue(NamedTuple):
    """What layers after the convolution do to its top, done in the same pass."""

    add: Blob | None = None  # a blob of the top's shape that is added
    relu: bool = False  # then a rectifier of slope 0


NOTHING = Epilogue()


class ConvKernel(ABC):
    """A way to compute a convolution of one geometry.

    Parameters
    ----------
    geometry : ConvGeometry
        Sizes of one image.
    batch : int
        Number of images.
    device : Device
        Where to compute.
    dtype : dtype
        float32 or float64.
    phase : int
        TRAIN or TEST.

    Notes
    -----
    Whatever a kernel prepares from the weights carries the version of the blob, and is made again
    when that changes.
    """

    mode_name: ClassVar[str]  # as ConvolutionParameter.ConvMode spells it
    trains: ClassVar[bool] = True

    layer_name = ""  # for the log

    def __init__(
        self, geometry: ConvGeometry, batch: int, device: Device, dtype: Any, phase: int
    ) -> None:
        self.geometry, self.batch, self.device = geometry, batch, device
        self.dtype, self.phase = np.dtype(dtype), phase

    @classmethod
    def refusal(cls, geometry: ConvGeometry, phase: int) -> str | None:
        """Return why this kernel cannot run, as the sentence of an error; None if it can."""
        if phase == caffe_pb2.TRAIN and not cls.trains:
            return cls._cannot_train()
        return None

    @classmethod
    def _cannot_train(cls) -> str:
        return (
            f"conv_mode: {cls.mode_name} cannot train; "
            f"use LOWERED_GEMM in TRAIN and {cls.mode_name} in TEST"
        )

    @property
    @abstractmethod
    def description(self) -> str:
        """Which code really runs, and why where that is not what was asked for."""

    @property
    def holds_weights(self) -> bool:
        """Whether it has, after a forward pass, the weights in a form of its own."""
        return False

    @abstractmethod
    def forward(
        self,
        bottom: Blob,
        weights: Blob,
        bias: Blob | None,
        top: Blob,
        epilogue: Epilogue = NOTHING,
    ) -> None:
        """Set ``top.data``, with what `epilogue` adds."""

    def lower(self, bottom: Blob, weights: Blob) -> bool:
        """Do no more of a forward pass than lowering the bottom; False if there is no such part."""
        return False

    def _finish(self, top: Blob, epilogue: Epilogue) -> None:
        """Do as `epilogue` says to a top that is set, for kernels that cannot fuse it."""
        kernels = self.device.kernels
        if epilogue.add is not None:
            kernels.add(top.data_tensor, epilogue.add.data_tensor, 1.0)
        if epilogue.relu:
            kernels.relu_forward(top, top, 0.0)

    def backward(
        self, top: Blob, bottom: Blob, weights: Blob, bias: Blob | None, wanted: Propagate
    ) -> None:
        """Set ``bottom.diff`` and add to ``weights.diff`` and ``bias.diff``, as `wanted` says.

        Raises
        ------
        UnsupportedError
            If the kernel does not train.
        """
        raise UnsupportedError(self._cannot_train())
