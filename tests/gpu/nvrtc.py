"""NVIDIA's run-time compiler, which needs no GPU."""

import ctypes
import ctypes.util
import functools
import importlib.util
from pathlib import Path


@functools.cache
def library():
    """Load NVRTC from the package nvidia-cuda-nvrtc or from the system; None if there is none."""
    spec = importlib.util.find_spec("nvidia")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    found = [str(path) for folder in folders for path in Path(folder).glob("*/lib/libnvrtc.so.*")]
    system = ctypes.util.find_library("nvrtc")
    for path in [*sorted(found), *([system] if system else [])]:
        try:
            return ctypes.CDLL(path)
        except OSError:
            continue
    return None


def compile_source(path, options):
    """Return whether a source compiles, and what the compiler says."""
    nvrtc, program = library(), ctypes.c_void_p()
    code = path.read_bytes()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), code, path.name.encode(), 0, None, None)
    try:
        given = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        failed = nvrtc.nvrtcCompileProgram(program, len(options), given)
        size = ctypes.c_size_t()
        nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        nvrtc.nvrtcGetProgramLog(program, log)
        return failed == 0, log.value.decode(errors="replace").strip()
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
