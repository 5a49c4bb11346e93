"""What every kernel can do that multiplies by weights."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import numpy as np

from sscaffe.blob import Blob
from sscaffe.device import Device
from sscaffe.errors import UnsupportedError


class Propagate(NamedTuple):
    """Which gradients a backward pass is to compute."""

    data: bool
    weights: bool
    bias: bool


class Epilogue(NamedTuple):
    """What the layers that follow do to the top, done in the same pass."""

    add: Blob | None = None  # a blob of the top's shape that is added
    relu: bool = False  # then a rectifier of slope 0
    takes: bool = False  # the memory of `add`, which nobody reads afterwards


NOTHING = Epilogue()


class WeightedKernel(ABC):
    """A way to compute a layer of one size.

    Parameters
    ----------
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

    mode_name: ClassVar[str]  # as the prototxt spells it
    trains: ClassVar[bool] = True

    layer_name = ""  # for the log
    hands_on_native = False  # whether who reads the top is faster in the dense kernel's layout
    is_repeated = False  # whether a compact net runs it without a call from Python for each layer

    def __init__(self, device: Device, dtype: Any, phase: int) -> None:
        self.device, self.dtype, self.phase = device, np.dtype(dtype), phase

    @classmethod
    @abstractmethod
    def cannot_train(cls) -> str:
        """Return the sentence that refuses a backward pass."""

    @property
    @abstractmethod
    def description(self) -> str:
        """Which code really runs, and why where that is not what was asked for."""

    @property
    def holds_weights(self) -> bool:
        """Whether it has, after a forward pass, the weights in a form of its own."""
        return False

    @property
    def replays(self) -> bool:
        """Whether forward does nothing but ask kernels by `sscaffe.kernels.tape.run`."""
        return False

    def be_repeated(self) -> None:
        """Know that a compact net runs it from now on."""
        self.is_repeated = True

    def resize(self, batch: int) -> bool:
        """Go on with another number of images and the same weights; False if it cannot."""
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

    def backward(
        self, top: Blob, bottom: Blob, weights: Blob, bias: Blob | None, wanted: Propagate
    ) -> None:
        """Set ``bottom.diff`` and add to ``weights.diff`` and ``bias.diff``, as `wanted` says.

        Raises
        ------
        UnsupportedError
            If the kernel does not train.
        """
        raise UnsupportedError(self.cannot_train())

    def _finish(self, top: Blob, epilogue: Epilogue) -> None:
        """Do as `epilogue` says to a top that is set, for kernels that cannot fuse it."""
        kernels = self.device.kernels
        if epilogue.add is not None:
            kernels.add(top.data_tensor, epilogue.add.data_tensor, 1.0)
        if epilogue.relu:
            kernels.relu_forward(top, top, 0.0)
