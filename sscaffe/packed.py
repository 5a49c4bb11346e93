"""Packed weights: files in which zeros take no room, read back bit for bit.

The file: 8 bytes of magic; version, CRC-32 of all that follows, and bytes of the header, each 4
bytes with the lowest first; the header, JSON; then the arrays one after the other. The header lists
the layers with their blobs, each with its shape and one of the forms of `sscaffe.packed_forms`.
"""

import json
import math
import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sscaffe.errors import WeightsError
from sscaffe.files import write_atomically
from sscaffe.packed_forms import FORMS, smallest
from sscaffe.serialized import LARGEST_COUNT, open_binary

Array = npt.NDArray[Any]
Path = str | os.PathLike[str]

MAGIC = b"\x93SSPACK\n"
VERSION = 1
_PREAMBLE = struct.Struct("<8sIII")

_MOST_AXES = 32
# What the whole file may unpack to: this many bytes, or this many times its size.
_ALWAYS_ALLOWED = 2**30
_LARGEST_RATIO = 1000


class PackedBlob(NamedTuple):
    """An array in a packed file.

    Attributes
    ----------
    shape : tuple of int
        Its shape.
    form : str
        How it is stored: one of `sscaffe.packed_forms.FORMS`.
    content : memoryview
        What is stored.
    source : str
        The file, for errors.
    """

    shape: tuple[int, ...]
    form: str
    content: memoryview
    source: str = "the array"

    def array(self) -> Array:
        """Return the values, float32.

        Raises
        ------
        WeightsError
            If what is stored does not make an array of this shape.
        """
        values = FORMS[self.form].unpack(self.content, self.shape)
        if values is None:
            raise WeightsError(
                f"{self.source}: {len(self.content)} bytes in form {self.form!r} do not make an "
                f"array of shape {self.shape}; the file is damaged"
            )
        return values.reshape(self.shape)


@dataclass
class PackedLayer:
    """A layer in a packed file: its name, its type where it is known, and its blobs."""

    name: str
    type: str
    blobs: list[PackedBlob] = field(default_factory=list)


def is_packed(path: Path) -> bool:
    """Tell from its content whether a file is a packed one.

    Raises
    ------
    WeightsError
        If the file cannot be read.
    """
    with open_binary(path) as file:
        return file.read(len(MAGIC)) == MAGIC


def pack(name: str, kind: str, arrays: Sequence[Array]) -> PackedLayer:
    """Pack the arrays of a layer, each in the form that takes the fewest bytes.

    Parameters
    ----------
    name, kind : str
        The layer's name and type.
    arrays : sequence of ndarray of float32
        Its blobs.
    """
    layer = PackedLayer(name, kind)
    for array in arrays:
        form, content = smallest(np.ascontiguousarray(array, "<f4").reshape(array.shape))
        layer.blobs.append(PackedBlob(array.shape, form, memoryview(content)))
    return layer


def write_packed(path: Path, layers: Sequence[PackedLayer]) -> None:
    """Write packed layers, so that a crash leaves the old file or the new one.

    Raises
    ------
    SscaffeError
        If the file cannot be written.
    """
    described = [
        {
            "name": layer.name,
            "type": layer.type,
            "blobs": [[list(b.shape), b.form, len(b.content)] for b in layer.blobs],
        }
        for layer in layers
    ]
    header = json.dumps({"layers": described}, separators=(",", ":")).encode()
    body = b"".join([header, *(blob.content for layer in layers for blob in layer.blobs)])
    write_atomically(path, _PREAMBLE.pack(MAGIC, VERSION, zlib.crc32(body), len(header)) + body)


def read_packed(path: Path) -> list[PackedLayer]:
    """Read a packed file; its arrays are unpacked when they are asked for.

    Raises
    ------
    WeightsError
        If it cannot be read, or is not a packed file, of a later version, damaged, or made to
        exhaust memory.
    """
    with open_binary(path) as file:
        content = memoryview(file.read())
    try:
        return _layers(content, os.fspath(path))
    except WeightsError as error:
        raise WeightsError(f"{os.fspath(path)}: {error}") from None


def _layers(content: memoryview, source: str) -> list[PackedLayer]:
    if len(content) < _PREAMBLE.size or content[: len(MAGIC)] != MAGIC:
        raise WeightsError("expected a packed weights file, got one of another kind")
    _, version, checksum, size = _PREAMBLE.unpack(content[: _PREAMBLE.size])
    if version != VERSION:
        raise WeightsError(f"expected version {VERSION}, got {version}; use a newer sscaffe")
    body = content[_PREAMBLE.size :]
    if zlib.crc32(body) != checksum or size > len(body):
        raise WeightsError("the checksum is another than that of the content; the file is damaged")
    try:
        described = json.loads(bytes(body[:size]))["layers"]
        layers, end = _described(described, body, size, source)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WeightsError(f"the header cannot be read: {error}; the file is damaged") from None
    if end != len(body):
        raise WeightsError(f"expected {end} bytes after the preamble, got {len(body)}")
    unpacked = 4 * sum(math.prod(b.shape) for layer in layers for b in layer.blobs)
    if unpacked > max(_ALWAYS_ALLOWED, _LARGEST_RATIO * len(content)):
        raise WeightsError(f"{len(content)} bytes that unpack to {unpacked} are taken for a trap")
    return layers


def _described(
    described: Any, body: memoryview, start: int, source: str
) -> tuple[list[PackedLayer], int]:
    """Return the layers that a header lists, and where the last array ends."""
    layers = []
    for entry in described:
        layer = PackedLayer(_text(entry["name"]), _text(entry["type"]))
        for dims, form, size in entry["blobs"]:
            shape = tuple(_size(dim) for dim in dims)
            if form not in FORMS or len(shape) > _MOST_AXES or math.prod(shape) > LARGEST_COUNT:
                raise ValueError(f"an array of shape {shape} in form {form!r}")
            end = start + _size(size)
            if end > len(body):
                raise ValueError(f"{len(body)} bytes, of which an array would end at {end}")
            layer.blobs.append(PackedBlob(shape, form, body[start:end], source))
            start = end
        layers.append(layer)
    return layers, start


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a text, got {value!r:.40}")
    return value


def _size(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= LARGEST_COUNT * 4:
        raise ValueError(f"expected a size, got {value!r:.40}")
    return value
