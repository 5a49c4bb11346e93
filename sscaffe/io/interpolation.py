"""Images between their pixels; splines and smoothing by scipy, the rest by NumPy."""

from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from sscaffe.errors import UnsupportedError

Array = npt.NDArray[Any]
Size = tuple[int, ...]


def resample(image: Array, size: Size, order: int, *, by_middles: bool) -> Array:
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
        Whether pixels are areas, so that what is beyond their middles at the border mixes with
        zero; else they are points, the first and last of which stay first and last.

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
            result = _linear(result, axis, places)
    return result


def _linear(image: Array, axis: int, places: Array) -> Array:
    first = np.floor(places).astype(int)
    share = places - first
    last = image.shape[axis] - 1
    shape = [-1 if i == axis else 1 for i in range(image.ndim)]

    def part(pixels: Array, weights: Array) -> Array:
        inside = np.where((pixels >= 0) & (pixels <= last), weights, 0).reshape(shape)
        return image.take(pixels.clip(0, last), axis) * inside

    return part(first, 1 - share) + part(first + 1, share)


def smooth(image: Array, size: Size) -> Array:
    """Smooth an image along the axes that become smaller, before it is resized.

    The standard deviation is half of what the factor exceeds 1 by, in pixels; beyond the border
    there are zeros.

    Raises
    ------
    UnsupportedError
        If scipy is not installed.
    """
    ratios = [old / new for old, new in zip(image.shape, (*size, image.shape[2]), strict=True)]
    if max(ratios) <= 1:
        return image
    sigma = [max(0.0, (ratio - 1) / 2) for ratio in ratios]
    filtered: Array = _ndimage().gaussian_filter(image, sigma, mode="constant")
    return filtered


def clipped_spline(image: Array, size: Size, order: int) -> Array:
    """Resize by splines of order 2 to 5, pixels being areas, and keep to the range from 0 to 1.

    Raises
    ------
    UnsupportedError
        If scipy is not installed.
    """
    factors = [new / old for new, old in zip(size, image.shape, strict=False)]
    zoomed: Array = _ndimage().zoom(
        image, (*factors, 1), order=order, mode="grid-constant", grid_mode=True
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
            "resize_image: splines and smoothing need scipy: pip install scipy; "
            "interp_order 0 and 1 do without"
        ) from error
    module: ModuleType = ndimage
    return module
