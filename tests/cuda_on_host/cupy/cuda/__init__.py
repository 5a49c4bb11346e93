"""Devices, streams, graphs and memory of the stand-in."""

import contextlib

import numpy as np
from cupy import _transfers
from cupy._array import MemoryPointer
from cupy._call import poison
from cupy._capture import Event, Graph, Stream, get_current_stream, get_elapsed_time
from cupy.cuda import runtime

__all__ = [
    "Device", "Event", "Graph", "MemoryPointer", "MemoryPool", "PinnedMemoryPool", "Stream",
    "alloc", "alloc_pinned_memory", "get_current_stream", "get_elapsed_time", "runtime",
]  # fmt: skip


def is_available():
    return True


class Device:
    """A device; a process computes on one."""

    compute_capability = "90"
    mem_info = (64 << 30, 80 << 30)
    attributes = runtime.ATTRIBUTES

    def __init__(self, device=None):
        self.id = runtime.getDevice() if device is None else int(device)
        self.pci_bus_id = runtime.deviceGetPCIBusId(self.id)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        """Nothing to go back to."""

    def __int__(self):
        return self.id

    def __eq__(self, other):
        return isinstance(other, Device) and other.id == self.id

    def __hash__(self):
        return self.id

    def __repr__(self):
        return f"<CUDA Device {self.id}>"

    def use(self):
        runtime.setDevice(self.id)
        return self

    def synchronize(self):
        runtime.deviceSynchronize()


def alloc(size):
    return MemoryPointer(poison(np.empty(max(1, size), np.uint8)))


def alloc_pinned_memory(size):
    return _transfers.pinned_memory(size)


class MemoryPool:
    """A pool that keeps nothing."""

    def __init__(self, allocator=None):
        self._allocator = allocator or alloc
        self._limit = 0

    def malloc(self, size):
        return self._allocator(size)

    def used_bytes(self):
        return 0

    def total_bytes(self):
        return 0

    def free_bytes(self):
        return 0

    def n_free_blocks(self):
        return 0

    def free_all_blocks(self, stream=None):
        """Nothing is kept."""

    def free_all_free(self):
        """Nothing is kept."""

    def set_limit(self, size=None, fraction=None):
        self._limit = size or 0

    def get_limit(self):
        return self._limit


class PinnedMemoryPool(MemoryPool):
    """A pool of page-locked memory."""

    def __init__(self, allocator=None):
        super().__init__(allocator or alloc_pinned_memory)


_pool, _pinned_pool = MemoryPool(), PinnedMemoryPool()
_allocators = [alloc]


def get_default_memory_pool():
    return _pool


def get_default_pinned_memory_pool():
    return _pinned_pool


def set_allocator(allocator=None):
    _allocators[-1] = allocator or alloc


def set_pinned_memory_allocator(allocator=None):
    """Memory of the host is as it is."""


def get_allocator():
    return _allocators[-1]


@contextlib.contextmanager
def using_allocator(allocator=None):
    _allocators.append(allocator or alloc)
    try:
        yield
    finally:
        _allocators.pop()
