"""Image files: reading them, and resizing as OpenCV does."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sscaffe.data.datum import decode_image
from sscaffe.errors import DataError

Array = npt.NDArray[Any]

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
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"source: {path} cannot be read: {error.strerror}") from error
    try:
        image = decode_image(content, channels)
    except DataError as error:
        raise DataError(f"source: expected an image file, got {path}: {error.__cause__}") from error
    return image if size is None else resize(image, *size)


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
