"""The road to a CUDA device: CuPy, own kernels from `sscaffe/kernels/cuda`, copies, streams.

Nothing else imports CuPy. Copies between host and device go through `to_device` and `to_host`
alone, which count them.
"""

import functools
import statistics
import threading
import time
import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cupy
import numpy as np
import numpy.typing as npt

from sscaffe.errors import UnsupportedError

Array = npt.NDArray[Any]
xp: Any = cupy

FOLDER = Path(__file__).with_name("cuda")
BLOCK = 256  # threads, where a kernel takes one element each
_TICKS = 300_000  # of the device's clock, some 150 us: in which the host queues one function
_TICKS_PER_SECOND = 2.2e9  # at most
_MOST_TICKS = 40_000_000  # a first round may compile, and a full queue makes the host wait
MOST_DOWN = 65535  # blocks on the second axis of a grid, as CUDA has it
_MOST_BLOCKS = 1 << 16  # kernels of one element a thread go on with a stride


@dataclass
class Traffic:
    """Copies between host and device since the start of the process."""

    to_device: int = 0
    to_host: int = 0
    bytes: int = 0


traffic = Traffic()


@dataclass
class Settings:
    """How GPUs compute, for the whole process."""

    allow_tf32: bool = False  # matrix units round float32 to 10 bits: faster, not as exact


settings = Settings()
# NVIDIA's libraries have one handle for all threads: held from when it is set to a stream until it
# was called.
library_lock = threading.RLock()
_OR_CPU = "to compute on the CPU, leave --gpu out, or set solver_mode: CPU"


def use(index: int) -> None:
    """Make a GPU the one that this thread computes on.

    Raises
    ------
    UnsupportedError
        If there is no such GPU, or no driver.
    """
    there_are = count(index)
    if not 0 <= index < there_are:
        raise UnsupportedError(
            f"gpu {index}: expected a number below {there_are}, the GPUs here; {_OR_CPU}"
        )
    xp.cuda.Device(index).use()


def count(wanted: int = 0) -> int:
    """Return how many GPUs there are, where one is wanted.

    Raises
    ------
    UnsupportedError
        If there is no driver.
    """
    try:
        return int(xp.cuda.runtime.getDeviceCount())
    except xp.cuda.runtime.CUDARuntimeError as error:
        raise UnsupportedError(
            f"gpu {wanted}: no GPU can be reached ({error}); sscaffe device_query says what is "
            f"missing; {_OR_CPU}"
        ) from error


def enter(index: int) -> None:
    """Let this thread go on with a GPU that `use` was called for, maybe by another thread."""
    if xp.cuda.runtime.getDevice() != index:
        xp.cuda.Device(index).use()


def place() -> str:
    """Return the name of the GPU, with the versions that its speed depends on."""
    runtime = xp.cuda.runtime
    name = runtime.getDeviceProperties(runtime.getDevice())["name"].decode()
    return f"{name}, CUDA {runtime.runtimeGetVersion()}, tf32 {settings.allow_tf32}"


def bus_id() -> str:
    """Return the place of the GPU in its machine, such as ``0000:0A:00.0``."""
    found: str = xp.cuda.Device().pci_bus_id
    return found


