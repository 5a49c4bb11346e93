"""WindowData: windows of images, for detection in the manner of R-CNN."""

from pathlib import Path

import numpy as np

from sscaffe.blob import Array, Blob
from sscaffe.data.transformer import read_mean
from sscaffe.data.windows import Cutting, Window, WindowFile, WindowReader, read_window_file
from sscaffe.errors import DataError, ShapeError
from sscaffe.layer import TRAIN, register
from sscaffe.layer_types.prefetched import PrefetchedLayer, merged_transform_param
from sscaffe.proto import caffe_pb2
from sscaffe.random_numbers import RandomNumbers

_DEPTH = 4  # batches made ahead
_MODES = ("warp", "square")


@register("WindowData")
class WindowDataLayer(PrefetchedLayer):
    """Batches of windows, ``fg_fraction`` of them objects, each drawn at random.

    A window is an object if it overlaps one by `fg_threshold` or more, and background, class 0, if
    by less than `bg_threshold`. It is cut out with `context_pad` pixels around it, and resized to
    `crop_size`; what is outside of the image is 0.

    Tops: data ``(N, C, crop_size, crop_size)`` and label ``(N,)``.

    Source: Girshick et al., "Rich Feature Hierarchies for Accurate Object Detection and Semantic
    Segmentation", CVPR 2014.
    """

    min_top = 2

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Read the list of windows."""
        param = self.layer_param.window_data_param
        transform = merged_transform_param(self.layer_param, "window_data_param")
        self._check(param, transform)
        # Caffe makes a transformer that it does not use, which draws a seed before and after.
        idle = int(transform.mirror or self.phase == TRAIN)
        self.rng.raw(idle)
        rng = RandomNumbers(int(self.rng.raw(1)[0]))
        self.rng.raw(idle + 1)
        file = read_window_file(Path(self.root, param.source))
        foreground = [w for w in file.windows if w.overlap >= param.fg_threshold]
        background = [
            w._replace(label=0, overlap=0.0)
            for w in file.windows
            if w.overlap < min(param.bg_threshold, param.fg_threshold)
        ]
        objects = int(np.float32(param.batch_size) * np.float32(param.fg_fraction))
        _require_windows(foreground, background, objects, param.batch_size)
        cutting = Cutting(
            transform.crop_size,
            param.context_pad,
            param.crop_mode == "square",
            transform.scale,
            _mean(transform, file, self.root),
        )
        reader = WindowReader(
            file,
            cutting,
            param.batch_size,
            foreground=foreground,
            background=background,
            objects=objects,
            mirror=transform.mirror,
            folder=param.root_folder,
            root=self.root,
            keep=param.cache_images,
            rng=rng,
        )
        top[0].reshape(param.batch_size, file.channels, cutting.size, cutting.size)
        top[1].reshape(param.batch_size)
        self.begin(reader, reader, _DEPTH)

    @staticmethod
    def _check(
        param: caffe_pb2.WindowDataParameter, transform: caffe_pb2.TransformationParameter
    ) -> None:
        if not param.source:
            raise DataError("source: expected a file that lists windows, got nothing")
        if param.batch_size < 1:
            raise DataError(f"batch_size: expected 1 or more, got {param.batch_size}")
        if not transform.crop_size:
            raise DataError("crop_size: expected the size that windows are resized to, got 0")
        if not 0 <= param.fg_fraction <= 1:
            raise DataError(f"fg_fraction: expected 0 to 1, got {param.fg_fraction:g}")
        if 2 * param.context_pad >= transform.crop_size:
            raise DataError(
                f"context_pad: expected less than half of crop_size {transform.crop_size}, got "
                f"{param.context_pad}"
            )
        if param.crop_mode not in _MODES:
            raise DataError(f"crop_mode: expected warp or square, got {param.crop_mode!r}")
        if transform.mean_file and transform.mean_value:
            raise DataError("mean_file: expected either mean_file or mean_value, got both")


def _mean(
    transform: caffe_pb2.TransformationParameter, file: WindowFile, root: str
) -> Array | None:
    """Return the mean, (C, H, W) or (C, 1, 1), or None."""
    if transform.mean_file:
        mean = read_mean(Path(root, transform.mean_file))
        if mean.shape[0] != file.channels or min(mean.shape[1:]) < transform.crop_size:
            raise ShapeError(
                f"mean_file: expected {file.channels} channels of {transform.crop_size} pixels or "
                f"more, got {mean.shape}"
            )
        return mean
    if not transform.mean_value:
        return None
    if len(transform.mean_value) not in (1, file.channels):
        raise ShapeError(
            f"mean_value: expected 1 value or one for each of the {file.channels} channels, got "
            f"{len(transform.mean_value)}"
        )
    return np.resize(np.asarray(transform.mean_value, np.float32), file.channels).reshape(-1, 1, 1)


def _require_windows(
    foreground: list[Window], background: list[Window], objects: int, batch_size: int
) -> None:
    if objects and not foreground:
        raise DataError("fg_threshold: no window of the list reaches it; set it lower")
    if objects < batch_size and not background:
        raise DataError("bg_threshold: no window of the list is below it; set it higher")
