"""ROIPooling: pool each region of an image to one size."""

import itertools

import numpy as np

from sscaffe.blob import Array, Blob
from sscaffe.device import on_host
from sscaffe.errors import DataError, ShapeError
from sscaffe.layer import Layer, register

REGION = 5  # image number, x1, y1, x2, y2


@register("ROIPooling")
class ROIPoolingLayer(Layer):
    """Cut each region into ``pooled_h x pooled_w`` windows, and take the maximum of each.

    A region reaches from ``round(x1 * spatial_scale)`` to ``round(x2 * spatial_scale)``, both
    included. An empty window gives 0.

    Bottoms: ``(N, C, H, W)`` and the regions ``(R, 5)``: image number, x1, y1, x2, y2.
    Top: ``(R, C, pooled_h, pooled_w)``.

    Source: Girshick, "Fast R-CNN", ICCV 2015.
    """

    num_bottom = 2
    num_top = 1
    runs_on_host = True

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Read the size."""
        param = self.layer_param.roi_pooling_param
        size = [param.pooled_h, param.pooled_w]
        if param.pooled_size:
            if any(size) or len(param.pooled_size) > 2:
                raise ShapeError("pooled_size: expected it or pooled_h and pooled_w, got both")
            size = [param.pooled_size[0], param.pooled_size[-1]]
        if min(size) < 1:
            raise ShapeError(f"pooled_h, pooled_w: expected 1 or more, got {size[0]} and {size[1]}")
        self.size = (int(size[0]), int(size[1]))
        self.scale = np.float32(param.spatial_scale)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Set the shape of the top."""
        count = check_regions(bottom)
        top[0].reshape(count, bottom[0].shape[1], *self.size)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Find the maximum of each window."""
        x, out = bottom[0].const_data, top[0].new_data()
        regions = read_regions(bottom)
        self._images = regions[:, 0].astype(int)
        width = x.shape[3]
        self._places = self.xp.full(out.shape, -1, int)  # in the channel; -1 in an empty window
        out[...] = 0
        for r, (image, region) in enumerate(zip(self._images, regions[:, 1:], strict=True)):
            rows, columns = self._windows(region, x.shape[2:])
            grid = itertools.product(enumerate(rows), enumerate(columns))
            for (i, (top_row, end_row)), (j, (left, right)) in grid:
                if end_row <= top_row or right <= left:
                    continue
                window = x[image, :, top_row:end_row, left:right].reshape(x.shape[1], -1)
                best = window.argmax(axis=1)
                out[r, :, i, j] = self.xp.take_along_axis(window, best[:, None], 1)[:, 0]
                row, column = divmod(best, right - left)
                self._places[r, :, i, j] = (row + top_row) * width + column + left

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Add each gradient to the maximum it comes from; regions have none."""
        if propagate_down[1]:
            bottom[1].clear_diff()
        if not propagate_down[0]:
            return
        diff = bottom[0].new_diff()
        diff[...] = 0
        flat = diff.reshape(*diff.shape[:2], -1)
        for image, places, gradient in zip(
            self._images, self._places, top[0].const_diff, strict=True
        ):
            channel, *window = (places >= 0).nonzero()
            index = (channel, *window)
            self.xp.add.at(flat[image], (channel, places[index]), gradient[index])

    def _windows(self, region: Array, image: tuple[int, ...]) -> list[list[tuple[int, int]]]:
        """Return first and last row of each row of windows, and the same for columns."""
        scaled = np.float32(region) * self.scale
        left, top, right, bottom = (int(v) for v in np.trunc(scaled + np.copysign(0.5, scaled)))
        axes = zip((top, left), (bottom, right), self.size, image, strict=True)
        return [_cut(*axis) for axis in axes]


def _cut(start: int, end: int, count: int, size: int) -> list[tuple[int, int]]:
    step = np.float32(max(end - start + 1, 1)) / np.float32(count)
    windows = []
    for i in range(count):
        first = start + int(np.floor(np.float32(i) * step))
        last = start + int(np.ceil(np.float32(i + 1) * step))
        windows.append((min(max(first, 0), size), min(max(last, 0), size)))
    return windows


def check_regions(bottom: list[Blob]) -> int:
    """Return the number of regions in the second bottom.

    Raises
    ------
    ShapeError
        If the bottoms are not images and regions.
    """
    if bottom[0].ndim != 4:
        raise ShapeError(f"bottom 0: expected a shape (N, C, H, W), got {bottom[0].shape}")
    shape = bottom[1].shape
    if len(shape) < 2 or shape[1] != REGION or bottom[1].count != shape[0] * REGION:
        raise ShapeError(f"bottom 1: expected regions of shape (R, 5), got {shape}")
    return shape[0]


def read_regions(bottom: list[Blob]) -> Array:
    """Return the regions (R, 5), on the host.

    Raises
    ------
    DataError
        If one is of an image that there is not.
    """
    regions = on_host(bottom[1].const_data).reshape(-1, REGION)
    images, count = regions[:, 0], bottom[0].shape[0]
    if len(regions) and not (images.min() >= 0 and images.max() < count):
        raise DataError(
            f"bottom 1: expected regions of images 0 to {count - 1}, got image "
            f"{images.min():g} to {images.max():g}"
        )
    return regions
