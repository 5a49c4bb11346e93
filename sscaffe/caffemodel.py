"""Binary caffemodels, read without holding their numbers in memory.

A caffemodel is a message of some thousand bytes with millions of numbers in it. The message is read
without them, and tells where in the file they are. Files that are not as Caffe writes them, such as
those with numbers that are not packed, are read whole.
"""

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from sscaffe.errors import WeightsError
from sscaffe.proto import caffe_pb2
from sscaffe.proto.texts import texts_are_valid
from sscaffe.serialized import (
    LARGEST_FILE,
    blobproto_shape,
    blobproto_to_array,
    check_count,
    open_binary,
    read_binary,
    varint,
)

Array = npt.NDArray[Any]
Parts = Callable[[], Iterable[Array]]
"""Returns the values of an array, one part after the other in row-major order."""

PART = 4 << 20  # bytes read at once

_LENGTH_DELIMITED = 2
_FIXED = {1: 8, 5: 4}  # bytes by wire type
_LARGEST_VARINT = 10  # bytes
_BLOB = caffe_pb2.BlobProto.DESCRIPTOR
_NUMBERS = {
    _BLOB.fields_by_name[name].number: (name, np.dtype(dtype))
    for name, dtype in (
        ("data", "<f4"),
        ("diff", "<f4"),
        ("double_data", "<f8"),
        ("double_diff", "<f8"),
    )
}


def _children() -> dict[tuple[str, int], Any]:
    """Return the messages on the way to a blob, by the name of what holds them and their number."""
    ways = (
        (caffe_pb2.NetParameter, ("layer", "layers")),
        (caffe_pb2.LayerParameter, ("blobs",)),
        (caffe_pb2.V1LayerParameter, ("blobs", "layer")),
        (caffe_pb2.V0LayerParameter, ("blobs",)),
    )
    fields = [(m.DESCRIPTOR, m.DESCRIPTOR.fields_by_name[n]) for m, names in ways for n in names]
    return {(holder.name, field.number): field.message_type for holder, field in fields}


_CHILDREN = _children()


class _IrregularError(Exception):
    """The file is not one that can be read without its numbers."""


class _Span(NamedTuple):
    """Where in a file numbers are."""

    name: str  # of their field
    dtype: np.dtype[Any]
    start: int
    size: int  # bytes


