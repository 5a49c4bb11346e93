"""Passes over one or two arrays on the GPU, the sum of squares, and dropout."""

from typing import TYPE_CHECKING, Any

import numpy as np

from sscaffe.kernels.gpu_runtime import launch_each, to_device, to_host, xp

if TYPE_CHECKING:
    from sscaffe.blob import Blob
    from sscaffe.tensor import Tensor

_FILE = "elementwise.cu"
_LARGEST = 4294967295  # of a 32-bit draw


def launch_packs(
    file: str, kernel: str, count: int, arguments: tuple[Any, ...], dtype: Any
) -> None:
    """Run a kernel that takes `count` elements, four a thread; it gets both numbers first."""
    launch_each(file, kernel, -(-count // 4), (count, *arguments), dtype)


def source_and_target(source: "Tensor", target: "Tensor") -> tuple[Any, Any]:
    """Return the arrays of two tensors, which may be one: to be read, and to be overwritten."""
    if source is target:
        array = source.write()
        return array, array
    return source.read(), target.overwrite()


def relu_forward(bottom: "Blob", top: "Blob", negative_slope: float) -> None:
    """See `Kernels.relu_forward`."""
    x, y = source_and_target(bottom.data_tensor, top.data_tensor)
    launch_packs(_FILE, "relu_forward", bottom.count, (x, y, float(negative_slope)), bottom.dtype)


def relu_backward(top: "Blob", bottom: "Blob", negative_slope: float) -> None:
    """See `Kernels.relu_backward`."""
    dy, dx = source_and_target(top.diff_tensor, bottom.diff_tensor)
    arguments = bottom.data_tensor.read(), dy, dx, float(negative_slope)
    launch_packs(_FILE, "relu_backward", bottom.count, arguments, bottom.dtype)


def add(total: "Tensor", term: "Tensor", factor: float) -> None:
    """See `Kernels.add`."""
    arguments = term.read(), total.write(), float(factor)
    launch_packs(_FILE, "add_scaled", total.count, arguments, total.dtype)


def scale(tensor: "Tensor", factor: float) -> None:
    """See `Kernels.scale`."""
    launch_packs(_FILE, "scale", tensor.count, (tensor.write(), float(factor)), tensor.dtype)


def threshold(tensor: "Tensor", limit: float) -> None:
    """See `Kernels.threshold`."""
    launch_packs(_FILE, "threshold", tensor.count, (tensor.write(), float(limit)), tensor.dtype)


def multiply(source: "Tensor", factors: "Tensor", out: "Tensor") -> None:
    """See `Kernels.multiply`."""
    other = factors.read()
    x, y = source_and_target(source, out)
    launch_packs(_FILE, "multiply", out.count, (x, other, y), out.dtype)


class Dropout:
    """Zero elements at random and scale up the rest; backward does the same to the gradient.

    The generator's place in its stream lies on the device and goes on with each forward pass, so
    that a captured graph draws anew whenever it is replayed.

    Parameters
    ----------
    count : int
        Elements of the blobs.
    dtype : dtype
        Of the blobs.
    seed : int
        Of the stream.
    ratio : float
        The chance of each element to become 0, less than 1.
    """

    def __init__(self, count: int, dtype: Any, seed: int, ratio: float) -> None:
        self._count, self._dtype = count, np.dtype(dtype)
        self._most = np.uint32(np.float64(1 - ratio) * _LARGEST)
        self._factor = 1 / (1 - ratio)
        self.state = to_device(np.array([seed, 0], np.int64))  # seed and step
        self._kept = xp.zeros(-(-count // 4) * 4, np.uint8)  # whole packs
        self._arrived = xp.zeros(1, np.int32)

    @property
    def mask(self) -> Any:
        """An array of uint8 on the device: 1 where an element was kept."""
        return self._kept[: self._count]

    def forward(self, bottom: "Blob", top: "Blob") -> None:
        """Draw a mask and set ``top.data``; the blobs may be one."""
        x, y = source_and_target(bottom.data_tensor, top.data_tensor)
        arguments = x, y, self._kept, self.state, self._arrived, self._most, self._factor
        launch_packs(_FILE, "dropout_forward", self._count, arguments, self._dtype)

    def backward(self, top: "Blob", bottom: "Blob") -> None:
        """Set ``bottom.diff`` from ``top.diff``, after a forward pass."""
        dy, dx = source_and_target(top.diff_tensor, bottom.diff_tensor)
        arguments = dy, self._kept, dx, self._factor
        launch_packs(_FILE, "dropout_backward", self._count, arguments, self._dtype)

    def get_state(self) -> tuple[int, int]:
        """See `DropoutOperator.get_state`."""
        seed, step = to_host(self.state)
        return int(seed), int(step)

    def set_state(self, seed: int, step: int) -> None:
        """See `DropoutOperator.set_state`."""
        # Into the same array, which passes that are recorded go on using.
        to_device(np.array([seed, step], np.int64), self.state)
