"""Pictures of weight matrices: what is zero, and how large the rest is.

The PNGs are written here, so that they need no library.
"""

import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_LARGEST = (480, 1200)  # pixels: what is larger shows the largest weight of each patch
_WANTED = (220, 700)  # and what is smaller is magnified towards this
_ZERO = (0xE9, 0xE6, 0xDF)
# From light to dark: small weights stay apart from the pale grey of the zeros.
_COLOURS = np.array(
    [
        (0x9C, 0xCF, 0xC4),
        (0x3F, 0xA0, 0x98),
        (0x1F, 0x6F, 0x86),
        (0x1B, 0x3F, 0x6B),
        (0x16, 0x1B, 0x3A),
    ],
    np.float64,
)


def weight_picture(matrix: Array) -> bytes:
    """Draw the magnitudes of a weight matrix: zeros are pale grey, large weights dark.

    Parameters
    ----------
    matrix : ndarray, shape (rows, columns)
        Large ones are drawn smaller, so that a patch is pale only if all of it is zero.

    Returns
    -------
    bytes
        A PNG.
    """
    magnitude = np.abs(np.nan_to_num(matrix.astype(np.float64)))
    kept = magnitude[magnitude > 0]
    limit = float(np.percentile(kept, 99)) if kept.size else 1.0
    patches = _reduced(magnitude)
    shade = np.clip(patches / limit, 0, 1) * (len(_COLOURS) - 1)
    place = np.arange(len(_COLOURS))
    pixels = np.stack([np.interp(shade, place, _COLOURS[:, i]) for i in range(3)], axis=-1)
    pixels[patches == 0] = _ZERO
    return png(_magnified(pixels.astype(np.uint8)))


def png(pixels: Array) -> bytes:
    """Write an image as a PNG.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (height, width, 3)
        Red, green, blue.
    """
    height, width, _ = pixels.shape
    lines = np.zeros((height, 1 + 3 * width), np.uint8)  # each begins with a 0: no filter
    lines[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, content) for name, content in parts)


def _chunk(name: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + check


def _reduced(magnitude: Array) -> Array:
    """Return the largest magnitude of each patch, few enough to be drawn."""
    for axis, largest in enumerate(_LARGEST):
        size = -(-magnitude.shape[axis] // largest)
        starts = np.arange(0, magnitude.shape[axis], size)
        magnitude = np.maximum.reduceat(magnitude, starts, axis=axis)
    return magnitude


def _magnified(pixels: Array) -> Array:
    """Make the squares of a small matrix larger, all alike unless it is a narrow one."""
    for axis, wanted in enumerate(_WANTED):
        pixels = pixels.repeat(max(1, min(24, wanted // pixels.shape[axis])), axis=axis)
    return pixels
