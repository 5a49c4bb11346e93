"""Arrays and the messages that hold them: BlobProto, BlobProtoVector, Datum."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from sscaffe import serialized
from sscaffe.data import datum as datums
from sscaffe.errors import DataError, WeightsError
from sscaffe.proto import caffe_pb2

Array = npt.NDArray[np.generic]
Doubles = npt.NDArray[np.float64]


class ArrayError(DataError, ValueError):
    """An array or message of another shape than expected."""


def blobproto_to_array(blob: caffe_pb2.BlobProto, return_diff: bool = False) -> Doubles:
    """Return the array in a BlobProto, such as a mean image.

    Parameters
    ----------
    blob : BlobProto
        With ``shape``, or with the four dimensions of old.
    return_diff : bool
        Return the gradients instead of the values.

    Returns
    -------
    ndarray of float64
        A copy.

    Raises
    ------
    ArrayError
        If there are not as many values as the shape says.
    """
    try:
        values = serialized.blobproto_to_array(blob, return_diff)
    except WeightsError as error:
        raise ArrayError(str(error)) from error
    return np.array(values, np.float64)


def array_to_blobproto(arr: Array, diff: Array | None = None) -> caffe_pb2.BlobProto:
    """Return a BlobProto that holds an array, in single precision.

    Parameters
    ----------
    arr : ndarray
        Of any shape.
    diff : ndarray, optional
        Gradients of the same shape.

    Raises
    ------
    ArrayError
        If the shapes differ.
    """
    arr = np.asarray(arr)
    if diff is not None and np.shape(diff) != arr.shape:
        raise ArrayError(f"diff: expected shape {arr.shape}, got {np.shape(diff)}")
    return serialized.array_to_blobproto(arr, None if diff is None else np.asarray(diff))


def arraylist_to_blobprotovector_str(arraylist: Iterable[Array]) -> bytes:
    """Return arrays as the bytes of a BlobProtoVector."""
    blobs = [array_to_blobproto(arr) for arr in arraylist]
    return caffe_pb2.BlobProtoVector(blobs=blobs).SerializeToString()


def blobprotovector_str_to_arraylist(str: bytes) -> list[Doubles]:  # noqa: A002 - pycaffe's name
    """Return the arrays in the bytes of a BlobProtoVector.

    Raises
    ------
    ArrayError
        If they are the bytes of something else.
    """
    try:
        vector = caffe_pb2.BlobProtoVector.FromString(str)
    except DecodeError as error:
        raise ArrayError(f"expected a BlobProtoVector, got {len(str)} other bytes") from error
    return [blobproto_to_array(blob) for blob in vector.blobs]


def array_to_datum(arr: Array, label: int | None = None) -> caffe_pb2.Datum:
    """Return a Datum that holds an array.

    Parameters
    ----------
    arr : ndarray, shape (C, H, W)
        uint8 is stored as bytes, everything else in single precision.
    label : int, optional
        The class, counted from 0.

    Raises
    ------
    ArrayError
        If the array has another number of axes.
    """
    try:
        return datums.array_to_datum(np.asarray(arr), label)
    except DataError as error:
        raise ArrayError(str(error)) from error


def datum_to_array(datum: caffe_pb2.Datum) -> Array:
    """Return the array in a Datum; where it holds an image file, the image, its colours as BGR.

    Returns
    -------
    ndarray, shape (C, H, W)
        A copy: uint8, or float64 if the Datum holds floats.

    Raises
    ------
    ArrayError
        If the number of values is not C * H * W, or the image cannot be read.
    UnsupportedError
        If it holds an image file and Pillow is not installed.
    """
    try:
        values = datums.datum_to_array(datum)
    except DataError as error:
        raise ArrayError(str(error)) from error
    return np.array(values, np.uint8 if values.dtype == np.uint8 else np.float64)
