"""A net that takes images as they come from files."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sscaffe.errors import ShapeError
from sscaffe.io import Transformer
from sscaffe.layer import TEST
from sscaffe.net import Net
from sscaffe.net.net import PathLike

Array = npt.NDArray[Any]


class ImageNet(Net):
    """A net in TEST whose first input is a batch of images.

    Parameters
    ----------
    model_file : path-like
        The prototxt; the first input has the shape (N, C, H, W).
    pretrained_file : path-like, optional
        The weights.
    mean : ndarray, shape (C,), (H, W) or (C, H, W), optional
        The mean, in the order of the net's channels.
    input_scale, raw_scale : float, optional
        Factors after and before the mean: `Transformer`.
    channel_swap : sequence of int, optional
        The order of the channels, (2, 1, 0) for a net that wants BGR.

    Attributes
    ----------
    transformer : Transformer
        What is done to images.

    Raises
    ------
    SscaffeError
        If the net cannot be built, or the mean or the swap does not fit its input.
    """

    def __init__(
        self,
        model_file: PathLike,
        pretrained_file: PathLike | None,
        mean: Array | None,
        input_scale: float | None,
        raw_scale: float | None,
        channel_swap: Sequence[int] | None,
    ) -> None:
        super().__init__(model_file, TEST, weights=pretrained_file)
        shape = self.blobs[self.inputs[0]].shape if self.inputs else ()
        if len(shape) != 4:
            raise ShapeError(f"{self.source}: expected an input of shape (N, C, H, W), got {shape}")
        in_ = self.inputs[0]
        self.transformer = Transformer({in_: shape})
        self.transformer.set_transpose(in_, (2, 0, 1))
        # 0 for a scale means none, as in pycaffe.
        if mean is not None:
            self.transformer.set_mean(in_, mean)
        if input_scale:
            self.transformer.set_input_scale(in_, input_scale)
        if raw_scale:
            self.transformer.set_raw_scale(in_, raw_scale)
        if channel_swap is not None:
            self.transformer.set_channel_swap(in_, channel_swap)

    def _input_shape(self) -> tuple[int, ...]:
        """Return the shape (C, H, W) of an image in the net."""
        return self.blobs[self.inputs[0]].shape[1:]

    def _predict(self, images: Sequence[Array] | Array) -> npt.NDArray[np.float32]:
        """Return the first output for images (H, W, K), batch by batch.

        Raises
        ------
        ShapeError
            If the output is not one for each image.
        """
        in_, out = self.inputs[0], self.outputs[0]
        size = self.blobs[in_].shape[0]
        parts = []
        for first in range(0, len(images), size):
            batch = self.blobs[in_].data
            part = images[first : first + size]
            # Rows beyond the last image keep what they had; nobody reads what comes of them.
            for row, image in zip(batch, part, strict=False):
                row[...] = self.transformer.preprocess(in_, image)
            self.run_forward()
            result = self.blobs[out].host_data
            if not result.ndim or len(result) != size:
                raise ShapeError(
                    f"{out}: expected {size} predictions, one an image, got shape {result.shape}"
                )
            parts.append(np.array(result[: len(part)]))
        return np.concatenate(parts)
