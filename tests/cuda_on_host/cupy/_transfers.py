"""Copies that a GPU makes while the host goes on.

The stand-in makes them at once, but holds the host to what a GPU needs: page-locked memory stays as
it is until the host has waited for its copy, and what is copied to the host is not there before.
"""

import collections
import functools
import threading
import weakref

import numpy as np

MOST = 64  # copies of a stream that are remembered

_pinned = weakref.WeakValueDictionary()  # by address
_streams = weakref.WeakSet()
_lock = threading.RLock()  # data layers copy in threads of their own


def locked(function):
    """Let threads take turns."""

    @functools.wraps(function)
    def run(*args):
        with _lock:
            return function(*args)

    return run


class _Memory(bytearray):
    """What can be told when it is freed."""


def pinned_memory(size):
    """Return page-locked memory, in whole pages as CuPy's pool gives it."""
    memory = _Memory(-(-max(1, size) // 512) * 512)
    address = np.frombuffer(memory, np.uint8).ctypes.data
    _pinned[address] = memory
    return memoryview(memory)


class _Bytes:
    """A piece of page-locked memory, which is not held on to."""

    def __init__(self, memory, start, count):
        self._memory, self._start, self._count = weakref.ref(memory), start, count

    def get(self):
        memory = self._memory()
        if memory is None:
            raise RuntimeError(
                "page-locked memory was freed before the host waited for its copy; a GPU might "
                "have copied what somebody else wrote there, or over it"
            )
        return np.frombuffer(memory, np.uint8, self._count, self._start)

    def is_in(self, other):
        start, end = other._start, other._start + other._count
        same = self._memory() is not None and self._memory() is other._memory()
        return same and self._start < end and start < self._start + self._count


def _bytes_of(array):
    """Return the bytes of a page-locked array; None of others."""
    address = array.ctypes.data
    for start, memory in list(_pinned.items()):
        if start <= address < start + len(memory):
            return _Bytes(memory, address - start, array.nbytes)
    return None


class ToDevice:
    """A copy from page-locked memory, which may be read as late as when the host waits."""

    def __init__(self, host):
        self.host, self.before = host, host.get().copy()

    def finish(self):
        before, self.before = self.before, None
        if before is not None and not np.array_equal(self.host.get(), before):
            raise RuntimeError(
                "page-locked memory was written to before the host waited for its copy to the "
                "device; a GPU might have copied either"
            )


class ToHost:
    """A copy to the host that nobody may read until the host has waited."""

    def __init__(self, host, value):
        self.host, self.value = host, value
        host.get()[...] = 0xFF

    def finish(self):
        value, self.value = self.value, None
        if value is not None:
            self.host.get()[...] = value


class Pending:
    """The copies of a stream that the host has not waited for."""

    @locked
    def __init__(self, stream):
        self.copies = collections.deque(maxlen=MOST)
        _streams.add(stream)

    @locked
    def add(self, late):
        self.copies.append(late)

    @locked
    def set(self, array, host):
        pinned = _bytes_of(host)
        if pinned is None:
            np.copyto(array, host)
            return
        for stream in list(_streams):
            for copy in list(stream.pending.copies):
                if isinstance(copy, ToDevice) and copy.host.is_in(pinned):
                    copy.finish()
        np.copyto(array, host)
        self.copies.append(ToDevice(pinned))

    @locked
    def get(self, out, array):
        pinned = _bytes_of(out)
        if pinned is None:  # CUDA waits
            np.copyto(out, array)
        else:
            value = np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)
            self.copies.append(ToHost(pinned, value))

    @locked
    def finish(self):
        while self.copies:
            self.copies.popleft().finish()


@locked
def finish(stream):
    """Wait for a stream; the default one and all that are not non-blocking go in step."""
    others = [] if stream.non_blocking else list(_streams)
    for other in {stream, *others}:
        if other is stream or (not other.non_blocking and (stream.is_null or other.is_null)):
            other.pending.finish()


@locked
def finish_copies(copies):
    """Wait for these."""
    for copy in copies:
        copy.finish()


def finish_late(copies):
    """Do what streams have put off until now."""
    for copy in copies:
        if not isinstance(copy, ToDevice | ToHost):
            copy.finish()


@locked
def finish_all():
    """Wait for the device."""
    for stream in list(_streams):
        stream.pending.finish()
