"""Forms of an array of float32 in a packed file, which differ in how they say where zeros are.

A zero is what has no bit set: -0 comes back as -0, and a NaN with its payload. Bits of a bitmap
come with the highest of a byte first, and the last byte is filled up with zeros.

* ``dense``: all values.
* ``bitmap``: a bit for each value, then the values that are not zero.
* ``gaps``: how many values are not zero, in four bytes; the values; then for each of them a byte,
  how many zeros are in front of it. The byte 255 stands for 255 zeros, with no value behind them.
* ``signed``: a bit for each value, whether it is -0; then the others as ``gaps`` stores them.
  Pruning by a mask leaves -0 where negative weights were.
* ``block``: a bit for each row, a bit for each column, then the values where a row and a column of
  these cross. Rows are the first axis.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

_VALUE = np.dtype("<f4")
_JUMP = 255
_MINUS_ZERO = 1 << 31


class Form(NamedTuple):
    """How to store an array, and how to get it back; None where that cannot be."""

    pack: Callable[[Array], bytes]
    unpack: Callable[[memoryview, Shape], Array | None]


def smallest(array: Array) -> tuple[str, bytes]:
    """Return the form that stores an array in the fewest bytes, and these bytes."""
    packed = {name: form.pack(array) for name, form in FORMS.items()}
    name = min(packed, key=lambda form: len(packed[form]))
    return name, packed[name]


def _matrix(shape: Shape) -> tuple[int, int]:
    """Return rows and columns."""
    rows, *rest = shape or (1,)
    return rows, int(np.prod(rest, dtype=np.int64))


def _is_set(array: Array) -> Array:
    """Tell, for the values in their order, which have any bit set."""
    bits: Array = array.reshape(-1).view("<u4") != 0
    return bits


def _count(shape: Shape) -> int:
    return int(np.prod(shape, dtype=np.int64))


def _pack_dense(array: Array) -> bytes:
    return array.tobytes()


def _unpack_dense(content: memoryview, shape: Shape) -> Array | None:
    return np.frombuffer(content, _VALUE) if len(content) == 4 * _count(shape) else None


def _pack_bitmap(array: Array) -> bytes:
    kept = _is_set(array)
    return np.packbits(kept).tobytes() + array.reshape(-1)[kept].tobytes()


def _unpack_bitmap(content: memoryview, shape: Shape) -> Array | None:
    kept = _bits(content, _count(shape))
    if kept is None:
        return None
    return _spread(content[(len(kept) + 7) // 8 :], np.flatnonzero(kept), len(kept))


def _pack_gaps(array: Array) -> bytes:
    kept = np.flatnonzero(_is_set(array))
    gaps = np.diff(kept, prepend=-1) - 1
    jumps = gaps // _JUMP
    steps = np.full(len(kept) + int(jumps.sum()), _JUMP, np.uint8)
    steps[np.arange(len(kept)) + np.cumsum(jumps)] = gaps % _JUMP
    count = np.array(len(kept), "<u4")
    return count.tobytes() + array.reshape(-1)[kept].tobytes() + steps.tobytes()


def _unpack_gaps(content: memoryview, shape: Shape) -> Array | None:
    if len(content) < 4:
        return None
    end = 4 + 4 * int(np.frombuffer(content[:4], "<u4")[0])
    if end > len(content):
        return None
    gaps = np.frombuffer(content[end:], np.uint8)
    is_value = gaps != _JUMP
    steps = np.where(is_value, gaps.astype(np.int64) + 1, _JUMP)
    return _spread(content[4:end], np.cumsum(steps)[is_value] - 1, _count(shape))


def _pack_signed(array: Array) -> bytes:
    minus = array.reshape(-1).view("<u4") == _MINUS_ZERO
    others = np.where(minus, np.float32(0), array.reshape(-1)).astype(_VALUE)
    return np.packbits(minus).tobytes() + _pack_gaps(others)


def _unpack_signed(content: memoryview, shape: Shape) -> Array | None:
    minus = _bits(content, _count(shape))
    if minus is None:
        return None
    values = _unpack_gaps(content[(len(minus) + 7) // 8 :], shape)
    if values is None or _is_set(values)[minus].any():
        return None
    values[minus] = -0.0
    return values


def _pack_block(array: Array) -> bytes:
    matrix = array.reshape(_matrix(array.shape))
    kept = _is_set(array).reshape(matrix.shape)
    rows, columns = kept.any(1), kept.any(0)
    bits = np.packbits(rows).tobytes() + np.packbits(columns).tobytes()
    return bits + matrix[np.ix_(rows, columns)].tobytes()


def _unpack_block(content: memoryview, shape: Shape) -> Array | None:
    height, width = _matrix(shape)
    rows = _bits(content, height)
    columns = None if rows is None else _bits(content[(height + 7) // 8 :], width)
    if rows is None or columns is None:
        return None
    values = content[(height + 7) // 8 + (width + 7) // 8 :]
    inside = np.ix_(rows, columns)
    kept = int(rows.sum()), int(columns.sum())
    if len(values) != 4 * kept[0] * kept[1]:
        return None
    matrix = np.zeros((height, width), _VALUE)
    matrix[inside] = np.frombuffer(values, _VALUE).reshape(kept)
    return matrix


def _bits(content: memoryview, count: int) -> Array | None:
    """Return the first bits, or None if there are not as many."""
    size = (count + 7) // 8
    if len(content) < size:
        return None
    return np.unpackbits(np.frombuffer(content[:size], np.uint8), count=count).astype(bool)


def _spread(content: memoryview, places: Array, count: int) -> Array | None:
    """Return an array of zeros with the values of `content` at increasing places."""
    if len(content) != 4 * len(places) or (len(places) and places[-1] >= count):
        return None
    values = np.zeros(count, _VALUE)
    values[places] = np.frombuffer(content, _VALUE)
    return values


FORMS = {
    "dense": Form(_pack_dense, _unpack_dense),
    "bitmap": Form(_pack_bitmap, _unpack_bitmap),
    "gaps": Form(_pack_gaps, _unpack_gaps),
    "signed": Form(_pack_signed, _unpack_signed),
    "block": Form(_pack_block, _unpack_block),
}
