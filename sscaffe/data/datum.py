"""Datum, one record of a database, and arrays.

An image is an array (C, H, W); colour channels are in the order blue, green, red.
"""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from sscaffe.errors import DataError, UnsupportedError
from sscaffe.proto import caffe_pb2

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

# How Pillow calls what Caffe makes of an image file: one, three or four channels.
_KEPT_MODES = {"L": "L", "1": "L", "LA": "L", "RGB": "RGB", "RGBA": "RGBA", "PA": "RGBA"}

_COLOURS = ("RGB", "RGBA", "P")  # what a PNG file with colours is called


def array_to_datum(array: Array, label: int | None = None) -> caffe_pb2.Datum:
    """Return a Datum with the values of an array.

    Parameters
    ----------
    array : ndarray, shape (C, H, W)
        uint8 is stored as bytes, everything else as 32-bit floats.
    label : int, optional
        The class, counted from 0.

    Raises
    ------
    DataError
        If the array has another number of axes.
    """
    if array.ndim != 3:
        raise DataError(f"datum: expected an array of shape (C, H, W), got {array.shape}")
    channels, height, width = array.shape
    datum = caffe_pb2.Datum(channels=channels, height=height, width=width)
    if array.dtype == np.uint8:
        datum.data = array.tobytes()
    else:
        datum.float_data.extend(array.astype(np.float32).ravel().tolist())
    if label is not None:
        datum.label = label
    return datum


def datum_to_array(datum: caffe_pb2.Datum, channels: int | None = None) -> Array:
    """Return the image of a Datum.

    Parameters
    ----------
    datum : Datum
        Bytes, floats, or a whole image file.
    channels : int, optional
        Make 1 or 3 channels of an image file; as many as it has by default.

    Returns
    -------
    ndarray, shape (C, H, W)
        uint8, or float32 if the Datum holds floats.

    Raises
    ------
    DataError
        If the number of values is not C * H * W, or the image file cannot be read.
    UnsupportedError
        If an image file is to be read and Pillow is not installed.
    """
    if datum.encoded:
        return decode_image(datum.data, channels)
    shape = (datum.channels, datum.height, datum.width)
    values = (
        np.frombuffer(datum.data, np.uint8)
        if datum.data
        else np.asarray(datum.float_data, np.float32)
    )
    if min(shape) < 1 or math.prod(shape) != values.size:
        raise DataError(f"datum: expected values of shape {shape}, got {values.size} of them")
    return values.reshape(shape)


def decode_image(content: bytes, channels: int | None = None) -> Array:
    """Return the image of a JPEG, PNG or other image file.

    Parameters
    ----------
    content : bytes
        The whole file.
    channels : int, optional
        1 for gray, 3 for colour; by default as many as the file has.

    Returns
    -------
    ndarray of uint8, shape (C, H, W)
        Blue, green, red, and transparency if there are four channels.

    Raises
    ------
    DataError
        If the image cannot be read.
    UnsupportedError
        If Pillow is not installed.
    """
    Image = import_pillow()  # noqa: N806
    try:
        with Image.open(io.BytesIO(content)) as image:
            if channels == 1:
                image.draft("L", image.size)  # The luminance that a JPEG stores, as Caffe reads it.
            if channels == 1 and image.format == "PNG" and image.mode in _COLOURS:
                pixels = _png_gray(np.asarray(image.convert("RGB")))
            else:
                pixels = np.asarray(image.convert(_pillow_mode(image, channels)))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(
            f"encoded: expected an image file, got {len(content)} bytes: {error}"
        ) from (error)
    return _to_bgr(pixels)


