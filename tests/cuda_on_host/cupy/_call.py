"""NumPy's functions on wrapped arrays: what goes in, what comes out, what a capture notes down."""

import numpy as np
from cupy import _capture

# Who needs the values on the host, or has a result of a shape that depends on them.
WAITING = {
    "argwhere", "bincount", "compress", "extract", "flatnonzero", "histogram", "in1d",
    "intersect1d", "isin", "nonzero", "setdiff1d", "tolist", "union1d", "unique",
}  # fmt: skip
# Who writes into the first argument.
MUTATING = {
    "add.at", "copyto", "fill", "fill_diagonal", "maximum.at", "minimum.at", "multiply.at",
    "partition", "place", "put", "put_along_axis", "putmask", "setitem", "sort", "subtract.at",
}  # fmt: skip
# Who takes indices: a dry run gives them zeros, for the true ones are not there yet.
INDEXING = {"choose", "getitem", "take", "take_along_axis"}


class Wrapper:
    """What holds an array of the device; `cupy.ndarray` is the one subclass."""

    kind = None  # the subclass


def wrap(value):
    """Wrap NumPy's arrays and scalars; a scalar becomes an array of no axes, as CuPy has it."""
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(wrap, value))
    if isinstance(value, list | tuple):
        return type(value)(map(wrap, value))
    if isinstance(value, np.ndarray | np.generic):
        return Wrapper.kind._of(np.asarray(value))
    return value


def unwrap(value):
    """Take arrays out of their wrappers, and refuse arrays of the host."""
    if isinstance(value, Wrapper):
        return value._array
    if isinstance(value, np.ndarray) and value.ndim:
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return type(value)(map(unwrap, value))
    return value


def call(name, function, args, kwargs):
    """Run a function of NumPy; during a capture note it down, to be run at each replay."""
    out = kwargs.get("out")
    plain = unwrap(args)
    plain_kwargs = {key: unwrap(value) for key, value in kwargs.items()}
    if name in WAITING or (name == "where" and len(args) == 1):
        _capture.wait(name)
    graph = _capture.recording()
    if graph is None:
        result = function(*plain, **plain_kwargs)
        return out if out is not None else wrap(result)

    def run():
        with np.errstate(all="ignore"):
            return function(*plain, **plain_kwargs)

    if out is not None or name in MUTATING:
        graph.steps.append(run)
        return out
    return _note_down(graph, name, function, plain, plain_kwargs)


def _note_down(graph, name, function, plain, kwargs):
    with np.errstate(all="ignore"):
        result = function(*(_no_indices(plain) if name in INDEXING else plain), **kwargs)
    results = result if isinstance(result, list | tuple) else [result]
    arrays = [r for r in results if isinstance(r, np.ndarray | np.generic)]
    if not arrays or all(_is_view(array, plain) for array in arrays):
        return wrap(result)
    targets = [poison(np.array(array)) for array in arrays]

    def run():
        with np.errstate(all="ignore"):
            again = function(*plain, **kwargs)
        values = again if isinstance(again, list | tuple) else [again]
        for target, value in zip(targets, values, strict=True):
            target[...] = value

    graph.steps.append(run)
    wrapped = wrap(targets)
    return type(result)(wrapped) if isinstance(result, list | tuple) else wrapped[0]


def _no_indices(plain):
    """Replace arrays of integers, but for the first argument, by zeros."""
    if isinstance(plain, np.ndarray):
        return np.zeros_like(plain) if plain.dtype.kind in "iu" else plain
    if isinstance(plain, tuple):
        return tuple(map(_no_indices, plain))
    return plain


def _is_view(array, plain):
    if isinstance(plain, np.ndarray):
        return isinstance(array, np.ndarray) and np.may_share_memory(array, plain)
    return isinstance(plain, list | tuple) and any(_is_view(array, part) for part in plain)


def poison(array):
    """Fill new memory so that whoever reads it before it is written is found out."""
    if array.dtype.kind in "fc":
        array.fill(np.nan)
    elif array.dtype.kind in "iub":
        array.fill(np.array(-1).astype(array.dtype))
    return array
