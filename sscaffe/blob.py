"""Blob, the array that flows through a net, and Param, a blob that the solver learns."""

import math
import operator
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from sscaffe.arena import Source
from sscaffe.device import Device, cpu
from sscaffe.errors import ShapeError, UnsupportedError
from sscaffe.machine import available_memory
from sscaffe.proto import caffe_pb2
from sscaffe.tensor import Shape, Tensor

Array = npt.NDArray[Any]

LARGEST_COUNT = 2**31 - 1  # Caffe counts elements in an int.

_LARGE = 2**28  # bytes; what is smaller is not worth asking the system


class Blob:
    """An N-dimensional array of values (`data`) and their gradients (`diff`).

    Parameters
    ----------
    shape : sequence of int
        The size of each axis; may hold 0, may be empty for a scalar.
    dtype : dtype
        float32 in nets; float64 in gradient checks.
    device : Device, optional
        Where the arrays live; the CPU by default.

    Raises
    ------
    ShapeError
        If a size is negative or no whole number, or the elements cannot be counted in 31 bits.
    """

    __slots__ = ("_arena", "_data", "_diff", "_shape", "device", "dtype")

    def __init__(
        self, shape: Sequence[int] = (), dtype: Any = np.float32, device: Device | None = None
    ) -> None:
        self.device = device or cpu()
        self.dtype = np.dtype(dtype)
        self._shape: Shape = ()
        self._arena: Source | None = None
        self._data = self._diff = self._new_tensor(0)
        self.reshape(*shape)

    @property
    def shape(self) -> Shape:
        """The size of each axis."""
        return self._shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self._shape)

    @property
    def count(self) -> int:
        """The number of elements."""
        return math.prod(self._shape)

    @property
    def num(self) -> int:
        """The size of axis 0 of at most four, as in the times before blobs had any number."""
        return self._legacy_size(0)

    @property
    def channels(self) -> int:
        """The size of axis 1 of at most four; 1 if there is none."""
        return self._legacy_size(1)

    @property
    def height(self) -> int:
        """The size of axis 2 of at most four; 1 if there is none."""
        return self._legacy_size(2)

    @property
    def width(self) -> int:
        """The size of axis 3 of at most four; 1 if there is none."""
        return self._legacy_size(3)

    @property
    def xp(self) -> ModuleType:
        """The array module of the blob's device."""
        return self.device.xp

    @property
    def data(self) -> Array:
        """The values, a live NumPy array; whoever asks for it is taken to write to it."""
        return self._data.host_write().reshape(self._shape)

    @property
    def diff(self) -> Array:
        """The gradients, a live NumPy array; whoever asks for it is taken to write to it."""
        return self._diff.host_write().reshape(self._shape)

    @property
    def host_data(self) -> Array:
        """The values as a NumPy array, to be read only."""
        return self._data.host_read().reshape(self._shape)

    @property
    def host_diff(self) -> Array:
        """The gradients as a NumPy array, to be read only."""
        return self._diff.host_read().reshape(self._shape)

    @property
    def const_data(self) -> Array:
        """The values on the device, to be read only."""
        return self._data.read().reshape(self._shape)

    @property
    def const_diff(self) -> Array:
        """The gradients on the device, to be read only."""
        return self._diff.read().reshape(self._shape)

    @property
    def mutable_data(self) -> Array:
        """The values on the device, to be read and written."""
        return self._data.write().reshape(self._shape)

    @property
    def mutable_diff(self) -> Array:
        """The gradients on the device, to be read and written."""
        return self._diff.write().reshape(self._shape)

    @property
    def data_tensor(self) -> Tensor:
        """The values with their layouts, for kernels."""
        return self._data

    @property
    def diff_tensor(self) -> Tensor:
        """The gradients with their layouts, for kernels."""
        return self._diff

    @property
    def data_version(self) -> int:
        """A number that changes whenever `data` may have changed."""
        return self._data.version

    def new_data(self) -> Array:
        """Return an array of the device for `data`; the caller will set every element."""
        return self._data.overwrite().reshape(self._shape)

    def new_diff(self) -> Array:
        """Return an array of the device for `diff`; the caller will set every element."""
        return self._diff.overwrite().reshape(self._shape)

    def set_data(self, values: Any) -> None:
        """Overwrite `data` with values that broadcast to its shape."""
        self._set(self._data, values)

    def set_diff(self, values: Any) -> None:
        """Overwrite `diff` with values that broadcast to its shape."""
        self._set(self._diff, values)

    def clear_diff(self) -> None:
        """Set `diff` to 0."""
        self._diff.clear()

    def reshape(self, *shape: int) -> None:
        """Change the shape; the elements are kept where their number is.

        Raises
        ------
        ShapeError
            If a size is negative or no whole number, or the elements cannot be counted in 31 bits,
            or take more memory than is free.
        """
        if shape == self._shape and self._data.count:
            return
        try:
            sizes = tuple(operator.index(size) for size in shape)
        except TypeError:
            raise ShapeError(
                f"shape: expected whole numbers, as in reshape(1, 3, 24, 24), got {shape}"
            ) from None
        if any(size < 0 for size in sizes):
            raise ShapeError(f"shape: expected sizes of 0 or more, got {sizes}")
        count = math.prod(sizes)
        if count > LARGEST_COUNT:
            raise ShapeError(f"shape: {sizes} has {count} elements; a blob holds at most 2^31 - 1")
        if count != self._data.count:
            self._require_memory(sizes, count * self.dtype.itemsize)
        self._shape = sizes
        if count != self._data.count:
            self._hold(self._new_tensor(count, self._arena))
            self._diff = self._new_tensor(count)

    def draw_from(self, arena: Source) -> None:
        """Take the memory of `data` from an arena from now on; the values are lost.

        Warns if somebody holds an array of them, which nothing will write to any more.
        """
        if self.dtype == np.float32 and self.xp is np:
            if self._data.is_held:
                warnings.warn(
                    f"compact: an array of a blob of shape {self.shape} that you hold will not "
                    "change any more; name the blob in keep to go on reading it",
                    RuntimeWarning,
                    stacklevel=5,
                )
            self._arena = arena
            self._hold(self._new_tensor(self._data.count, arena))
            self._data.release()

    def reshape_like(self, other: "Blob") -> None:
        """Take the shape of another blob."""
        self.reshape(*other.shape)

    def share_data(self, other: "Blob") -> None:
        """Make `data` the same array as that of another blob with as many elements."""
        self._require_count(other)
        self._hold(other._data)

    def share_diff(self, other: "Blob") -> None:
        """Make `diff` the same array as that of another blob with as many elements."""
        self._require_count(other)
        self._diff = other._diff

    def alias(self) -> "Blob":
        """Return a blob of the same data that moves it to other layouts by itself; to be read."""
        other = Blob((), self.dtype, self.device)
        other._shape, other._data = self._shape, self._data.alias()
        return other

    def exchange(self, other: "Blob") -> None:
        """Exchange shape, data and diff with another blob, neither of which is from an arena."""
        mine, its = (self._shape, self._data, self._diff), (other._shape, other._data, other._diff)
        (other._shape, other._data, other._diff), (self._shape, self._data, self._diff) = mine, its
        self._data.leave()
        other._data.leave()

    def swapped(self) -> "Blob":
        """Return a blob whose data are the gradients of this one, and the other way round."""
        other = Blob(self._shape, self.dtype, self.device)
        other._data, other._diff = self._diff, self._data
        return other

    def publish(self) -> None:
        """Bring arrays of this blob that somebody outside still holds up to date."""
        self._data.publish()
        self._diff.publish()

    def _hold(self, data: Tensor) -> None:
        self._data.leave()
        self._data = data

    def _set(self, tensor: Tensor, values: Any) -> None:
        """Overwrite a tensor where the values are, on the host or on the device."""
        is_list = not isinstance(values, np.ndarray) and isinstance(values, Sequence)
        on_host = np.ndim(values) > 0 if is_list else isinstance(values, np.ndarray) and values.ndim
        array = tensor.host_overwrite() if on_host else tensor.overwrite()
        array.reshape(self._shape)[...] = values

    def _new_tensor(self, count: int, arena: Source | None = None) -> Tensor:
        if self.xp is np:
            return Tensor(count, self.dtype, self.xp, arena)
        from sscaffe.device_tensor import DeviceTensor

        return DeviceTensor(count, self.dtype, self.xp)

    def _legacy_size(self, axis: int) -> int:
        if self.ndim > 4:
            raise UnsupportedError(
                f"num, channels, height, width: a blob of {self.ndim} axes has no such; use shape"
            )
        return self._shape[axis] if axis < self.ndim else 1

    def _require_memory(self, sizes: Shape, size: int) -> None:
        """Refuse what does not fit: where memory is promised freely, the process would be ended."""
        if size < _LARGE or self.xp is not np:
            return
        available = available_memory()
        if available is not None and size > available:
            raise ShapeError(
                f"shape: {sizes} takes {size / 1e9:.1f} GB, and {available / 1e9:.1f} GB of memory "
                "are free; use a smaller batch_size, or fewer or smaller outputs"
            )

    def _require_count(self, other: "Blob") -> None:
        if other.count != self.count:
            raise ShapeError(f"sharing: expected a blob of shape {self.shape}, got {other.shape}")

    def __repr__(self) -> str:
        return f"Blob{self._shape}"


