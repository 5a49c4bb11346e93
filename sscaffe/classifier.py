"""Classifier: from images to the probabilities of classes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sscaffe.io import ArrayError, oversample as ten_crops, resize_image
from sscaffe.net.net import PathLike
from sscaffe.preprocessing import ImageNet

Array = npt.NDArray[Any]


class Classifier(ImageNet):
    """A net that classifies images, each resized and cropped to what the net wants.

    Parameters
    ----------
    model_file : path-like
        The prototxt; the first input has the shape (N, C, H, W), and the first output has the
        predictions.
    pretrained_file : path-like
        The weights.
    image_dims : sequence of int, optional
        Height and width that images are resized to before crops of H x W are cut; those by default.
    mean : ndarray, shape (C,), (H, W) or (C, H, W), optional
        The mean, in the order of the net's channels.
    input_scale, raw_scale : float, optional
        Factors after and before the mean; 255 is the raw scale of a net that wants 0 to 255.
    channel_swap : sequence of int, optional
        The order of the channels, (2, 1, 0) for a net that wants BGR.

    Attributes
    ----------
    transformer : sscaffe.io.Transformer
        What is done to the crops.
    crop_dims, image_dims : ndarray of int
        Height and width.

    Raises
    ------
    SscaffeError
        If the net cannot be built, or the mean or the swap does not fit its input.
    """

    def __init__(
        self,
        model_file: PathLike,
        pretrained_file: PathLike,
        image_dims: Sequence[int] | Array | None = None,
        mean: Array | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
    ) -> None:
        super().__init__(model_file, pretrained_file, mean, input_scale, raw_scale, channel_swap)
        self.crop_dims = np.array(self._input_shape()[1:])
        self.image_dims = self.crop_dims if image_dims is None else np.asarray(image_dims, int)
        if self.image_dims.shape != (2,) or (self.image_dims < self.crop_dims).any():
            raise ArrayError(
                f"image_dims: expected at least the {self.crop_dims[0]} x {self.crop_dims[1]} "
                f"of the net's input, got {image_dims}"
            )

    def predict(
        self, inputs: Sequence[Array] | Array, oversample: bool = True
    ) -> npt.NDArray[np.float32]:
        """Return the predictions for images.

        Parameters
        ----------
        inputs : sequence of ndarray, shape (H', W', K) each
            The images, as `sscaffe.io.load_image` returns them; sizes may differ.
        oversample : bool
            Average over ten crops of each image, its corners, its middle and their mirror images;
            else take the middle alone.

        Returns
        -------
        ndarray of float32, shape (number of images, number of classes)
            Without oversampling, each has the shape that the output has.

        Raises
        ------
        ArrayError
            If there is no image, or their channels are not those of the net.
        """
        if len(inputs) == 0:
            raise ArrayError("inputs: expected at least one image, got none")
        dims = tuple(int(size) for size in self.image_dims)
        images = np.stack([resize_image(image, dims) for image in inputs])
        if oversample:
            predictions = self._predict(ten_crops(images, self.crop_dims))
            ten = predictions.reshape(len(predictions) // 10, 10, -1)
            return np.asarray(ten.mean(1))
        (top, left), (height, width) = (self.image_dims - self.crop_dims) // 2, self.crop_dims
        return self._predict(images[:, top : top + height, left : left + width])
