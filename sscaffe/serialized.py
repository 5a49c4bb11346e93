"""Binary protobuf files: caffemodels, solverstates, arrays; and arrays as messages.

Arrays pass through protobuf's wire format as bytes, not number by number, so that 60 million
weights take a fraction of a second.
"""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError, EncodeError, Message

from sscaffe.errors import WeightsError
from sscaffe.files import write_atomically
from sscaffe.proto import caffe_pb2

Array = npt.NDArray[Any]
_M = TypeVar("_M", bound=Message)

LARGEST_FILE = 2**31 - 1
"""Bytes that a protobuf message may have."""
LARGEST_COUNT = 2**31 - 1
"""Elements that a blob may have."""
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"

_LENGTH_DELIMITED = 2
_ENOUGH_FOR_TEXT = 4096
_FIELDS = caffe_pb2.BlobProto.DESCRIPTOR.fields_by_name


class _Kind(NamedTuple):
    """A kind of file, and the fields of which it has at least one."""

    message_class: type[Message]
    words: str
    fields: tuple[str, ...]


_KINDS = (
    _Kind(caffe_pb2.NetParameter, "a caffemodel", ("layer", "layers")),
    _Kind(caffe_pb2.SolverState, "a solverstate", ("iter", "history", "learned_net")),
    _Kind(
        caffe_pb2.BlobProto,
        "an array (binaryproto)",
        ("data", "double_data", "diff", "double_diff", "shape"),
    ),
)


def read_binary(path: str | os.PathLike[str], message_class: type[_M]) -> _M:
    """Read a message from a binary file.

    Parameters
    ----------
    path : path-like
        The file.
    message_class : type
        ``NetParameter`` for a caffemodel, ``SolverState`` for a solverstate, ``BlobProto`` for
        an array such as a mean image, or any other message.

    Returns
    -------
    Message
        The message.

    Raises
    ------
    WeightsError
        If there is no such file, or it is cut short, or it is something else; the sentence says
        what it seems to be.
    """
    content = _read(Path(path))
    message = _decode(content, message_class)
    if message is None or not _is_plausible(message):
        wanted = next((k.words for k in _KINDS if k.message_class is message_class), "")
        wanted = wanted or f"a binary {message_class.DESCRIPTOR.name}"
        raise WeightsError(f"{path}: expected {wanted}, got {_what_is(content)}")
    if isinstance(message, caffe_pb2.NetParameter) and len(message.layer) < message.layer_count:
        raise WeightsError(
            f"{path}: expected {message.layer_count} layers, got {len(message.layer)}; "
            "the file was cut short"
        )
    return message


def write_binary(path: str | os.PathLike[str], message: Message) -> None:
    """Write a message to a binary file, so that a crash leaves the old file or the new one.

    Parameters
    ----------
    path : path-like
        The file; its folder must exist.
    message : Message
        The message, such as a ``NetParameter`` with blobs.

    Raises
    ------
    WeightsError
        If the message is larger than protobuf allows.
    SscaffeError
        If the file cannot be written.
    """
    size = _size(message)
    if size > LARGEST_FILE:
        raise WeightsError(
            f"{path}: {size} bytes are more than the 2^31 - 1 of a binary file; "
            "use snapshot_format: HDF5"
        )
    write_atomically(path, _encode(message))


def is_hdf5(path: str | os.PathLike[str]) -> bool:
    """Tell from its content whether a file is an HDF5 file.

    Raises
    ------
    WeightsError
        If the file cannot be read.
    """
    return _start(path, len(HDF5_SIGNATURE)) == HDF5_SIGNATURE


def is_text(path: str | os.PathLike[str]) -> bool:
    """Tell from its content whether a file is text, such as a prototxt.

    Raises
    ------
    WeightsError
        If the file cannot be read.
    """
    return _is_text(_start(path, _ENOUGH_FOR_TEXT))


