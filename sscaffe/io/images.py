"""Images as pycaffe holds them: (H, W, K), red, green, blue, from 0 to 1."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sscaffe.data.datum import import_pillow
from sscaffe.data.images import read_file
from sscaffe.errors import DataError
from sscaffe.io.arrays import ArrayError
from sscaffe.io.interpolation import clipped_spline, resample, smooth, zoom_spline

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]

_LUMINANCE = np.array([0.2125, 0.7154, 0.0721])
"""Of red, green and blue. Source: ITU-R BT.709, rounded as scikit-image has it."""


def load_image(filename: str | os.PathLike[str], color: bool = True) -> Floats:
    """Read an image file.

    Parameters
    ----------
    filename : path-like
        JPEG, PNG or another kind that Pillow reads; transparency is left out.
    color : bool
        Return three channels, equal ones if the file is gray; else the luminance.

    Returns
    -------
    ndarray of float32, shape (H, W, 3), or (H, W, 1) if not `color`
        Red, green and blue (not Caffe's blue, green, red), from 0 to 1.

    Raises
    ------
    DataError
        If the file cannot be read, or is no image.
    UnsupportedError
        If Pillow is not installed.
    """
    pixels = _pixels(Path(filename))
    scale = {"b": 1.0, "u": 1.0 / np.iinfo(np.uint8).max}[pixels.dtype.kind]
    if pixels.dtype.itemsize == 2:
        scale = 1.0 / np.iinfo(np.uint16).max
    image = pixels * scale
    if image.ndim == 2:
        image = image[:, :, np.newaxis]
    if color:
        image = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image[:, :, :3]
    elif image.shape[2] > 1:
        if image.shape[2] == 4:  # Transparent parts are white, as scikit-image has them.
            opaque = image[:, :, 3:]
            image = np.clip(opaque * image[:, :, :3] + (1 - opaque), 0, 1)
        image = (image @ _LUMINANCE)[:, :, np.newaxis]
    return image.astype(np.float32)


def _pixels(path: Path) -> Array:
    """Return the pixels of a file: bool, uint8 or uint16, of one, three or four channels."""
    import io

    content = read_file(path)
    image_module = import_pillow()
    try:
        with image_module.open(io.BytesIO(content)) as image:
            if image.mode.startswith("I"):
                return np.asarray(image).astype(np.uint16)
            return np.asarray(image.convert(_mode(image)))
    except (OSError, SyntaxError, ValueError, image_module.DecompressionBombError) as error:
        raise DataError(f"{path}: expected an image file: {error}") from error


def _mode(image: Any) -> str:
    if image.mode in ("1", "L", "RGB", "RGBA"):
        return str(image.mode)
    if image.mode == "P":
        return "RGBA" if "transparency" in image.info else "RGB"
    return "L" if image.mode == "LA" else "RGBA" if image.mode == "PA" else "RGB"


def resize_image(
    im: Array,
    new_dims: Sequence[int],
    interp_order: int = 1,
    *,
    anti_aliasing: bool = True,
    mode: str = "reflect",
) -> Floats:
    """Resize an image, as pycaffe 1.0 does with a scikit-image of today.

    Images of one and three channels are scaled to run from 0 to 1, smoothed where they become
    smaller, and interpolated between the middles of pixels; others are interpolated between the
    middles of the outermost pixels.

    Parameters
    ----------
    im : ndarray, shape (H, W, K)
        The image.
    new_dims : sequence of int
        The new height and width.
    interp_order : int
        0 for the nearest pixel, 1 for linear, 2 to 5 for splines, which need scipy.
    anti_aliasing : bool
        Smooth an image of one or three channels that becomes smaller. pycaffe does so with
        scikit-image 0.15 or later and did not before.
    mode : str
        What is beyond the border of such an image: ``reflect``, the image mirrored at its outermost
        pixels, or ``constant``, zeros, as in pycaffe after release 1.0.

    Returns
    -------
    ndarray of float32, shape (new H, new W, K)

    Raises
    ------
    ArrayError
        If the image has other axes, or a size is not positive.
    UnsupportedError
        If `interp_order` is 2 or more and scipy is not installed.

    Notes
    -----
    Equal to pycaffe with scikit-image 0.19 to 1e-5 of the range of the image. Splines of order 2
    and more were others in scikit-image before 0.19.
    """
    im = np.asarray(im)
    size = (int(new_dims[0]), int(new_dims[1])) if len(new_dims) == 2 else ()
    if im.ndim != 3 or not im.size:
        raise ArrayError(f"im: expected an image of shape (H, W, K), got {im.shape}")
    if len(size) != 2 or min(size) < 1:
        raise ArrayError(f"new_dims: expected a height and a width, got {tuple(new_dims)}")
    if interp_order not in range(6):
        raise ArrayError(f"interp_order: expected 0 to 5, got {interp_order}")
    if im.shape[2] not in (1, 3):
        if interp_order > 1:
            return zoom_spline(im, size, interp_order).astype(np.float32)
        return resample(im, size, interp_order, by_middles=False).astype(np.float32)
    if mode not in ("reflect", "constant"):
        raise ArrayError(f"mode: expected reflect or constant, got {mode!r}")
    mirrors = mode == "reflect"
    low, high = float(im.min()), float(im.max())
    if not high > low:
        return np.full((*size, im.shape[2]), low, np.float32)
    scaled = (im - low) / (high - low)
    if anti_aliasing:
        scaled = smooth(scaled, size, mirrors=mirrors)
    if interp_order > 1:
        scaled = clipped_spline(scaled, size, interp_order, mirrors=mirrors)
    else:
        scaled = resample(scaled, size, interp_order, by_middles=True, mirrors=mirrors)
    return (scaled * (high - low) + low).astype(np.float32)


def oversample(images: Sequence[Array] | Array, crop_dims: Sequence[int] | Array) -> Floats:
    """Cut ten crops out of each image: four corners and the middle, and their mirror images.

    Parameters
    ----------
    images : sequence of ndarray, shape (H, W, K) each
        All of one shape.
    crop_dims : sequence of int
        Height and width of the crops.

    Returns
    -------
    ndarray of float32, shape (10 * number of images, height, width, K)
        Of each image: top left, top right, bottom left, bottom right, middle, then the same
        mirrored from left to right.

    Raises
    ------
    ArrayError
        If an image is smaller than the crops, or the images differ in shape.
    """
    shapes = {np.shape(image) for image in images}
    height, width = (int(size) for size in crop_dims)
    if len(shapes) != 1 or len(next(iter(shapes))) != 3:
        raise ArrayError(f"images: expected one shape (H, W, K), got {sorted(shapes)}")
    full_height, full_width, channels = shapes.pop()
    down, right = full_height - height, full_width - width
    if min(height, width) < 1 or min(down, right) < 0:
        raise ArrayError(
            f"crop_dims: expected at most {full_height} x {full_width}, got {height} x {width}"
        )
    corners = [(0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2)]
    crops = np.empty((10 * len(images), height, width, channels), np.float32)
    for n, image in enumerate(images):
        ten = crops[10 * n : 10 * n + 10]
        for i, (y, x) in enumerate(corners):
            ten[i] = image[y : y + height, x : x + width]
        ten[5:] = ten[:5, :, ::-1]
    return crops