@dataclass
class Param:
    """A learnable blob: how fast it learns, how it decays, what of it is disconnected.

    The solver sees the blob as a matrix: one row for each filter or neuron (its first axis), one
    column for everything else. A blob of one axis is N x 1, a scalar 1 x 1.
    """

    blob: Blob
    layer_name: str
    index: int  # in the layer's blobs
    spec: caffe_pb2.ParamSpec = field(default_factory=caffe_pb2.ParamSpec)
    group: int = 1  # of the convolution that owns it
    kernel_count: int = 1  # columns of one input channel: kh * kw, or h * w of a flattened bottom
    learns: bool = True  # False for statistics, such as those of BatchNorm
    mask: Array | None = None  # bool, shape of the blob; False where disconnected

    @property
    def name(self) -> str:
        """Layer name and what the blob is, such as ``conv1 weight``."""
        kinds = ("weight", "bias")
        kind = kinds[self.index] if self.index < len(kinds) else f"blob {self.index}"
        return f"{self.layer_name} {kind}"

    @property
    def matrix_shape(self) -> tuple[int, int]:
        """Rows and columns of the matrix view."""
        shape = self.blob.shape
        rows = shape[0] if shape else 1
        return rows, self.blob.count // rows if rows else 0

    @property
    def xp(self) -> ModuleType:
        """The array module of the blob's device."""
        return self.blob.xp

    @property
    def shape(self) -> Shape:
        """The shape of the blob."""
        return self.blob.shape

    @property
    def data(self) -> Array:
        """`Blob.data`."""
        return self.blob.data

    @property
    def diff(self) -> Array:
        """`Blob.diff`: the gradient, and after the solver's rule the update."""
        return self.blob.diff

    @property
    def host_data(self) -> Array:
        """`Blob.host_data`."""
        return self.blob.host_data

    @property
    def const_data(self) -> Array:
        """`Blob.const_data`."""
        return self.blob.const_data

    @property
    def const_diff(self) -> Array:
        """`Blob.const_diff`."""
        return self.blob.const_diff

    @property
    def mutable_data(self) -> Array:
        """`Blob.mutable_data`."""
        return self.blob.mutable_data

    @property
    def mutable_diff(self) -> Array:
        """`Blob.mutable_diff`."""
        return self.blob.mutable_diff

    @property
    def lr_mult(self) -> float:
        """The multiplier of the learning rate."""
        return float(self.spec.lr_mult)

    @property
    def decay_mult(self) -> float:
        """The multiplier of the weight decay."""
        return float(self.spec.decay_mult)