@contextmanager
def open_binary(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file to be read.

    Raises
    ------
    WeightsError
        If it cannot be opened, or read within the block.
    """
    try:
        with Path(path).open("rb") as file:
            yield file
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise WeightsError(f"{os.fspath(path)}: cannot be read: {reason}") from None


def array_to_blobproto(data: Array, diff: Array | None = None) -> caffe_pb2.BlobProto:
    """Put an array into a message, in single precision.

    Parameters
    ----------
    data : ndarray
        Of any shape.
    diff : ndarray, optional
        Gradients of the same shape.

    Returns
    -------
    BlobProto
        With ``shape``, ``data`` and ``diff``.
    """
    proto = caffe_pb2.BlobProto()
    fill_blobproto(proto, data, diff)
    return proto


def fill_blobproto(proto: caffe_pb2.BlobProto, data: Array, diff: Array | None = None) -> None:
    """Put an array into an empty message that is part of another one.

    Parameters
    ----------
    proto : BlobProto
        The message, such as ``layer.blobs.add()``.
    data : ndarray
        Of any shape.
    diff : ndarray, optional
        Gradients of the same shape.
    """
    proto.shape.SetInParent()
    proto.shape.dim.extend(data.shape)
    for name, values in (("data", data), ("diff", diff)):
        if values is not None and values.size:
            try:
                proto.MergeFromString(_packed(name, values))
            except DecodeError as error:  # What was just encoded is right: there is no room for it.
                raise MemoryError(f"{values.nbytes} bytes cannot be allocated") from error


def blobproto_to_array(proto: caffe_pb2.BlobProto, return_diff: bool = False) -> Array:
    """Take the array out of a message.

    Parameters
    ----------
    proto : BlobProto
        With ``shape``, or with the four dimensions of old.
    return_diff : bool
        Take the gradients instead of the values.

    Returns
    -------
    ndarray
        float32, or float64 where the message holds double precision; it may be read-only.

    Raises
    ------
    WeightsError
        If there are not as many values as the shape says, or the shape is none.
    """
    shape = blobproto_shape(proto)
    plain, double = ("diff", "double_diff") if return_diff else ("data", "double_data")
    name = double if len(getattr(proto, double)) else plain
    check_count(name, shape, len(getattr(proto, name)))
    return _values(proto, name).reshape(shape)


def blobproto_shape(proto: caffe_pb2.BlobProto) -> tuple[int, ...]:
    """Return the shape of the array in a message.

    Raises
    ------
    WeightsError
        If a dimension is negative, or the elements cannot be counted in 31 bits.
    """
    shape = (
        (proto.num, proto.channels, proto.height, proto.width)
        if has_legacy_shape(proto)
        else tuple(proto.shape.dim)
    )
    if any(size < 0 for size in shape):
        raise WeightsError(f"shape: expected sizes of 0 or more, got {shape}")
    if math.prod(shape) > LARGEST_COUNT:
        raise WeightsError(f"shape: {shape} has more than the 2^31 - 1 elements of a blob")
    return shape


def check_count(name: str, shape: tuple[int, ...], stored: int) -> None:
    """Check that a field of a BlobProto has as many values as its shape says.

    Raises
    ------
    WeightsError
        If not.
    """
    expected = math.prod(shape)
    if stored != expected:
        raise WeightsError(f"{name}: expected {expected} values for shape {shape}, got {stored}")


def has_legacy_shape(proto: caffe_pb2.BlobProto) -> bool:
    """Tell whether a message has only the four dimensions that were written before ``shape``."""
    old = ("num", "channels", "height", "width")
    return not proto.HasField("shape") and any(proto.HasField(name) for name in old)


def _read(path: Path) -> bytes:
    with open_binary(path) as file:
        content = file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise WeightsError(f"{path}: expected at most 2^31 - 1 bytes, got more")
    return content


def _start(path: str | os.PathLike[str], size: int) -> bytes:
    with open_binary(path) as file:
        return file.read(size)


def _decode(content: bytes, message_class: type[_M]) -> _M | None:
    message = message_class()
    try:
        message.ParseFromString(content)
    except DecodeError:
        return None
    return message


def _size(message: Message) -> int:
    try:
        return message.ByteSize()
    except EncodeError as error:  # It encodes the message to find out.
        raise MemoryError from error


def _encode(message: Message) -> bytes:
    try:
        return _encoded(message)
    except EncodeError as error:  # Every message of ours is complete: there is no other reason.
        raise MemoryError from error


def _encoded(message: Message) -> bytes:
    if not isinstance(message, caffe_pb2.NetParameter) or not message.HasField("layer_count"):
        return message.SerializeToString()
    # In front of everything: there it is read even where the rest is cut off.
    first = caffe_pb2.NetParameter(layer_count=message.layer_count)
    message.ClearField("layer_count")
    content = first.SerializeToString() + message.SerializeToString()
    message.layer_count = first.layer_count
    return content


def _is_plausible(message: Message) -> bool:
    """Tell whether a message has what its kind of file cannot be without."""
    for kind in _KINDS:
        if isinstance(message, kind.message_class):
            present = {field.name for field, _ in message.ListFields()}
            return bool(present.intersection(kind.fields))
    return True


def _what_is(content: bytes) -> str:
    if not content:
        return "an empty file"
    if content.startswith(HDF5_SIGNATURE):
        return "an HDF5 file"
    if _is_text(content[:_ENOUGH_FOR_TEXT]):
        return "a text file, such as a prototxt"
    for kind in _KINDS:
        message = _decode(content, kind.message_class)
        if message is not None and _is_plausible(message):
            return f"what seems to be {kind.words}"
    return "a file that is cut short or of another kind"


def _is_text(start: bytes) -> bool:
    return not any(byte < 32 and byte not in b"\t\n\r\f" for byte in start)


def _packed(name: str, values: Array) -> bytes:
    """Return a packed field as it stands in a message: tag, length, numbers."""
    raw = np.ascontiguousarray(values, dtype="<f4")
    tag = _FIELDS[name].number << 3 | _LENGTH_DELIMITED
    return b"".join((varint(tag), varint(raw.nbytes), raw.data.cast("B")))


def _values(proto: caffe_pb2.BlobProto, name: str) -> Array:
    """Return the numbers of a packed field."""
    dtype = np.dtype("<f8" if name.startswith("double") else "<f4")
    content = proto.SerializeToString()
    found = _find(content, _FIELDS[name].number)
    values = np.frombuffer(memoryview(content)[found or slice(0)], dtype)
    # Fields that the schema does not know come after all that it knows.
    assert len(values) == len(getattr(proto, name))
    return values


def _find(content: bytes, number: int) -> slice | None:
    """Return where the first field of this number and of variable length stands."""
    position = 0
    while position < len(content):
        tag, position = _read_varint(content, position)
        wire_type = tag & 7
        if wire_type == _LENGTH_DELIMITED:
            length, position = _read_varint(content, position)
            if tag >> 3 == number:
                return slice(position, position + length)
            position += length
        elif wire_type == 0:
            _, position = _read_varint(content, position)
        else:
            position += {1: 8, 5: 4}.get(wire_type, 0)
    return None


def varint(value: int) -> bytes:
    """Return a number as protobuf writes it."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(content: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7
