"""Where gradients of several ranks become their means: on the host by MPI, or on GPUs by NCCL."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from sscaffe import _core
from sscaffe.blob import Array, Blob
from sscaffe.device import Device
from sscaffe.glog import logger
from sscaffe.parallel.world import Sum, World
from sscaffe.tensor import Tensor

if TYPE_CHECKING:
    from sscaffe.kernels.gpu_nccl import Nccl

_MOST = 1.25  # times its elements that a layout may take in memory
_BOOT = Path("/proc/sys/kernel/random/boot_id")  # another one on each machine


class Means(Protocol):
    """Makes means over the ranks of arrays that lie in one kind of memory."""

    needs_agreement: bool
    """Whether `agree` is to be called before the first `own`."""

    def agree(self, blobs: Sequence[Blob]) -> None:
        """Agree with the other ranks on how the gradients of these blobs lie."""

    def buffer(self, count: int) -> Array:
        """Return memory for other arrays, every element 0."""

    def own(self, blob: Blob) -> Array:
        """Return all of the memory of a blob's gradient, which is on other ranks alike."""

    def read(self, tensor: Tensor) -> Array:
        """Return an array, flat, to be read."""

    def overwrite(self, tensor: Tensor) -> Array:
        """Return an array, flat, to be set."""

    def start(self, array: Array) -> Sum:
        """Begin to replace an array by its mean; see `World.start_sum`."""


class HostMeans:
    """Means by MPI, in the memory of the host."""

    def __init__(self, world: World, device: Device) -> None:
        self._world, self._on_gpu = world, not device.is_cpu
        self.needs_agreement = device.is_cpu
        self._layouts: dict[int, _core.Layout] = {}

    def agree(self, blobs: Sequence[Blob]) -> None:
        """See `Means.agree`: where all ranks have a gradient in the same layout, it stays there."""
        layouts = [blob.diff_tensor.memory(blob.shape).layout for blob in blobs]
        forms = self._world.gather([layout.form for layout in layouts])
        for blob, layout, *found in zip(blobs, layouts, *forms, strict=True):
            alike = found[0] is not None and all(form == found[0] for form in found)
            fits = alike and layout.stored <= _MOST * layout.count
            self._layouts[id(blob)] = layout if fits else _core.Layout(blob.shape)
        self.needs_agreement = False

    def buffer(self, count: int) -> Array:
        """See `Means.buffer`."""
        return np.zeros(count, np.float32)

    def own(self, blob: Blob) -> Array:
        """See `Means.own`."""
        if self._on_gpu:
            return blob.diff_tensor.host_write()
        return blob.diff_tensor.memory_in(self._layouts[id(blob)], blob.shape).values

    def read(self, tensor: Tensor) -> Array:
        """See `Means.read`."""
        return tensor.host_read()

    def overwrite(self, tensor: Tensor) -> Array:
        """See `Means.overwrite`."""
        return tensor.host_overwrite()

    def start(self, array: Array) -> Sum:
        """See `Means.start`."""
        return _HostMean(self._world.start_sum(array), array, self._world.size)


class _HostMean:
    """A sum that is divided when it is there."""

    def __init__(self, one: Sum, array: Array, size: int) -> None:
        self.progress, self._sum, self._array, self._size = one.progress, one, array, size

    def wait(self) -> None:
        self._sum.wait()
        memory = _core.Memory(self._array, self._array.shape)
        _core.memory_scale(1 / self._size, memory)


class GpuMeans:
    """Means by NCCL, in the memory of GPUs."""

    needs_agreement = False

    def __init__(self, nccl: "Nccl", device: Device) -> None:
        self._nccl, self._xp = nccl, device.xp

    def agree(self, blobs: Sequence[Blob]) -> None:
        """Do nothing: there is one layout."""

    def buffer(self, count: int) -> Array:
        """See `Means.buffer`."""
        zeros: Array = self._xp.zeros(count, np.float32)
        return zeros

    def own(self, blob: Blob) -> Array:
        """See `Means.own`."""
        return blob.diff_tensor.write()

    def read(self, tensor: Tensor) -> Array:
        """See `Means.read`."""
        return tensor.read()

    def overwrite(self, tensor: Tensor) -> Array:
        """See `Means.overwrite`."""
        return tensor.overwrite()

    def start(self, array: Array) -> Sum:
        """See `Means.start`."""
        return self._nccl.start_mean(array)


def nccl_of(world: World, device: Device) -> "Nccl | None":
    """Let the GPUs of all ranks meet by NCCL, if each has one; the log says so, or why not.

    Raises
    ------
    SscaffeError
        If they do not.
    """
    found = world.gather(_facts(device))
    if all(fact["gpu"] is None for fact in found):
        return None
    if reason := why_not(found):
        logger.info("Gradients of GPUs are added up on the host, by MPI: %s", reason)
        return None
    from sscaffe.kernels import gpu_nccl

    logger.info("Gradients of GPUs are added up by NCCL %s", found[0]["version"])
    identity = world.broadcast(gpu_nccl.unique_id() if world.is_first else None)
    return gpu_nccl.Nccl(world.size, world.rank, identity)


def _facts(device: Device) -> dict[str, Any]:
    """Return what other ranks need to know of this one's GPU."""
    if device.is_cpu:
        return {"gpu": None}
    from sscaffe.kernels import gpu_nccl
    from sscaffe.kernels.gpu_runtime import bus_id

    machine = _BOOT.read_text().strip() if _BOOT.exists() else os.uname().nodename
    missing = gpu_nccl.missing()
    version = "" if missing else gpu_nccl.version()
    return {"gpu": (machine, bus_id()), "missing": missing, "version": version}


def why_not(found: Sequence[dict[str, Any]]) -> str:
    """Return why ranks of which these are the facts cannot use NCCL; empty if they can."""
    for rank, fact in enumerate(found):
        if fact["gpu"] is None:
            return f"rank {rank} computes on the CPU"
        if fact["missing"]:
            return f"on rank {rank}, {fact['missing']}"
        if fact["version"] != found[0]["version"]:
            return f"rank {rank} has NCCL {fact['version']}, rank 0 has {found[0]['version']}"
    users: dict[Any, int] = {}
    for rank, fact in enumerate(found):
        other = users.setdefault(fact["gpu"], rank)
        if other != rank:
            return f"ranks {other} and {rank} share the GPU {fact['gpu'][1]}"
    return ""
