"""A stand-in for CuPy, over NumPy and g++: GPU code runs on a machine without a GPU.

It is stricter than a GPU: a mix of arrays of host and device, a wrong type of a kernel's argument,
a barrier that some threads never reach, and a copy to the host during a capture are errors here.
New memory is filled with NaN.
"""

import numpy as np
from cupy import _capture, _lacking, cuda
from cupy._array import ndarray
from cupy._call import Wrapper, call, poison
from cupy._raw import RawKernel, RawModule
from cupy.cuda import get_default_memory_pool, get_default_pinned_memory_pool

__all__ = [
    "RawKernel",
    "RawModule",
    "cuda",
    "get_default_memory_pool",
    "get_default_pinned_memory_pool",
    "ndarray",
]
__version__ = "14.0.0+host"


def _to_device(array, dtype, order):
    _capture.refuse("a copy of pageable memory, which would be gone at the replay")
    return ndarray._of(np.array(array, dtype=dtype, order=order or "C"))


def array(obj, dtype=None, copy=True, order="K", subok=False, ndmin=0, *, blocking=False):
    if isinstance(obj, ndarray):
        return call("array", np.array, (obj,), {"dtype": dtype, "copy": copy, "order": order})
    if isinstance(obj, list | tuple) and any(isinstance(part, ndarray) for part in obj):
        return call("stack", np.stack, (list(obj),), {"dtype": dtype})
    return _to_device(obj, dtype, order)


def asarray(a, dtype=None, order=None, *, blocking=False):
    if isinstance(a, ndarray):
        same = dtype is None or a.dtype == np.dtype(dtype)
        return a if same and order in (None, "K", "A") else _converted(a, dtype, order)
    return array(a, dtype, order=order)


def _converted(a, dtype, order):
    return call("asarray", np.asarray, (a,), {"dtype": dtype, "order": order})


def asanyarray(a, dtype=None, order=None, *, blocking=False):
    return asarray(a, dtype, order)


def ascontiguousarray(a, dtype=None):
    return asarray(a, dtype, order="C")


def asfortranarray(a, dtype=None):
    return asarray(a, dtype, order="F")


def asnumpy(a, stream=None, order="C", out=None, *, blocking=True):
    if isinstance(a, ndarray):
        return a.get(stream, order, out, blocking)
    return np.asarray(a)


def empty(shape, dtype=float, order="C"):
    return ndarray._of(poison(np.empty(shape, dtype, order)))


def empty_like(prototype, dtype=None, order="K", subok=None, shape=None):
    return ndarray._of(poison(np.empty_like(prototype._array, dtype, order, False, shape)))


def take(a, indices, axis=None, out=None):
    """Without NumPy's `mode`."""
    return call("take", np.take, (a, indices), {"axis": axis, "out": out})


def get_array_module(*args):
    import cupy

    return cupy if any(isinstance(arg, Wrapper) for arg in args) else np


class _Ufunc:
    """A ufunc of NumPy, as far as CuPy has its methods."""

    def __init__(self, ufunc):
        self._ufunc = ufunc
        self.__name__ = ufunc.__name__

    def __call__(self, *args, **kwargs):
        out, ufunc = kwargs.get("out"), self._ufunc
        if isinstance(out, tuple):
            kwargs["out"] = out[0]
        elif len(args) > ufunc.nin:
            args, kwargs["out"] = args[: ufunc.nin], args[ufunc.nin]
        if kwargs.get("out", ufunc) is None:
            del kwargs["out"]
        if isinstance(kwargs.get("out"), np.ndarray):
            raise TypeError("Unsupported type <class 'numpy.ndarray'>")
        return call(self.__name__, ufunc, args, kwargs)

    def at(self, *args):
        return call(f"{self.__name__}.at", self._ufunc.at, args, {})

    def reduce(self, *args, **kwargs):
        return call(f"{self.__name__}.reduce", self._ufunc.reduce, args, kwargs)

    def accumulate(self, *args, **kwargs):
        return call(f"{self.__name__}.accumulate", self._ufunc.accumulate, args, kwargs)

    def outer(self, *args, **kwargs):
        return call(f"{self.__name__}.outer", self._ufunc.outer, args, kwargs)


class _Functions:
    """The functions of a module of NumPy."""

    def __init__(self, module):
        self._module = module

    def __getattr__(self, name):
        found = getattr(self._module, name)
        if isinstance(found, np.ufunc):
            return _Ufunc(found)
        if isinstance(found, type) or not callable(found):
            return found
        return lambda *args, **kwargs: call(name, found, args, kwargs)


linalg = _Functions(np.linalg)
fft = _Functions(np.fft)
_numpy = _Functions(np)


def __getattr__(name):
    if name == "random":
        import importlib

        return importlib.import_module("cupy.random")
    if name.startswith("_") or name in _lacking.NAMES:
        raise AttributeError(f"module 'cupy' has no attribute {name!r}")
    found = globals()[name] = getattr(_numpy, name)
    return found
