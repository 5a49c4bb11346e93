"""Images between their pixels; splines by scipy, the rest by NumPy."""

from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from sscaffe.errors import UnsupportedError

Array = npt.NDArray[Any]
Size = tuple[int, ...]


def resample(
    image: Array, size: Size, order: int, *, by_middles: bool, mirrors: bool = False
) -> Array:
    """Resize by the nearest pixels or linearly.

    Parameters
    ----------
    image : ndarray, shape (H, W, K)
        The image.
    size : (int, int)
        The new height and width.
    order : int
        0 for the nearest pixel, 1 for linear.
    by_middles : bool
        Whether pixels are areas, so that places beyond the middles of the outermost are met; else
        they are points, the first and last of which stay first and last.
    mirrors : bool
        Whether the image is mirrored at the middles of its outermost pixels; else it is zero
        there.

    Returns
    -------
    ndarray of float64, shape (new H, new W, K)
    """
    result = np.asarray(image, np.float64)
    for axis, new in enumerate(size):
        old = result.shape[axis]
        if by_middles:
            places = (np.arange(new) + 0.5) * (old / new) - 0.5
        else:
            step = (old - 1) / (new - 1) if new > 1 else 1.0
            # The last one may be a rounding error beyond the border; scipy would take zero there.
            places = np.minimum(np.arange(new) * step, old - 1)
        if order == 0:
            result = result.take(np.floor(places + 0.5).astype(int).clip(0, old - 1), axis)
        else:
            result = _linear(result, axis, places, mirrors)
    return result


def _linear(image: Array, axis: int, places: Array, mirrors: bool) -> Array:
    first = np.floor(places).astype(int)
    share = places - first
    last = image.shape[axis] - 1
    shape = [-1 if i == axis else 1 for i in range(image.ndim)]

    def part(pixels: Array, weights: Array) -> Array:
        if mirrors:
            return image.take(_mirrored(pixels, last + 1), axis) * weights.reshape(shape)
        inside = np.where((pixels >= 0) & (pixels <= last), weights, 0).reshape(shape)
        return image.take(pixels.clip(0, last), axis) * inside

    return part(first, 1 - share) + part(first + 1, share)


def smooth(image: Array, size: Size, *, mirrors: bool) -> Array:
    """Smooth an image along the axes that become smaller, before it is resized.

    By a Gaussian whose standard deviation is half of what the factor exceeds 1 by, in pixels, cut
    off at four of them.
    """
    result = np.asarray(image, np.float64)
    for axis, new in enumerate(size):
        old = result.shape[axis]
        sigma = (old / new - 1) / 2
        if sigma > 0:
            reach = int(4 * sigma + 0.5)
            offsets = np.arange(-reach, reach + 1)
            weights = np.exp(-0.5 * (offsets / sigma) ** 2)
            kernel = _as_matrix(offsets, weights / weights.sum(), old, mirrors)
            result = np.moveaxis(np.tensordot(kernel, result, (1, axis)), 0, axis)
    return result


def _as_matrix(offsets: Array, weights: Array, count: int, mirrors: bool) -> Array:
    """Return the matrix that a filter multiplies `count` pixels by."""
    matrix = np.zeros((count, count))
    for offset, weight in zip(offsets, weights, strict=True):
        rows = np.arange(count)
        columns = rows + offset
        if mirrors:
            columns = _mirrored(columns, count)
        else:
            inside = (columns >= 0) & (columns < count)
            rows, columns = rows[inside], columns[inside]
        np.add.at(matrix, (rows, columns), weight)
    return matrix


def _mirrored(pixels: Array, count: int) -> Array:
    """Return which of `count` pixels stand where an image is mirrored at its outermost ones."""
    if count == 1:
        return np.zeros_like(pixels)
    around = pixels % (2 * count - 2)
    mirrored: Array = np.minimum(around, 2 * count - 2 - around)
    return mirrored


def clipped_spline(image: Array, size: Size, order: int, *, mirrors: bool) -> Array:
    """Resize by splines of order 2 to 5, pixels being areas, and keep to the range from 0 to 1.

    Raises
    ------
    UnsupportedError
        If scipy is not installed.
    """
    factors = [new / old for new, old in zip(size, image.shape, strict=False)]
    zoomed: Array = _ndimage().zoom(
        image,
        (*factors, 1),
        order=order,
        mode="mirror" if mirrors else "grid-constant",
        grid_mode=True,
    )
    return zoomed.clip(0, 1)


def zoom_spline(image: Array, size: Size, order: int) -> Array:
    """Resize by splines of order 2 to 5, pixels being points.

    Raises
    ------
    UnsupportedError
        If scipy is not installed.
    """
    factors = [new / old for new, old in zip(size, image.shape, strict=False)]
    zoomed: Array = _ndimage().zoom(image, (*factors, 1), order=order, mode="mirror")
    return zoomed


def _ndimage() -> ModuleType:
    try:
        from scipy import ndimage
    except ImportError as error:
        raise UnsupportedError(
            "resize_image: splines need scipy: pip install scipy; interp_order 0 and 1 do without"
        ) from error
    module: ModuleType = ndimage
    return module