class Caffemodel:
    """A caffemodel whose file is open.

    Attributes
    ----------
    model : NetParameter
        What it holds; the numbers of its blobs may be left out, and are had from `values`.
    """

    def __init__(self, path: str, file: BinaryIO, whole_types: Collection[str]) -> None:
        self._path, self._file = path, file
        self._spans: list[list[_Span]] | None = None
        try:
            spans, self.model = _without_numbers(file)
            if any(layer.type in whole_types for layer in self.model.layer):
                raise _IrregularError
            self._spans = spans
        except (_IrregularError, DecodeError):
            self.model = read_binary(path, caffe_pb2.NetParameter)

    def values(self, proto: caffe_pb2.BlobProto) -> Parts:
        """Return the values of a blob of `model`, to be read while the file is open.

        Raises
        ------
        WeightsError
            If there are not as many values as the shape says, or the shape is none.
        """
        if self._spans is None:
            array = blobproto_to_array(proto)
            return lambda: [array]
        shape = blobproto_shape(proto)
        spans = self._spans[int(proto.double_diff[0])]
        double = [span for span in spans if span.name == "double_data" and span.size]
        chosen = double or [span for span in spans if span.name == "data"]
        name = "double_data" if double else "data"
        check_count(name, shape, sum(span.size // span.dtype.itemsize for span in chosen))
        return lambda: self._read(chosen)

    def _read(self, spans: Iterable[_Span]) -> Iterator[Array]:
        for span in spans:
            for start in range(0, span.size, PART):
                size = min(PART, span.size - start)
                content = self._content(span.start + start, size)
                yield np.frombuffer(content, span.dtype)

    def _content(self, start: int, size: int) -> bytes:
        self._file.seek(start)
        content = self._file.read(size)
        if len(content) < size:
            raise WeightsError(f"{self._path}: the file became shorter while it was read")
        return content


@contextmanager
def open_caffemodel(
    path: str | os.PathLike[str], whole_types: Collection[str] = ()
) -> Iterator[Caffemodel]:
    """Open a binary caffemodel.

    Parameters
    ----------
    path : path-like
        The file.
    whole_types : collection of str
        A file with layers of these types is read whole, and no number is left out.

    Raises
    ------
    WeightsError
        If there is no such file, or it is cut short, or it is something else; the sentence says
        what it seems to be.
    """
    with open_binary(path) as file:
        yield Caffemodel(os.fspath(path), file, whole_types)


def _without_numbers(file: BinaryIO) -> tuple[list[list[_Span]], caffe_pb2.NetParameter]:
    """Return where the numbers of each blob are, and the message without them.

    The only number left in each blob, in ``double_diff``, says which of the lists is its own.
    """
    size = os.fstat(file.fileno()).st_size
    if size > LARGEST_FILE:
        raise _IrregularError
    reader = _Reader(file)
    content = reader.message(caffe_pb2.NetParameter.DESCRIPTOR, size)
    model = caffe_pb2.NetParameter.FromString(content)
    if not texts_are_valid(model):
        raise _IrregularError
    if not (model.layer or model.layers) or len(model.layer) < model.layer_count:
        raise _IrregularError  # to be refused by who reads it whole
    return reader.spans, model


class _Reader:
    def __init__(self, file: BinaryIO) -> None:
        self._file, self._place = file, 0
        self.spans: list[list[_Span]] = []

    def message(self, kind: Any, end: int) -> bytes:
        """Return the message from here to `end` without the numbers of blobs."""
        out, spans = [], []
        while self._place < end:
            tag = self._varint(end)
            number, wire_type = tag >> 3, tag & 7
            is_numbers = kind is _BLOB and number in _NUMBERS
            if wire_type != _LENGTH_DELIMITED:
                if is_numbers:
                    raise _IrregularError  # one by one
                out.append(varint(tag) + self._scalar(wire_type, end))
                continue
            size = self._varint(end)
            if size > end - self._place:
                raise _IrregularError
            if is_numbers:
                spans.append(self._skip(number, size))
                continue
            child = _CHILDREN.get((kind.name, number))
            inside = (
                self._bytes(size, end) if child is None else self.message(child, self._place + size)
            )
            out.append(varint(tag) + varint(len(inside)) + inside)
        if kind is _BLOB:
            out.append(caffe_pb2.BlobProto(double_diff=[len(self.spans)]).SerializeToString())
            self.spans.append(spans)
        return b"".join(out)

    def _skip(self, number: int, size: int) -> _Span:
        name, dtype = _NUMBERS[number]
        if size % dtype.itemsize:
            raise _IrregularError
        span = _Span(name, dtype, self._place, size)
        self._place += size
        self._file.seek(self._place)
        return span

    def _scalar(self, wire_type: int, end: int) -> bytes:
        if wire_type == 0:
            return varint(self._varint(end))
        if wire_type not in _FIXED:
            raise _IrregularError  # a group
        return self._bytes(_FIXED[wire_type], end)

    def _varint(self, end: int) -> int:
        value = 0
        for i in range(_LARGEST_VARINT):
            byte = self._bytes(1, end)[0]
            value |= (byte & 127) << 7 * i
            if byte < 128 and value < 1 << 64:
                return value
            if value >= 1 << 64:
                break
        raise _IrregularError

    def _bytes(self, size: int, end: int) -> bytes:
        content = self._file.read(size)
        self._place += size
        if len(content) < size or self._place > end:
            raise _IrregularError
        return content
