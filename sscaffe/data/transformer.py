"""DataTransformer: crop, subtract the mean, mirror and scale images, a batch at a time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sscaffe import _core
from sscaffe.errors import DataError, ShapeError, WeightsError
from sscaffe.proto import caffe_pb2
from sscaffe.random_numbers import RandomNumbers
from sscaffe.serialized import blobproto_to_array, read_binary

Array = npt.NDArray[Any]
Shape = tuple[int, ...]


class DataTransformer:
    """What `transform_param` asks for: ``out = (crop(image) - crop(mean)) * scale``, mirrored.

    Parameters
    ----------
    param : TransformationParameter
        crop_size, mean_file or mean_value, scale, mirror.
    phase : int
        TRAIN crops at random, TEST from the middle; both mirror.
    rng : RandomNumbers, optional
        The net's; one number is drawn from it, as a seed, if anything here is random.
    root : str
        The folder that a relative mean_file starts from; the working directory by default.

    Raises
    ------
    DataError
        If both kinds of mean are set, or the mean_file cannot be read.

    Notes
    -----
    The random numbers are those of Caffe: of each image in turn, one for the mirror, one for the
    row and one for the column of the crop, each modulo the number of choices.
    """

    def __init__(
        self,
        param: caffe_pb2.TransformationParameter,
        phase: int,
        rng: RandomNumbers | None = None,
        root: str = "",
    ) -> None:
        if param.mean_file and param.mean_value:
            raise DataError("mean_file: expected either mean_file or mean_value, got both")
        if param.force_color and param.force_gray:
            raise DataError("force_color: expected either force_color or force_gray, got both")
        self._crop = int(param.crop_size)
        self._crops_at_random = self._crop > 0 and phase == caffe_pb2.TRAIN
        self._mirror = bool(param.mirror)
        self._scale = float(param.scale)
        self._mean_file = read_mean(Path(root, param.mean_file)) if param.mean_file else None
        self._mean_values = np.asarray(param.mean_value, np.float32)
        self.rng: RandomNumbers | None = None
        if self.is_random:
            self.seed(rng or RandomNumbers())

    @property
    def is_random(self) -> bool:
        """Whether two passes over the same images may differ."""
        return self._mirror or self._crops_at_random

    def seed(self, rng: RandomNumbers) -> None:
        """Start a new stream of random numbers, with a seed drawn from the net's."""
        self.rng = RandomNumbers(int(rng.raw(1)[0]))

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape (C, H, W) of what an image of a shape becomes.

        Raises
        ------
        ShapeError
            If the image is smaller than the crop, or does not fit the mean.
        """
        channels, height, width = shape
        if self._crop > min(height, width):
            raise ShapeError(
                f"crop_size: expected at most the {height} x {width} of the image, got {self._crop}"
            )
        if self._mean_file is not None and self._mean_file.shape != shape:
            raise ShapeError(
                f"mean_file: expected a mean of the image's shape {shape}, "
                f"got {self._mean_file.shape}"
            )
        if len(self._mean_values) > 1 and len(self._mean_values) != channels:
            raise ShapeError(
                f"mean_value: expected 1 value or one for each of the {channels} channels, "
                f"got {len(self._mean_values)}"
            )
        return (channels, self._crop, self._crop) if self._crop else shape

    def transform(self, images: Array | Sequence[Array], out: Array) -> None:
        """Transform a batch.

        Parameters
        ----------
        images : ndarray, shape (N, C, H, W), or sequence of N arrays (C, H, W)
            uint8 or float32; a sequence where heights and widths differ.
        out : ndarray of float32, shape (N, *output_shape)
            Overwritten.

        Raises
        ------
        ShapeError
            If an image does not fit the crop, the mean or `out`.
        """
        self.apply(images, self.draw(len(images)), out)

    def draw(self, count: int) -> Array:
        """Return the random numbers of a batch, a row for each image."""
        columns = int(self._mirror) + 2 * int(self._crops_at_random)
        if self.rng is None:
            return np.empty((count, 0), np.uint32)
        return self.rng.raw(count * columns).reshape(count, columns)

    def apply(self, images: Array | Sequence[Array], draws: Array, out: Array) -> None:
        """Transform a batch by random numbers that `draw` returned; see `transform`."""
        if isinstance(images, np.ndarray):
            self._transform_alike(images, draws, out)
            return
        for i, image in enumerate(images):
            self._transform_alike(image[np.newaxis], draws[i : i + 1], out[i : i + 1])

    def _transform_alike(self, images: Array, draws: Array, out: Array) -> None:
        shape = self.output_shape(images.shape[1:])
        if shape != out.shape[1:]:
            raise ShapeError(f"batch: expected images of shape {out.shape[1:]}, got {shape}")
        channel_mean = None
        if len(self._mean_values):
            channel_mean = np.ascontiguousarray(np.broadcast_to(self._mean_values, shape[0]))
        _core.transform_images(
            np.ascontiguousarray(images, None if images.dtype == np.uint8 else np.float32),
            self._mean_file,
            channel_mean,
            self._scale,
            self._corners(images.shape, draws),
            draws[:, 0] % 2 == 1 if self._mirror else None,
            out,
        )

    def _corners(self, shape: Shape, draws: Array) -> Array:
        """Return the first row and column of what is kept of each image."""
        if not self._crop:
            return np.zeros((len(draws), 2), np.int64)
        spare: Array = np.subtract(shape[2:], self._crop)
        if self._crops_at_random:
            return np.ascontiguousarray(draws[:, -2:] % (spare + 1), np.int64)
        return np.ascontiguousarray(np.broadcast_to(spare // 2, (len(draws), 2)), np.int64)


def read_mean(path: Path) -> Array:
    """Read a mean image.

    Parameters
    ----------
    path : Path
        A binary BlobProto, as compute_image_mean writes it.

    Returns
    -------
    ndarray of float32, shape (C, H, W)

    Raises
    ------
    DataError
        If the file is not there, or is not a BlobProto of one image.
    """
    try:
        mean = blobproto_to_array(read_binary(path, caffe_pb2.BlobProto))
    except WeightsError as error:
        raise DataError(f"mean_file: {error}") from error
    shape = mean.shape[1:] if mean.ndim == 4 and len(mean) == 1 else mean.shape
    if len(shape) != 3:
        raise DataError(f"mean_file: expected one image (C, H, W), got {mean.shape} in {path}")
    return np.ascontiguousarray(mean.reshape(shape), np.float32)
