"""Arrays of the host that go to the device on a stream of their own, while it computes."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from sscaffe.kernels.gpu_runtime import pinned, traffic, xp

Array = npt.NDArray[Any]


class Feed:
    """See `sscaffe.kernels.Feed`: one array is filled and copied while the other is read."""

    def __init__(self) -> None:
        self._device = xp.cuda.runtime.getDevice()
        self._stream = xp.cuda.Stream(non_blocking=True)
        self._slots = itertools.cycle([Slot(), Slot()])

    def stage(
        self, shape: tuple[int, ...], dtype: Any, fill: Callable[[Array], None]
    ) -> Callable[[Array], None]:
        """See `sscaffe.kernels.Feed.stage`."""
        with xp.cuda.Device(self._device), self._stream:
            slot = next(self._slots)
            slot.copy(shape, np.dtype(dtype), fill, self._stream)
        return slot.copy_to


class Slot:
    """A page-locked array, its copy on the device, and who is done with them."""

    def __init__(self) -> None:
        self._host: Array | None = None
        self._array: Any = None
        self._copied = xp.cuda.Event(disable_timing=True)
        self._read = xp.cuda.Event(disable_timing=True)

    def __del__(self) -> None:
        # The memory of the host may be given to somebody else.
        self._copied.synchronize()

    def copy(
        self,
        shape: tuple[int, ...],
        dtype: "np.dtype[Any]",
        fill: Callable[[Array], None],
        stream: Any,
    ) -> None:
        """Let `fill` set the array, and start to copy it."""
        self._copied.synchronize()  # The last copy from this memory, and
        self._read.synchronize()  # the last use of what was copied.
        count = int(np.prod(shape))
        if self._host is None or self._host.size != count or self._host.dtype != dtype:
            self._host, self._array = pinned(count, dtype), xp.empty(count, dtype)
        fill(self._host.reshape(shape))
        self._array.set(self._host)
        traffic.to_device += 1
        traffic.bytes += self._host.nbytes
        self._copied.record(stream)

    def copy_to(self, out: Array) -> None:
        """Set an array of the device, on the current stream."""
        stream = xp.cuda.get_current_stream()
        stream.wait_event(self._copied)
        out.reshape(-1)[...] = self._array
        self._read.record(stream)
