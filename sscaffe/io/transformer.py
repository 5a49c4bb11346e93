"""From images to the inputs of a net, and back."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sscaffe.io.arrays import ArrayError
from sscaffe.io.images import resize_image

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]


class Transformer:
    """What is done to images before they enter a net; nothing by default.

    In this order: resize to the input's height and width, transpose, swap channels, multiply by the
    raw scale, subtract the mean, multiply by the input scale.

    Parameters
    ----------
    inputs : mapping of str to sequence of int
        The shape (N, C, H, W) of each input: ``{"data": net.blobs["data"].data.shape}``.

    Attributes
    ----------
    inputs : dict of str to tuple of int
        The shapes.
    transpose, channel_swap, raw_scale, mean, input_scale : dict
        What was set, by input.
    """

    def __init__(self, inputs: Mapping[str, Sequence[int]]) -> None:
        self.inputs = {name: tuple(int(n) for n in shape) for name, shape in inputs.items()}
        self.transpose: dict[str, Sequence[int]] = {}
        self.channel_swap: dict[str, Sequence[int]] = {}
        self.raw_scale: dict[str, float] = {}
        self.mean: dict[str, Array] = {}
        self.input_scale: dict[str, float] = {}

    def _shape(self, in_: str) -> tuple[int, ...]:
        """Return the shape (C, H, W) of one image of an input."""
        if in_ not in self.inputs:
            raise ArrayError(f"in_: expected one of {', '.join(self.inputs)}, got {in_!r}")
        return self.inputs[in_][1:]

    def preprocess(self, in_: str, data: Array) -> Floats:
        """Return an image as the net wants it.

        Parameters
        ----------
        in_ : str
            The input.
        data : ndarray, shape (H', W', K)
            The image; it is not changed.

        Returns
        -------
        ndarray of float32, shape (K, H, W)
            If the axes are transposed by (2, 0, 1), as they should be.

        Raises
        ------
        ArrayError
            If there is no such input, or the image does not fit what was set.
        """
        size = self._shape(in_)[1:]
        image = np.array(data, np.float32)
        if image.shape[:2] != size:
            image = resize_image(image, size)
        order, swap = self.transpose.get(in_), self.channel_swap.get(in_)
        if order is not None:
            _check_axes("data", image, len(order))
            image = image.transpose(order)
        if swap is not None:
            if len(image) != len(swap):
                raise ArrayError(f"data: expected {len(swap)} channels, got {len(image)}")
            image = image[list(swap)]
        if in_ in self.raw_scale:
            image *= self.raw_scale[in_]
        if in_ in self.mean:
            try:
                image -= self.mean[in_]
            except ValueError as error:
                raise ArrayError(
                    f"data: expected the shape of the mean, {self.mean[in_].shape}, "
                    f"got {image.shape}"
                ) from error
        if in_ in self.input_scale:
            image *= self.input_scale[in_]
        return image

    def deprocess(self, in_: str, data: Array) -> Array:
        """Return the image that an input was made from; only its size stays the input's.

        Parameters
        ----------
        in_ : str
            The input.
        data : ndarray, shape (1, K, H, W) or (K, H, W)
            What entered the net; it is not changed.

        Returns
        -------
        ndarray, shape (H, W, K)
            Of the type of `data`. Where nothing was set that needs three axes, those of size 1 are
            left out.

        Raises
        ------
        ArrayError
            If there is no such input, or the image does not fit what was set.
        """
        shape = self._shape(in_)
        order, swap = self.transpose.get(in_), self.channel_swap.get(in_)
        image = np.array(data).squeeze()
        needs_all = order is not None or swap is not None or in_ in self.mean
        if needs_all and image.size == np.prod(shape):
            # An axis of size 1 is still one of the three.
            image = image.reshape(shape)
        if in_ in self.input_scale:
            image = image / self.input_scale[in_]
        if in_ in self.mean:
            image = (image + self.mean[in_]).astype(image.dtype)
        if in_ in self.raw_scale:
            image = image / self.raw_scale[in_]
        if swap is not None:
            image = image[np.argsort(swap)]
        if order is not None:
            _check_axes("data", image, len(order))
            image = image.transpose(np.argsort(order))
        return image

    def set_transpose(self, in_: str, order: Sequence[int]) -> None:
        """Set the order of the axes: (2, 0, 1) for images (H, W, K).

        Raises
        ------
        ArrayError
            If there is no such input, or the order is of another number of axes.
        """
        shape = self._shape(in_)
        if sorted(order) != list(range(len(shape))):
            raise ArrayError(f"order: expected the {len(shape)} axes of an image, got {order}")
        self.transpose[in_] = order

    def set_channel_swap(self, in_: str, order: Sequence[int]) -> None:
        """Set the order of the channels: (2, 1, 0) to make BGR of RGB.

        Raises
        ------
        ArrayError
            If there is no such input, or the order is of another number of channels.
        """
        channels = self._shape(in_)[0]
        if len(order) != channels:
            raise ArrayError(f"order: expected all {channels} channels of the input, got {order}")
        self.channel_swap[in_] = order

    def set_raw_scale(self, in_: str, scale: float) -> None:
        """Set what images are multiplied by before the mean: 255 for those from 0 to 1.

        Raises
        ------
        ArrayError
            If there is no such input.
        """
        self._shape(in_)
        self.raw_scale[in_] = float(scale)

    def set_mean(self, in_: str, mean: Array) -> None:
        """Set the mean to subtract.

        Parameters
        ----------
        in_ : str
            The input.
        mean : ndarray, shape (C,), (H', W') or (C, H', W')
            A mean image of another size than the input's is resized.

        Raises
        ------
        ArrayError
            If there is no such input, or it has another number of channels.
        """
        shape = self._shape(in_)
        mean = np.asarray(mean)
        if mean.ndim == 2 and len(shape) == 3:
            mean = mean[np.newaxis]
        if mean.ndim not in (1, len(shape)) or mean.shape[0] != shape[0]:
            raise ArrayError(f"mean: expected shape ({shape[0]},) or {shape}, got {mean.shape}")
        if mean.ndim == 1:
            mean = mean.reshape(-1, *[1] * (len(shape) - 1))
        elif mean.shape != shape:
            mean = resize_image(mean.transpose(1, 2, 0), shape[1:]).transpose(2, 0, 1)
        self.mean[in_] = mean

    def set_input_scale(self, in_: str, scale: float) -> None:
        """Set what images are multiplied by after the mean.

        Raises
        ------
        ArrayError
            If there is no such input.
        """
        self._shape(in_)
        self.input_scale[in_] = float(scale)


def _check_axes(name: str, array: Array, axes: int) -> None:
    if array.ndim != axes:
        raise ArrayError(f"{name}: expected {axes} axes, got shape {array.shape}")
