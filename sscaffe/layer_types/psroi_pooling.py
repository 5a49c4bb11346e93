"""PSROIPooling: pool each region, each part of it from its own channels."""

import itertools
from collections.abc import Iterator

import numpy as np

from sscaffe.blob import Array, Blob
from sscaffe.errors import ShapeError
from sscaffe.layer import Layer, register
from sscaffe.layer_types.roi_pooling import check_regions, read_regions


@register("PSROIPooling")
class PSROIPoolingLayer(Layer):
    """Cut each region into ``group_size x group_size`` windows, and take the mean of each.

    Window (i, j) of output channel c comes from channel ``(c * group_size + i) * group_size + j``.
    An empty window gives 0.

    Bottoms: ``(N, output_dim * group_size^2, H, W)`` and the regions ``(R, 5)``: image number, x1,
    y1, x2, y2. Top: ``(R, output_dim, group_size, group_size)``.

    Source: Dai et al., "R-FCN: Object Detection via Region-based Fully Convolutional Networks",
    NIPS 2016.
    """

    num_bottom = 2
    num_top = 1
    runs_on_host = True

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the sizes."""
        param = self.layer_param.psroi_pooling_param
        for name in ("spatial_scale", "output_dim", "group_size"):
            if not getattr(param, name) > 0:
                raise ShapeError(f"{name}: expected more than 0, got {getattr(param, name):g}")
        self.group, self.channels = int(param.group_size), int(param.output_dim)
        self.scale = np.float32(param.spatial_scale)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Set the shape of the top."""
        count = check_regions(bottom)
        wanted = self.channels * self.group**2
        if bottom[0].shape[1] != wanted:
            raise ShapeError(
                f"bottom 0: expected output_dim * group_size^2 = {wanted} channels, got "
                f"{bottom[0].shape}"
            )
        top[0].reshape(count, self.channels, self.group, self.group)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Take the mean of each window."""
        self._regions = read_regions(bottom)
        out = top[0].new_data()
        out[...] = 0
        for (r, i, j), window in self._windows(bottom[0].const_data):
            out[r, :, i, j] = window.mean(axis=(1, 2))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Divide each gradient among its window; regions have none."""
        if propagate_down[1]:
            bottom[1].clear_diff()
        if not propagate_down[0]:
            return
        diff, gradient = bottom[0].new_diff(), top[0].const_diff
        diff[...] = 0
        for (r, i, j), window in self._windows(diff):
            share = gradient[r, :, i, j] / (window.shape[1] * window.shape[2])
            window += share[:, None, None]

    def _windows(self, images: Array) -> Iterator[tuple[tuple[int, int, int], Array]]:
        """Yield region, row and column of each window that is not empty, and the window."""
        parts = range(self.group)
        for r, (image, *region) in enumerate(self._regions):
            rows, columns = self._cuts(np.asarray(region, np.float32), images.shape[2:])
            for i, j in itertools.product(parts, parts):
                if rows[i][1] > rows[i][0] and columns[j][1] > columns[j][0]:
                    channels = images[int(image), i * self.group + j :: self.group**2]
                    yield (r, i, j), channels[:, slice(*rows[i]), slice(*columns[j])]

    def _cuts(self, region: Array, image: tuple[int, ...]) -> list[list[tuple[int, int]]]:
        rounded = np.trunc(region + np.copysign(np.float32(0.5), region))
        left, top = rounded[:2] * self.scale
        right, bottom = (rounded[2:] + np.float32(1)) * self.scale
        axes = zip((top, left), (bottom, right), image, strict=True)
        return [self._cut(*axis) for axis in axes]

    def _cut(self, start: np.float32, end: np.float32, size: int) -> list[tuple[int, int]]:
        step = max(end - start, np.float32(0.1)) / np.float32(self.group)
        windows = []
        for i in range(self.group):
            first = int(np.floor(np.float32(i) * step + start))
            last = int(np.ceil(np.float32(i + 1) * step + start))
            windows.append((min(max(first, 0), size), min(max(last, 0), size)))
        return windows
