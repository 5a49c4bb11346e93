"""`RawModule`: CUDA sources compiled by g++ against shim.hpp, and their kernels."""

import ctypes
import functools
import hashlib
import os
import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from cupy import _capture
from cupy._call import Wrapper
from cupy._source import parse_kernels, to_host

SHIM = Path(__file__).parents[1]
SHIM_FILES = ("shim.hpp", "shim_math.hpp", "guard.hpp")
VECTORS = re.compile(r"\b(float|double|int|uint|uchar)[24]\b")
FLAGS = ("-std=c++17", "-O1", "-g1", "-fPIC", "-shared", "-w", "-ffp-contract=off")
# What is __shared__ in a template must not be one variable for all libraries.
FLAGS += ("-fno-gnu-unique", "-Wl,-Bsymbolic")
FLAGS += ("-fno-strict-aliasing", "-U_FORTIFY_SOURCE", "-D__CUDA_ARCH__=700")
STATIC_SHARED = 48 << 10
MOST_SHARED = 227 << 10
Three = ctypes.c_uint * 3


class CompileException(Exception):  # noqa: N818
    """The compiler's words."""


def _compiler(arguments, text):
    run = subprocess.run(
        ["g++", "-x", "c++", *arguments], input=text, capture_output=True, text=True, check=False
    )
    if run.returncode:
        raise CompileException(run.stderr)
    return run.stdout


@functools.cache
def _folder():
    folder = Path(tempfile.gettempdir()) / f"cuda_on_host_{os.getuid()}"
    folder.mkdir(exist_ok=True)
    return folder


@functools.cache
def load(text, headers, flags=()):
    """Compile C++ for the host, if no earlier run did, and load it."""
    flags = (*FLAGS, *flags)
    parts = [text, *flags, *((SHIM / name).read_text() for name in headers)]
    name = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    library = _folder() / f"{name}.so"
    if not library.exists():
        with tempfile.NamedTemporaryFile(dir=_folder(), suffix=".part", delete=False) as part:
            _compiler([*flags, f"-I{SHIM}", "-o", part.name, "-"], text)
        Path(part.name).rename(library)
    return ctypes.PyDLL(str(library))  # which keeps Python's other threads out


class RawModule:
    """A source of CUDA, compiled when the first kernel is asked for."""

    def __init__(self, *, code=None, path=None, options=(), backend="nvrtc", **others):
        if path is not None or not isinstance(options, tuple):
            raise TypeError("the stand-in takes code=, and options as a tuple")
        self.code, self.options = code, options
        self._parsed = None

    def compile(self, log_stream=None):
        if self._parsed is None:
            _capture.refuse_in_strict_modes("load a module")
            defines = [option for option in self.options if option.startswith(("-D", "-I"))]
            plain = _compiler(
                ["-std=c++17", "-D__CUDA_ARCH__=700", "-E", "-P", *defines, "-"], self.code
            )
            kernels = parse_kernels(plain)
            self._parsed = load(to_host(plain, kernels), SHIM_FILES), kernels

    def get_function(self, name):
        self.compile()
        library, kernels = self._parsed
        if name not in kernels:
            raise RuntimeError(f"CUDA_ERROR_NOT_FOUND: named symbol not found: {name}")
        return Function(library, kernels[name], bool(VECTORS.search(self.code)))


class Function:
    """A kernel of a module."""

    def __init__(self, library, kernel, vectors=True):
        self.kernel = kernel
        self.max_dynamic_shared_size_bytes = STATIC_SHARED
        self.attributes = {"max_threads_per_block": kernel.most_threads}
        self._launch = getattr(library, f"launch_{kernel.name}")
        self._launch.restype = ctypes.c_bool
        self._library, self._vectors = library, vectors

    def __call__(self, grid, block, args, *, shared_mem=0, stream=None, **others):
        grid, block = _three(grid), _three(block)
        self._check_sizes(grid, block, shared_mem)
        held = self._held(args)
        _capture.run(lambda: self._run(grid, block, shared_mem, held))

    def _check_sizes(self, grid, block, shared):
        name = self.kernel.name
        threads = block[0] * block[1] * block[2]
        if min(*grid, *block) < 1 or max(grid[1:]) > 65535 or grid[0] >= 1 << 31 or block[2] > 64:
            raise RuntimeError(f"CUDA_ERROR_INVALID_VALUE: {name} of grid {grid}, block {block}")
        if threads > self.kernel.most_threads:
            raise RuntimeError(
                f"CUDA_ERROR_INVALID_VALUE: {name} takes {self.kernel.most_threads} threads at "
                f"most, not {threads}"
            )
        if shared > min(self.max_dynamic_shared_size_bytes, MOST_SHARED):
            raise RuntimeError(f"CUDA_ERROR_INVALID_VALUE: {name} with {shared} shared bytes")

    def _held(self, args):
        """Check the arguments, and return what keeps alive the memory that a launch reads."""
        kernel = self.kernel
        if len(args) != len(kernel.parameters):
            raise TypeError(
                f"{kernel.name} takes {len(kernel.parameters)} arguments, not {len(args)}"
            )
        held = []
        for value, parameter in zip(args, kernel.parameters, strict=True):
            if isinstance(value, Wrapper):
                if not parameter.pointer:
                    raise TypeError(f"{kernel.name}: {parameter.name} was given an array")
                parameter.check(value._array, kernel.name)
                held.append(value._array)
            elif parameter.pointer and isinstance(value, np.uintp) and value == 0:
                held.append(None)
            elif parameter.pointer or isinstance(value, np.ndarray):
                raise TypeError(f"{kernel.name}: {parameter.name} was given a {type(value)}")
            else:
                parameter.check(value, kernel.name)
                held.append(value)
        return held

    def _run(self, grid, block, shared, held):
        count = max(1, len(held))
        addresses = (ctypes.c_void_p * count)()
        sizes, alignments = (ctypes.c_size_t * count)(), (ctypes.c_size_t * count)(*[1] * count)
        cells = []
        for i, (value, parameter) in enumerate(zip(held, self.kernel.parameters, strict=True)):
            if parameter.pointer:
                cells.append(np.array(0 if value is None else value.ctypes.data, np.uintp))
                if value is not None:
                    sizes[i] = value.nbytes
                    alignments[i] = 16 if self._vectors else value.itemsize
            else:
                cells.append(np.array(value))
            addresses[i] = cells[-1].ctypes.data
        message = ctypes.create_string_buffer(400)
        done = self._launch(
            Three(*grid), Three(*block), ctypes.c_uint(shared), addresses, sizes, alignments,
            message, ctypes.c_size_t(len(message)),
        )  # fmt: skip
        if not done:
            raise RuntimeError(f"{self.kernel.name}: {self._named(message.value.decode())}")

    def _named(self, message):
        """Put the names of parameters in the place of their numbers."""
        pointers = [p.name for p in self.kernel.parameters if p.pointer]
        return re.sub(r"#(\d+)", lambda number: pointers[int(number[1])], message)


def _three(sizes):
    return (*map(int, sizes), 1, 1)[:3]


class RawKernel(Function):
    """A module of one kernel."""

    def __init__(self, code, name, options=(), backend="nvrtc", **others):
        function = RawModule(code=code, options=options).get_function(name)
        super().__init__(function._library, function.kernel)
