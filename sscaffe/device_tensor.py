"""One array on a GPU, with a copy on the host that is made when somebody asks for it.

Layers and kernels see the array of the device; the host's copy is what Python users read and write,
as with Caffe's SyncedMemory. Copies are made only when a stale place is asked for.
"""

import zlib
from types import ModuleType
from typing import Any

import numpy as np

from sscaffe import _core
from sscaffe.arena import Source
from sscaffe.errors import UnsupportedError
from sscaffe.kernels.gpu_runtime import Event, pinned, to_device, to_host
from sscaffe.tensor import Array, Fresh, Tensor


class DeviceTensor(Tensor):
    """A value with a place on the device and one on the host.

    Parameters
    ----------
    count, dtype, xp, arena
        As `Tensor` takes them; memory comes from CuPy's pool, whatever the arena.

    Notes
    -----
    An array of the host that somebody holds may be written to at any time, until he lets go of it.
    Such a tensor trusts its host place over that of the device, as `Tensor` trusts the plain one.
    """

    __slots__ = ("_host", "_host_is_fresh", "_upload_done")

    def __init__(self, count: int, dtype: Any, xp: ModuleType, arena: Source | None = None) -> None:
        super().__init__(count, dtype, xp)
        self._host: Array | None = None
        self._host_is_fresh = False
        self._upload_done: Event | None = None  # None where none is on its way

    def __del__(self) -> None:
        # The host's memory may be given to somebody else.
        self._wait()

    def read(self) -> Array:
        """Return the device's array, flat, to be read only."""
        if self._fresh is Fresh.ZERO:
            self._plain_array().fill(0)
            self._fresh, self._host_is_fresh = Fresh.PLAIN, False
        elif self._fresh is Fresh.GONE:
            raise UnsupportedError(
                "data: Net.compact() has let go of it; name a blob in its keep, and read or "
                "save weights before it"
            )
        elif self._fresh is Fresh.NATIVE:  # on the host alone
            self._upload()
        elif self._host_is_fresh and (self._copied_while_held or self._is_held()):
            self._version += 1
            self._upload()
        return self._plain_array()

    def write(self) -> Array:
        """Return the device's array, flat, to be read and written."""
        array = self.read()
        self._host_is_fresh = False
        self._version += 1
        return array

    def overwrite(self) -> Array:
        """Return the device's array, flat, every element of which the caller will set."""
        self._fresh, self._host_is_fresh = Fresh.PLAIN, False
        self._version += 1
        return self._plain_array()

    def host_read(self) -> Array:
        """Return the host's array, flat, to be read only."""
        if self._fresh is Fresh.ZERO:
            self._wait()
            self._host_array()[...] = 0
            self._fresh, self._host_is_fresh = Fresh.NATIVE, True
        elif not self._host_is_fresh:
            self._wait()
            to_host(self.read(), self._host_array())
            self._host_is_fresh, self._copied_while_held = True, self._is_held()
        return self._host_array()

    def host_write(self) -> Array:
        """Return the host's array, flat, to be read and written."""
        array = self.host_read()
        self._wait()
        self._fresh = Fresh.NATIVE
        self._version += 1
        return array

    def host_overwrite(self) -> Array:
        """Return the host's array, flat, every element of which the caller will set."""
        self._wait()
        self._fresh, self._host_is_fresh = Fresh.NATIVE, True
        self._version += 1
        return self._host_array()

    def clear(self) -> None:
        """Set every element to 0, without touching memory until somebody looks."""
        self._fresh, self._host_is_fresh = Fresh.ZERO, False
        self._version += 1

    def release(self) -> None:
        """Let go of the memory; the value is gone until somebody writes another one."""
        self._wait()
        self._plain, self._host, self._host_is_fresh = None, None, False
        self._fresh = Fresh.GONE

    def keep_native_only(self) -> None:
        """Do nothing: there is one layout."""

    @property
    def version(self) -> int:
        """A number that changes whenever the value may have changed."""
        if self._host_is_fresh and (self._is_held() or self._checked_while_held):
            self._checked_while_held = self._is_held()
            checksum = zlib.crc32(self._host_array().data.cast("B"))
            if checksum != self._checksum:
                self._checksum = checksum
                self._version += 1
        return self._version

    @property
    def has_device_array(self) -> bool:
        """Whether there is memory on the device, fresh or not."""
        return self._plain is not None

    @property
    def has_host_array(self) -> bool:
        """Whether there is a copy on the host, fresh or not."""
        return self._host is not None

    @property
    def is_plain(self) -> bool:
        """Whether the value is on the device already."""
        return self._fresh is Fresh.PLAIN

    @property
    def fresh(self) -> Fresh:
        """Which place holds the value; NATIVE stands for the host alone."""
        return self._fresh

    def set_fresh(self, fresh: Fresh, native: _core.Memory | None = None) -> None:
        """Say which place holds the value, after a graph that went past this tensor."""
        self._fresh, self._host_is_fresh = fresh, False
        self._version += 1

    def alias(self) -> "Tensor":
        """Return this tensor: there are no other layouts."""
        return self

    def take_from(self, other: "Tensor") -> None:
        """Take over the memory of another tensor, whose value is lost there."""
        self._plain, self._fresh = other.read(), Fresh.PLAIN
        self._host_is_fresh = False
        self._version += 1
        other.release()

    def publish(self) -> None:
        """Bring an array of the host that somebody still holds up to date."""
        if not self._host_is_fresh and self._is_held():
            self.host_read()

    def _upload(self) -> None:
        self._copied_while_held = self._is_held()
        host, self._fresh = self._host_array(), Fresh.PLAIN
        to_device(host, self._plain_array())
        self._upload_done = Event()
        if self._copied_while_held:
            self._wait()

    def _wait(self) -> None:
        """Let the device have read the host's array before anybody writes to it again."""
        if self._upload_done is not None:
            self._upload_done.wait()
            self._upload_done = None

    def _host_array(self) -> Array:
        if self._host is None:
            self._host = pinned(self.count, self.dtype)
        return self._host

    def _is_held(self) -> bool:
        return self._host is not None and self._references() > _OWN_REFERENCES

    def _references(self) -> int:
        return _count_references(self._host)


def _count_references(array: Any) -> int:
    import sys

    return sys.getrefcount(array)


class _Owner:
    """Holds an array as a tensor does."""

    def __init__(self) -> None:
        self.array = np.frombuffer(bytearray(4), np.float32)

    def references(self) -> int:
        return _count_references(self.array)


_OWN_REFERENCES = _Owner().references()
