"""Image files: reading and writing them, and resizing as OpenCV does."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sscaffe.data.datum import decode_image, import_pillow
from sscaffe.errors import DataError

Array = npt.NDArray[Any]

_SETTINGS: dict[str, dict[str, Any]] = {"JPEG": {"quality": 95}}

_ONE = 2048  # of the fixed-point weights, as in OpenCV


def read_image(
    path: Path, channels: int | None = None, size: tuple[int, int] | None = None
) -> Array:
    """Read an image file.

    Parameters
    ----------
    path : Path
        The file.
    channels : int, optional
        1 for gray, 3 for colour; by default as many as the file has.
    size : (int, int), optional
        Height and width to resize to; by default as it is.

    Returns
    -------
    ndarray of uint8, shape (C, H, W)
        Blue, green, red.

    Raises
    ------
    DataError
        If the file cannot be read, or is no image.
    UnsupportedError
        If Pillow is not installed.
    """
    image = decode_file(path, read_file(path), channels)
    return image if size is None else resize(image, *size)


def read_file(path: Path) -> bytes:
    """Return the content of a file.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"source: {path} cannot be read: {error.strerror}") from error


def decode_file(path: Path, content: bytes, channels: int | None = None) -> Array:
    """Return the image of a file that was read; see `decode_image`.

    Raises
    ------
    DataError
        If it is no image; the sentence names the file.
    UnsupportedError
        If Pillow is not installed.
    """
    try:
        return decode_image(content, channels)
    except DataError as error:
        reason = error.__cause__ or error
        raise DataError(f"source: expected an image file, got {path}: {reason}") from error


def image_format(kind: str) -> str:
    """Return what Pillow calls a kind of image file, such as ``jpg`` or ``png``.

    Raises
    ------
    DataError
        If it cannot write such files.
    UnsupportedError
        If Pillow is not installed.
    """
    image_module = import_pillow()
    image_module.init()
    name = image_module.registered_extensions().get(f".{kind.lower()}")
    if name not in image_module.SAVE:
        raise DataError(f"encode_type: expected jpg, png or another kind of image, got {kind!r}")
    return str(name)


def encode_image(image: Array, kind: str) -> bytes:
    """Return an image file.

    Parameters
    ----------
    image : ndarray of uint8, shape (C, H, W)
        Gray, or blue, green and red.
    kind : str
        As for `image_format`. JPEG is written with quality 95, as OpenCV does.

    Raises
    ------
    DataError
        If the image cannot be stored so.
    UnsupportedError
        If Pillow is not installed.
    """
    image_module = import_pillow()
    pixels = image[0] if len(image) == 1 else np.ascontiguousarray(image[::-1].transpose(1, 2, 0))
    name, file = image_format(kind), io.BytesIO()
    try:
        image_module.fromarray(pixels).save(file, name, **_SETTINGS.get(name, {}))
    except (OSError, ValueError) as error:
        raise DataError(f"encode_type: {kind} cannot hold this image: {error}") from error
    return file.getvalue()


def resize(image: Array, height: int, width: int) -> Array:
    """Resize by bilinear interpolation, bit for bit as OpenCV's INTER_LINEAR does.

    OpenCV does not smooth an image that becomes smaller, but where both sizes become exactly half,
    it takes the mean of four pixels.

    Parameters
    ----------
    image : ndarray of uint8, shape (C, H, W)
        The image.
    height, width : int
        The new sizes.

    Returns
    -------
    ndarray of uint8, shape (C, height, width)
    """
    channels, old_height, old_width = image.shape
    if (old_height, old_width) == (height, width):
        return image
    if (old_height, old_width) == (2 * height, 2 * width):
        tiles = image.reshape(channels, height, 2, width, 2).astype(np.int32)
        return np.asarray((tiles.sum(axis=(2, 4)) + 2) >> 2, np.uint8)
    left, left_weight, right_weight = _taps(old_width, width)
    above, above_weight, below_weight = _taps(old_height, height)
    # Beyond the border OpenCV takes one pixel along a row, but one row twice along a column, which
    # does not round the same way.
    beyond = (left < 0) | (left >= old_width - 1)
    left_weight[beyond], right_weight[beyond] = _ONE, 0
    left = left.clip(0, old_width - 1)
    right = (left + 1).clip(0, old_width - 1)
    pixels = image.astype(np.int32)
    rows = (pixels[:, :, left] * left_weight + pixels[:, :, right] * right_weight) >> 4
    first = rows[:, above.clip(0, old_height - 1)] * above_weight[:, None] >> 16
    second = rows[:, (above + 1).clip(0, old_height - 1)] * below_weight[:, None] >> 16
    return np.asarray((first + second + 2) >> 2, np.uint8)


def _taps(old: int, new: int) -> tuple[Array, Array, Array]:
    """Return the first of the two pixels of each new one, and the weights of both."""
    places = ((np.arange(new) + 0.5) * (1 / (new / old)) - 0.5).astype(np.float32)
    first = np.floor(places).astype(np.int64)
    share = places - first.astype(np.float32)
    weights = [np.rint(part * np.float32(_ONE)).astype(np.int32) for part in (1 - share, share)]
    return first, weights[0], weights[1]
