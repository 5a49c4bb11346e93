"""What machine this is, in words; and the memory that it lends."""

import ctypes
import functools
import platform
import re
from pathlib import Path

from sscaffe import _core


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


def give_back_memory() -> None:
    """Let the system have memory that was freed; the C library holds on to much of it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it
    if trim is not None:
        trim(ctypes.c_size_t(0))
