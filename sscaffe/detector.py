"""Detector: predictions for windows of images, as R-CNN has them.

Source: Girshick et al., "Rich feature hierarchies for accurate object detection and semantic
segmentation", CVPR 2014, arXiv:1311.2524.
"""

import os
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from sscaffe.errors import UnsupportedError
from sscaffe.io import ArrayError, load_image, resize_image
from sscaffe.net.net import PathLike
from sscaffe.preprocessing import ImageNet

Array = npt.NDArray[Any]
_PROPOSALS = "selective_search_ijcv_with_python"


class Detector(ImageNet):
    """A net that looks at windows of images.

    Parameters
    ----------
    model_file : path-like
        The prototxt; the first input has the shape (N, C, H, W), and the first output has the
        predictions.
    pretrained_file : path-like
        The weights.
    mean : ndarray, shape (C,), (H, W) or (C, H, W), optional
        The mean, in the order of the net's channels.
    input_scale, raw_scale : float, optional
        Factors after and before the mean.
    channel_swap : sequence of int, optional
        The order of the channels, (2, 1, 0) for a net that wants BGR.
    context_pad : int, optional
        How many pixels of the net's input, on each side, show what is around the window; the mean
        is put where the image ends. R-CNN has 16.

    Attributes
    ----------
    transformer : sscaffe.io.Transformer
        What is done to the windows.
    crop_dims : ndarray of int
        The shape (H, W, C) of a window for the net.
    crop_mean : ndarray
        With `context_pad`, what is put where the image ends.

    Raises
    ------
    SscaffeError
        If the net cannot be built, or the mean or the swap does not fit its input.
    """

    def __init__(
        self,
        model_file: PathLike,
        pretrained_file: PathLike,
        mean: Array | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
        context_pad: int | None = None,
    ) -> None:
        super().__init__(model_file, pretrained_file, mean, input_scale, raw_scale, channel_swap)
        self.configure_crop(context_pad)

    def configure_crop(self, context_pad: int | None) -> None:
        """Set how many pixels around a window are shown.

        Parameters
        ----------
        context_pad : int, optional
            Pixels of the net's input on each side; none by default.

        Raises
        ------
        ArrayError
            If nothing is left of the window, or the net's input is no square.
        """
        in_, transformer = self.inputs[0], self.transformer
        height, width = self._input_shape()[1:]
        if context_pad and (2 * context_pad >= width or height != width or context_pad < 0):
            raise ArrayError(
                f"context_pad: expected a square input of more than {2 * context_pad} pixels, "
                f"got {height} x {width}"
            )
        back = np.argsort(transformer.transpose[in_])
        self.crop_dims = np.array(self._input_shape())[back]
        self.context_pad = context_pad
        if not context_pad:
            return
        mean = transformer.mean.get(in_)
        self.crop_mean = np.zeros(self.crop_dims, np.float32)
        if mean is not None:
            self.crop_mean = np.array(mean.transpose(back))
            if in_ in transformer.channel_swap:
                swap_back = np.argsort(transformer.channel_swap[in_])
                self.crop_mean = self.crop_mean[:, :, swap_back]
            self.crop_mean = self.crop_mean / transformer.raw_scale.get(in_, 1.0)

    def detect_windows(
        self, images_windows: Iterable[tuple[str | os.PathLike[str], Iterable[Any]]]
    ) -> list[dict[str, Any]]:
        """Return the predictions for windows of images.

        Parameters
        ----------
        images_windows : iterable of (path-like, windows)
            Image files and their windows: (ymin, xmin, ymax, xmax), in pixels, where `ymax` and
            `xmax` are the first ones beyond.

        Returns
        -------
        list of dict
            For each window ``window``, ``prediction`` (an array) and ``filename``.

        Raises
        ------
        ArrayError
            If a window is empty or not in its image.
        DataError
            If an image cannot be read.
        """
        found = []
        crops = []
        has_color = self._input_shape()[0] != 1
        for filename, windows in images_windows:
            image = load_image(filename, has_color)
            for window in windows:
                crops.append(self.crop(image, window))
                found.append({"window": window, "filename": filename})
        if not crops:
            return []
        predictions = self._predict(crops)
        if predictions.ndim == 4 and predictions.shape[2:] == (1, 1):
            predictions = predictions[:, :, 0, 0]
        return [
            {"window": one["window"], "prediction": prediction, "filename": one["filename"]}
            for one, prediction in zip(found, predictions, strict=True)
        ]

    def detect_selective_search(
        self, image_fnames: Sequence[str | os.PathLike[str]]
    ) -> list[dict[str, Any]]:
        """Return the predictions for the windows that selective search proposes.

        Parameters
        ----------
        image_fnames : sequence of path-like
            Image files.

        Raises
        ------
        UnsupportedError
            If the module ``selective_search_ijcv_with_python`` is not there; it is no part of
            Caffe, and needs MATLAB.
        """
        try:
            proposals = import_module(_PROPOSALS)
        except ImportError as error:
            raise UnsupportedError(
                f"detect_selective_search: needs the module {_PROPOSALS} (and MATLAB); "
                "give windows of your own to detect_windows"
            ) from error
        windows = proposals.get_windows(image_fnames, cmd="selective_search_rcnn")
        return self.detect_windows(zip(image_fnames, windows, strict=True))

    def crop(self, im: Array, window: Sequence[float] | Array) -> Array:
        """Cut a window out of an image, with its surroundings if `context_pad` is set.

        Parameters
        ----------
        im : ndarray, shape (H', W', K)
            The image.
        window : sequence of 4 int
            (ymin, xmin, ymax, xmax), in pixels.

        Returns
        -------
        ndarray
            The window as it is; with `context_pad`, of shape (H, W, K), float32.

        Raises
        ------
        ArrayError
            If the window is empty or not in the image.
        """
        box = np.asarray(window)
        if box.shape != (4,):
            raise ArrayError(f"window: expected (ymin, xmin, ymax, xmax), got {window}")
        edges = box.astype(int)
        cut = im[slice(*edges[::2]), slice(*edges[1::2])]
        if (edges < 0).any() or not cut.size:
            raise ArrayError(f"window: expected one within {im.shape[:2]}, got {window}")
        return self._crop_with_context(im, box) if self.context_pad else cut

    def _crop_with_context(self, im: Array, window: Array) -> Array:
        """Cut a larger window so that, resized, the window has `context_pad` pixels around it."""
        size, pad = int(self.crop_dims[1]), int(self.context_pad or 0)
        half = (window[2:] - window[:2] + 1) / 2.0
        reach = half * size / (size - 2.0 * pad)
        middle = window[:2] + half
        start, stop = np.round(middle - reach), np.round(middle + reach)
        scale = size / (stop - start + 1)
        offset = np.round(np.maximum(0, -start) * scale).astype(int)
        limits = np.array(im.shape[:2])
        start, stop = np.clip(start, 0, limits), np.clip(stop, 0, limits)
        extent = np.round((stop - start + 1) * scale).astype(int)
        extent = np.minimum(extent, size - offset)
        (top, left), (bottom, right) = start.astype(int), stop.astype(int)
        part = resize_image(im[top:bottom, left:right], extent)
        result = np.ones(self.crop_dims, np.float32) * self.crop_mean
        rows = slice(offset[0], offset[0] + extent[0])
        result[rows, offset[1] : offset[1] + extent[1]] = part
        return np.asarray(result, np.float32)
