"""What machine this is, in words; the memory that it lends; what holds its processes together."""

import ctypes
import functools
import platform
import re
import signal
from pathlib import Path

from sscaffe import _core

_PR_SET_PDEATHSIG = 1  # of Linux's prctl
# Found here, as a process that was just forked may not load anything: another thread of its parent
# may have held the loader's lock.
_prctl = getattr(ctypes.CDLL(None), "prctl", None)
_MEMINFO = ("/proc/meminfo", r"^MemAvailable:\s*(\d+) kB")
_GROUP = (
    ("/sys/fs/cgroup/memory.max", r"^(\d+)"),
    ("/sys/fs/cgroup/memory.current", r"^(\d+)"),
)


@functools.cache
def processor() -> str:
    """Return the name of the processor."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return name[1] if name else platform.machine()


def place() -> str:
    """Return what the time of a kernel depends on: processor, instruction set, threads."""
    return f"{processor()}, {_core.cpu_features()}, {_core.get_num_threads()} threads"


def available_memory() -> int | None:
    """Return how many bytes may still be taken without ending this process; None if unknown."""
    read = [_bytes_in(path, pattern) for path, pattern in (_MEMINFO, *_GROUP)]
    machine, limit, used = read
    room = limit - used if limit is not None and used is not None else None
    known = [size for size in (machine, room) if size is not None]
    return min(known) if known else None


def _bytes_in(path: str, pattern: str) -> int | None:
    try:
        found = re.search(pattern, Path(path).read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * (1024 if found[0].endswith("kB") else 1) if found else None


def give_back_memory() -> None:
    """Let the system have memory that was freed; the C library holds on to much of it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it
    if trim is not None:
        trim(ctypes.c_size_t(0))


def end_with_parent() -> None:
    """Let a process that was just forked get SIGINT when its parent dies, as by SIGKILL."""
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, int(signal.SIGINT))