def nccl() -> Any:
    """Return CuPy's module for NCCL; its `available` tells whether the library was found."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it was not found
        from cupy.cuda import nccl as module
    return module


def synchronize() -> None:
    """Wait until the current stream has done all that it was given."""
    xp.cuda.get_current_stream().synchronize()


class Event:
    """A place in the work of the current stream."""

    def __init__(self) -> None:
        self._event = xp.cuda.Event(disable_timing=True)
        self._event.record()

    def wait(self) -> None:
        """Wait until the device has come there."""
        self._event.synchronize()


def elapsed(functions: Sequence[Callable[[], None]], rounds: int = 5) -> list[float]:
    """Return the median time of each function on the device, in ms; they take turns.

    The device first waits, so that all is queued when it starts: the host's time does not count.
    A function may not wait for the device. A round before does not count: it finds out how long
    queueing takes, and the caches as they will be.
    """
    ticks = len(functions) * _TICKS
    marks = [[(xp.cuda.Event(), xp.cuda.Event()) for _ in functions] for _ in range(1 + rounds)]
    for pairs in marks:
        launch("spin.cu", "spin", (1,), (1,), (np.int64(ticks),))
        began = time.perf_counter()
        for function, (start, end) in zip(functions, pairs, strict=True):
            start.record()
            function()
            end.record()
        needed = int(_TICKS_PER_SECOND * (time.perf_counter() - began))
        ticks = min(max(ticks, needed), _MOST_TICKS)
        synchronize()
    marks = marks[1:]
    times = [[xp.cuda.get_elapsed_time(*pair) for pair in pairs] for pairs in marks]
    return [statistics.median(column) for column in zip(*times, strict=True)]


def to_device(array: Array, out: Any = None) -> Any:
    """Copy an array of the host to the device, into `out` if it is given.

    Page-locked arrays (`pinned`) are copied while the host goes on.
    """
    if xp.cuda.get_current_stream().is_capturing():
        raise RuntimeError("a copy from the host would read its memory again in each replay")
    source = np.ascontiguousarray(array)
    traffic.to_device += 1
    traffic.bytes += source.nbytes
    if out is None:
        out = xp.empty(source.shape, source.dtype)
    out.set(source)
    return out


def to_host(array: Any, out: Array | None = None) -> Array:
    """Copy an array of the device to the host, and wait for it."""
    traffic.to_host += 1
    traffic.bytes += int(array.nbytes)
    copied: Array = array.get(out=out)
    return copied


def pinned(count: int, dtype: Any) -> Array:
    """Return a page-locked array of the host, of any content."""
    kind = np.dtype(dtype)
    size = max(1, count) * kind.itemsize
    try:
        memory = xp.cuda.alloc_pinned_memory(size)
    except xp.cuda.runtime.CUDARuntimeError as error:
        raise MemoryError(f"{size} bytes of page-locked memory: {error}") from error
    return np.frombuffer(memory, kind, count)


@functools.cache
def _checksum() -> int:
    return zlib.crc32(b"".join(path.read_bytes() for path in sorted(FOLDER.glob("*.cuh"))))


@functools.cache
def _function(device: int, file: str, kernel: str, dtype: str) -> Any:
    """Compile a kernel, on first use by a device; CuPy keeps what it compiled in a folder."""
    name = "double" if dtype == "float64" else "float"
    # CuPy keeps what it compiled by source and options: a changed header has to be among them.
    options = ("-std=c++17", f"-DReal={name}", f"-DHeaders={_checksum()}", f"-I{FOLDER}")
    module = xp.RawModule(code=(FOLDER / file).read_text(), options=options, backend="nvrtc")
    return module.get_function(kernel)


def launch(
    file: str,
    kernel: str,
    grid: tuple[int, ...],
    block: tuple[int, ...],
    arguments: tuple[Any, ...],
    dtype: Any = np.float32,
    shared: int = 0,
) -> None:
    """Run a kernel of a file in `sscaffe/kernels/cuda` on the current stream.

    Parameters
    ----------
    file, kernel : str
        Such as ``pooling.cu`` and the name of its ``extern "C" __global__`` function.
    grid, block : tuple of int
        Blocks, and threads of each.
    arguments : tuple
        Arrays of the device, C-contiguous, and None for a null pointer; Python's int becomes int,
        float becomes `Real`; NumPy's scalars keep their type.
    dtype : dtype
        What `Real` stands for in the file: float32 or float64.
    shared : int
        Bytes of dynamic shared memory.
    """
    if 0 in grid:
        return
    kind = np.dtype(dtype)
    function = _function(xp.cuda.runtime.getDevice(), file, kernel, kind.name)
    converted = tuple(_argument(value, kind) for value in arguments)
    function(grid, block, converted, shared_mem=shared)


def launch_each(
    file: str, kernel: str, count: int, arguments: tuple[Any, ...], dtype: Any = np.float32
) -> None:
    """Run a kernel that takes `count` elements, one or, by a stride of the grid, more a thread.

    The kernel gets `count`, an int, before the other arguments.
    """
    blocks = min(-(-count // BLOCK), _MOST_BLOCKS)
    launch(file, kernel, (blocks,), (BLOCK,), (count, *arguments), dtype)


def _argument(value: Any, kind: np.dtype[Any]) -> Any:
    if value is None:
        return np.uintp(0)
    if isinstance(value, np.generic):  # NumPy's float64 is a float of Python's, too.
        return value
    if isinstance(value, bool | int):
        return np.int32(value)
    if isinstance(value, float):
        return kind.type(value)
    return value
