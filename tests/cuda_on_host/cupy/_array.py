"""`cupy.ndarray` over an array of NumPy, which it keeps from mixing with arrays of the host."""

import operator

import numpy as np
from cupy import _capture
from cupy._call import Wrapper, call, poison, unwrap, wrap

NO_CONVERSION = (
    "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a "
    "NumPy array explicitly."
)


class MemoryPointer:
    """Memory of the device: a piece of an array of bytes."""

    def __init__(self, array, offset=0):
        self.mem = array
        self.offset = offset

    @property
    def ptr(self):
        return self.mem.ctypes.data + self.offset

    def __add__(self, offset):
        return MemoryPointer(self.mem, self.offset + offset)

    def __int__(self):
        return self.ptr


class ndarray(Wrapper):  # noqa: N801
    """An array of the device."""

    __array_priority__ = 100
    __hash__ = None

    def __init__(self, shape, dtype=float, memptr=None, strides=None, order="C"):
        if memptr is None:
            self._array = poison(np.empty(shape, dtype, order))
        else:
            bytes_ = memptr.mem.reshape(-1).view(np.uint8)
            self._array = np.ndarray(shape, dtype, bytes_, memptr.offset, strides, order)

    @classmethod
    def _of(cls, array):
        wrapped = cls.__new__(cls)
        wrapped._array = array
        return wrapped

    dtype = property(lambda self: self._array.dtype)
    shape = property(lambda self: self._array.shape)
    size = property(lambda self: self._array.size)
    ndim = property(lambda self: self._array.ndim)
    nbytes = property(lambda self: self._array.nbytes)
    itemsize = property(lambda self: self._array.itemsize)
    strides = property(lambda self: self._array.strides)
    flags = property(lambda self: self._array.flags)
    T = property(lambda self: wrap(self._array.T))
    real = property(lambda self: wrap(self._array.real))
    base = property(lambda self: wrap(self._array.base))
    data = property(lambda self: MemoryPointer(self._array))
    device = property(lambda self: _cuda().Device(0))

    @property
    def flat(self):
        raise NotImplementedError("the stand-in has no flat; use ravel()")

    @property
    def __cuda_array_interface__(self):
        plain = self._array
        return {
            "shape": plain.shape,
            "typestr": plain.dtype.str,
            "data": (plain.ctypes.data, False),
            "version": 3,
            "strides": None if plain.flags.c_contiguous else plain.strides,
        }

    def __array__(self, *args, **kwargs):
        raise TypeError(NO_CONVERSION)

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        out = kwargs.pop("out", None)
        if out is not None:
            kwargs["out"] = out[0]
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        name = ufunc.__name__ + ("" if method == "__call__" else f".{method}")
        return call(name, function, inputs, kwargs)

    def __array_function__(self, function, types, args, kwargs):
        import cupy

        return getattr(cupy, function.__name__)(*args, **kwargs)

    def __getitem__(self, index):
        if _has_mask(index):
            _capture.wait("indexing by a mask")
        return call("getitem", operator.getitem, (self, index), {})

    def __setitem__(self, index, value):
        call("setitem", operator.setitem, (self, index, value), {})

    def __len__(self):
        return len(self._array)

    def __iter__(self):
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def __repr__(self):
        return repr(self.get())

    def __str__(self):
        return str(self.get())

    def __format__(self, spec):
        return format(self.get() if self.ndim else self.item(), spec)

    def get(self, stream=None, order="C", out=None, blocking=True):
        """Copy to the host, and wait unless told not to."""
        if out is not None:
            if not isinstance(out, np.ndarray):
                raise TypeError("Only numpy.ndarray can be obtained from cupy.ndarray")
            if out.shape != self.shape or out.dtype != self.dtype:
                raise ValueError(f"get(out=): {self.dtype}{self.shape} into {out.dtype}{out.shape}")
            if not out.flags.c_contiguous:
                raise RuntimeError("out must be contiguous")
        with stream or _capture.get_current_stream():
            if blocking or out is None:
                _capture.wait("get")
                out = np.empty(self.shape, self.dtype, order) if out is None else out
                np.copyto(out, self._array)
            else:
                _capture.run(lambda: _capture.get_current_stream().pending.get(out, self._array))
        return out

    def set(self, arr, stream=None):
        """Copy an array of the host into this one."""
        if not isinstance(arr, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if arr.dtype != self.dtype:
            raise TypeError(f"{arr.dtype} array cannot be set to {self.dtype} array")
        if arr.shape != self.shape:
            raise ValueError(f"Shape mismatch. Old: {self.shape}, new: {arr.shape}")
        if not self.flags.c_contiguous and not self.flags.f_contiguous:
            raise RuntimeError("Cannot set to non-contiguous array")
        with stream or _capture.get_current_stream():
            _capture.run(lambda: _capture.get_current_stream().pending.set(self._array, arr))

    def item(self, *args):
        _capture.wait("item")
        return self._array.item(*args)

    def tolist(self):
        _capture.wait("tolist")
        return self._array.tolist()


def _cuda():
    from cupy import cuda

    return cuda


def _has_mask(index):
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(part, Wrapper) and part.dtype == bool for part in parts)


