"""PriorBox: the default boxes of SSD."""

import math

import numpy as np

from sscaffe.blob import Array, Blob
from sscaffe.errors import ShapeError
from sscaffe.layer import Layer, register
from sscaffe.proto import caffe_pb2

_SAME = 1e-6  # aspect ratios that differ by less are one


@register("PriorBox")
class PriorBoxLayer(Layer):
    """Boxes of several sizes around each place of a feature map.

    At each place, for each `min_size`: a square of it; one of sqrt(min_size * max_size), if there
    is a max_size; and for each other aspect ratio a, a box of min_size * sqrt(a) by min_size /
    sqrt(a). All are fractions of the image: xmin, ymin, xmax, ymax.

    Bottoms: the feature map and the image, ``(N, C, H, W)``; only their sizes count.
    Top: ``(1, 2, H * W * boxes * 4)``, the boxes and their variances.

    Source: Liu et al., "SSD: Single Shot MultiBox Detector", ECCV 2016.
    """

    num_bottom = 2
    num_top = 1

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Read sizes, ratios and variances."""
        param = self.layer_param.prior_box_param
        for name in ("min_size", "max_size", "aspect_ratio", "variance"):
            for value in getattr(param, name):
                if not value > 0:
                    raise ShapeError(f"{name}: expected more than 0, got {value:g}")
        if not param.min_size:
            raise ShapeError("min_size: expected one or more, got none")
        if len(param.max_size) not in (0, len(param.min_size)):
            raise ShapeError(
                f"max_size: expected none or {len(param.min_size)}, one for each min_size, got "
                f"{len(param.max_size)}"
            )
        for small, large in zip(param.min_size, param.max_size, strict=False):
            if large <= small:
                raise ShapeError(f"max_size: expected more than min_size {small:g}, got {large:g}")
        if len(param.variance) not in (0, 1, 4):
            raise ShapeError(f"variance: expected 1 or 4, got {len(param.variance)}")
        self._sizes = _box_sizes(param)
        self._image = _pair(param, "img_size", "img_h", "img_w")
        self._step = _pair(param, "step", "step_h", "step_w")

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Set the shape of the top."""
        for blob in bottom:
            if blob.ndim != 4:
                raise ShapeError(f"expected bottoms of shape (N, C, H, W), got {blob.shape}")
        height, width = bottom[0].shape[2:]
        top[0].reshape(1, 2, height * width * len(self._sizes) * 4)
        self._values = self.xp.asarray(self._boxes(bottom).astype(self.dtype))

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Set boxes and variances."""
        top[0].set_data(self._values)

    def _boxes(self, bottom: list[Blob]) -> Array:
        """Return boxes and variances, (1, 2, values)."""
        param = self.layer_param.prior_box_param
        grid = bottom[0].shape[2:]
        image = np.asarray(self._image or bottom[1].shape[2:], np.float32)
        step = (
            np.asarray(self._step, np.float32)
            if self._step
            else image / np.asarray(grid, np.float32)
        )
        rows, columns = (
            (np.arange(n, dtype=np.float32) + np.float32(param.offset)) * s
            for n, s in zip(grid, step, strict=True)
        )
        half = self._sizes / 2  # (boxes, height and width)
        boxes = np.empty((*grid, len(half), 4), np.float32)
        for axis, centre in ((0, columns[None, :, None]), (1, rows[:, None, None])):
            extent = half[:, 1 - axis]
            boxes[..., axis] = (centre - extent) / image[1 - axis]
            boxes[..., axis + 2] = (centre + extent) / image[1 - axis]
        if param.clip:
            boxes = boxes.clip(0, 1)
        variance = np.asarray(param.variance or [0.1], np.float32)
        return np.stack([boxes.reshape(-1), np.resize(variance, boxes.size)])[None]

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Give the bottoms no gradient: only their sizes count."""
        for blob, wanted in zip(bottom, propagate_down, strict=True):
            if wanted:
                blob.clear_diff()


def _box_sizes(param: caffe_pb2.PriorBoxParameter) -> Array:
    """Return height and width in pixels of each box of a place."""
    ratios = [1.0]
    for ratio in param.aspect_ratio:
        if all(abs(ratio - other) >= _SAME for other in ratios):
            ratios.append(ratio)
            if param.flip:
                ratios.append(1 / ratio)
    sizes: list[tuple[float, float]] = []
    for i, small in enumerate(param.min_size):
        sizes.append((small, small))
        if param.max_size:
            sizes.append((math.sqrt(small * param.max_size[i]),) * 2)
        sizes += [(small / math.sqrt(ratio), small * math.sqrt(ratio)) for ratio in ratios[1:]]
    return np.asarray(sizes, np.float32)


def _pair(
    param: caffe_pb2.PriorBoxParameter, both: str, height: str, width: str
) -> tuple[float, float] | None:
    """Return a size for each axis, given once for both or once for each; None if it is not set."""
    each = param.HasField(height) or param.HasField(width)
    if each and param.HasField(both):
        raise ShapeError(f"{both}: expected either {both} or {height} and {width}, got both")
    if not each and not param.HasField(both):
        return None
    pair = [getattr(param, name) for name in ((height, width) if each else (both, both))]
    if min(pair) <= 0:
        raise ShapeError(f"{both}: expected more than 0 for height and width, got {pair}")
    return pair[0], pair[1]
