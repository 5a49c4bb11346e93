"""NumPy's archives of arrays, without pickle and without trust in their headers."""

import math
import os
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from sscaffe.convert.saved import Array, PathLike, SavedLayer, from_named, named
from sscaffe.errors import WeightsError
from sscaffe.files import replace_atomically
from sscaffe.serialized import LARGEST_COUNT, open_binary

# What all arrays may unpack to: this many bytes, or this many times the size of the file.
_ALWAYS_ALLOWED = 2**30
_LARGEST_RATIO = 1000

_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_ERRORS = (zipfile.BadZipFile, zlib.error, ValueError, EOFError, KeyError, NotImplementedError)


def read_npz(path: PathLike) -> list[SavedLayer]:
    """Read the arrays of a file; their keys are ``<layer>/<number of the blob>``.

    Raises
    ------
    WeightsError
        If it cannot be read, has other things in it, or is made to exhaust memory.
    """
    with open_binary(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                unpacked = sum(info.file_size for info in archive.infolist())
                size = os.fstat(file.fileno()).st_size
                if unpacked > max(_ALWAYS_ALLOWED, _LARGEST_RATIO * size):
                    raise ValueError(f"{size} bytes that unpack to {unpacked} are taken for a trap")
                arrays = {i.filename: _array(archive, i) for i in archive.infolist()}
        except (*_ERRORS, RuntimeError) as error:
            reason = str(error).partition("\n")[0]  # NumPy goes on about allowing pickle
            raise WeightsError(f"{os.fspath(path)}: cannot be read as npz: {reason}") from None
    return from_named({name.removesuffix(".npy"): a for name, a in arrays.items()}, path)


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Array:
    with archive.open(info) as member:
        version = npy.read_magic(member)
        if version not in _HEADERS:
            raise ValueError(f"{info.filename}: a format of version {version}")
        # Only the shape and the type are read here; the header holds a literal, no code.
        shape, in_columns, dtype = _HEADERS[version](member)
        content: Any = member.read()
    if dtype.kind not in "iuf" or math.prod(shape) > LARGEST_COUNT:
        raise ValueError(f"{info.filename}: expected numbers, got {dtype} of shape {shape}")
    if min(shape, default=0) < 0 or len(content) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{info.filename}: {len(content)} bytes for {dtype} of shape {shape}")
    array = np.frombuffer(content, dtype)
    return array.reshape(shape, order="F" if in_columns else "C")


def write_npz(path: PathLike, layers: Sequence[SavedLayer]) -> None:
    """Write arrays to a compressed file.

    Raises
    ------
    SscaffeError
        If it cannot be written.
    """

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **named(layers))

    replace_atomically(path, write)