BINARY = (
    "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor",
    "lshift", "rshift", "divmod",
)  # fmt: skip
COMPARING = ("eq", "ne", "lt", "le", "gt", "ge")
UNARY = ("neg", "pos", "abs", "invert")
SCALAR = {"float": float, "int": int, "bool": bool, "index": operator.index, "complex": complex}
METHODS = (
    "all", "any", "argmax", "argmin", "argpartition", "argsort", "astype", "choose", "clip",
    "compress", "conj", "copy", "cumprod", "cumsum", "diagonal", "dot", "fill", "flatten", "max",
    "mean", "min", "nonzero", "partition", "prod", "put", "ravel", "repeat", "reshape", "round",
    "searchsorted", "sort", "squeeze", "std", "sum", "swapaxes", "take", "trace", "transpose",
    "var", "view",
)  # fmt: skip


def _is_operand(value):
    return value is not None and not isinstance(value, str | list | tuple | dict)


def _operator(name, reflected=False):
    function = divmod if name == "divmod" else getattr(operator, f"__{name}__")

    def method(self, other):
        if not _is_operand(other):
            if name in COMPARING:
                return NotImplemented
            raise TypeError(f"Unsupported type {type(other)}")
        pair = (other, self) if reflected else (self, other)
        return call(name, function, pair, {})

    return method


def _in_place(name):
    function = getattr(operator, f"__i{name}__")

    def method(self, other):
        if not _is_operand(other):
            raise TypeError(f"Unsupported type {type(other)}")
        plain, value = self._array, unwrap(other)

        def run():
            with np.errstate(all="ignore"):
                function(plain[...] if plain.ndim else plain, value)

        _capture.run(run)
        return self

    return method


def _scalar(name, convert):
    def method(self):
        _capture.wait(name)
        return convert(self._array)

    return method


def _method(name):
    def method(self, *args, **kwargs):
        return call(
            name, lambda plain, *a, **k: getattr(plain, name)(*a, **k), (self, *args), kwargs
        )

    return method


def _fill_in():
    for name in (*BINARY, *COMPARING):
        setattr(ndarray, f"__{name}__", _operator(name))
    for name in BINARY:
        setattr(ndarray, f"__r{name}__", _operator(name, reflected=True))
        if name != "divmod" and name != "matmul":
            setattr(ndarray, f"__i{name}__", _in_place(name))
    for name in UNARY:
        function = getattr(operator, f"__{name}__")
        setattr(ndarray, f"__{name}__", lambda self, f=function: call("unary", f, (self,), {}))
    for name, convert in SCALAR.items():
        setattr(ndarray, f"__{name}__", _scalar(name, convert))
    for name in METHODS:
        setattr(ndarray, name, _method(name))
    Wrapper.kind = ndarray


_fill_in()
