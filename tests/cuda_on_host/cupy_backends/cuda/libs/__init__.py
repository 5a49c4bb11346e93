"""Stand-ins for NVIDIA's libraries: shared objects of their names, whose functions are Python's.

They are found as the real ones are, by the name of a library that is loaded already, and called
with the same arguments; what they get is the addresses of arrays of NumPy.
"""

import ctypes
import importlib
import subprocess
import tempfile
from pathlib import Path

import numpy as np

_loaded = []  # libraries and callbacks, which live as long as the process

SUCCESS, INVALID_VALUE = 0, 7


def __getattr__(name):
    if name not in ("cublas", "cusparse"):
        raise AttributeError(name)
    return importlib.import_module(f"{__name__}.{name}")


def load(soname, functions):
    """Load a library of this name, each function of which calls one of Python's.

    Parameters
    ----------
    soname : str
        Such as ``libcublas.so.13``.
    functions : mapping of str to (function, list of ctypes types)
        What the library has; a function returns its status.
    """
    lines = []
    for name, (_, types) in functions.items():
        declared = ", ".join(f"{_C_NAMES[kind]} a{i}" for i, kind in enumerate(types))
        passed = ", ".join(f"a{i}" for i in range(len(types)))
        lines.append(f"int (*to_{name})({declared});")
        lines.append(f"int {name}({declared}) {{ return to_{name}({passed}); }}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / soname
        command = ["gcc", "-x", "c", "-shared", "-fPIC", f"-Wl,-soname,{soname}", "-o", str(path)]
        subprocess.run([*command, "-"], input="\n".join(lines), text=True, check=True)
        library = ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL)
    for name, (function, types) in functions.items():
        callback = ctypes.CFUNCTYPE(ctypes.c_int, *types)(function)
        ctypes.c_void_p.in_dll(library, f"to_{name}").value = ctypes.cast(
            callback, ctypes.c_void_p
        ).value
        _loaded.append(callback)
    _loaded.append(library)


_C_NAMES = {
    ctypes.c_int: "int",
    ctypes.c_void_p: "void*",
    ctypes.c_longlong: "long long",
    ctypes.c_size_t: "unsigned long",
    ctypes.c_int64: "long long",
}


def array(address, shape, strides, dtype):
    """Return memory as an array; `strides` count elements."""
    kind = np.dtype(dtype)
    size = 1 + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    flat = np.frombuffer((ctypes.c_char * (size * kind.itemsize)).from_address(address), kind)
    return np.lib.stride_tricks.as_strided(flat, shape, [step * kind.itemsize for step in strides])


def number(address, dtype):
    """Return the number at an address of the host."""
    return np.dtype(dtype).type(array(address, (1,), (1,), dtype)[0])