def import_pillow() -> ModuleType:
    """Return Pillow's module Image.

    Raises
    ------
    UnsupportedError
        If it is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise UnsupportedError(
            "encoded: an image file needs Pillow: pip install 'sscaffe[data]'"
        ) from error
    return Image


def _png_gray(pixels: Array) -> Array:
    """Return the luminance of (H, W, 3), as libpng computes it, which Caffe has it from."""
    weights = np.array([9797, 19234, 3737], np.uint32)
    return np.asarray((pixels @ weights) >> 15, np.uint8)


def _pillow_mode(image: Any, channels: int | None) -> str:
    if image.mode.startswith(("I", "F")):
        raise DataError(f"encoded: expected 8 bits a channel, got an image of mode {image.mode}")
    if channels is not None:
        return {1: "L", 3: "RGB"}[channels]
    if image.mode == "P":
        return "RGBA" if "transparency" in image.info else "RGB"
    return _KEPT_MODES.get(image.mode, "RGB")


def _to_bgr(pixels: Array) -> Array:
    if pixels.ndim == 2:
        return pixels[np.newaxis]
    order = [2, 1, 0, 3][: pixels.shape[2]]
    return np.ascontiguousarray(pixels[:, :, order].transpose(2, 0, 1))


@dataclass
class _Layout:
    """What stands around the pixels in records of one shape."""

    head: bytes
    shape: Shape
    labels: dict[bytes, int] = field(default_factory=dict)  # by what follows the pixels

    @property
    def pixels(self) -> slice:
        """Where the pixels are."""
        return slice(len(self.head), len(self.head) + math.prod(self.shape))


class DatumDecoder:
    """Turn many records into arrays, fast where they look alike.

    Records of one shape differ in the pixels and in the few bytes of the label only, so a record
    that starts like the last one and ends in a way already seen is cut, not parsed.

    Parameters
    ----------
    channels : int, optional
        Make 1 or 3 channels of image files; as many as they have by default.
    """

    def __init__(self, channels: int | None = None) -> None:
        self._channels = channels
        self._layout: _Layout | None = None

    def decode(self, record: bytes) -> tuple[Array, int]:
        """Return the image of one record, shape (C, H, W), and its label.

        Raises
        ------
        DataError
            If the record is not a Datum, or not a whole one.
        """
        try:
            datum = caffe_pb2.Datum.FromString(record)
        except DecodeError as error:
            raise DataError(
                f"record: expected a Datum, got {len(record)} bytes of something else"
            ) from error
        image = datum_to_array(datum, self._channels)
        if not datum.encoded and datum.data:
            self._learn(record, datum)
        return image, datum.label

    def decode_alike(self, records: Sequence[bytes], out: Array) -> Array | None:
        """Set `out` to the images of records of one shape, without parsing each.

        Parameters
        ----------
        records : sequence of bytes
            One at least.
        out : ndarray of uint8, shape (len(records), C, H, W)
            Overwritten.

        Returns
        -------
        ndarray of int32, or None
            The labels; None where not every record is bytes of the shape of `out`, as the last
            record that `decode` saw was.
        """
        layout = self._layout
        if layout is None or layout.shape != out.shape[1:]:
            return None
        pieces, labels = [], np.empty(len(records), np.int32)
        head, pixels, known = layout.head, layout.pixels, layout.labels
        for i, record in enumerate(records):
            tail = record[pixels.stop :]
            if len(record) < pixels.stop or not record.startswith(head):
                return None
            if tail not in known and not self._ends(layout, tail):
                return None
            labels[i] = known[tail]
            pieces.append(record[pixels])
        out[...] = np.frombuffer(b"".join(pieces), np.uint8).reshape(out.shape)
        return labels

    def _learn(self, record: bytes, datum: caffe_pb2.Datum) -> None:
        shape = (datum.channels, datum.height, datum.width)
        head = caffe_pb2.Datum(channels=shape[0], height=shape[1], width=shape[2], data=datum.data)
        start = head.ByteSize() - len(datum.data)
        if head.SerializeToString() == record[: head.ByteSize()]:
            layout = _Layout(record[:start], shape)
            if self._layout is None or self._layout.head != layout.head:
                self._layout = layout

    @staticmethod
    def _ends(layout: _Layout, tail: bytes) -> bool:
        """Tell whether `tail` is a label and nothing else, and remember which."""
        try:
            datum = caffe_pb2.Datum.FromString(tail)
        except DecodeError:
            return False
        fields = {descriptor.name for descriptor, _ in datum.ListFields()}
        if not fields <= {"label", "encoded"} or datum.encoded:
            return False
        layout.labels[tail] = datum.label
        return True
