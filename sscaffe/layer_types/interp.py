"""Interp: resize images by bilinear interpolation."""

import numpy as np

from sscaffe.blob import Array, Blob
from sscaffe.errors import ShapeError
from sscaffe.layer import Layer, register
from sscaffe.layer_types.products import product
from sscaffe.proto import caffe_pb2


@register("Interp")
class InterpLayer(Layer):
    """Interpolate so that the corners of the top are the corners of the bottom.

    The size of the top is ``height`` and ``width``; or, of a size s after `pad_beg` and `pad_end`
    are cut off, ``(s - 1) / shrink_factor + 1``, then ``(s - 1) * zoom_factor + 1``; or that of the
    second bottom.

    Bottom: ``(N, C, H, W)``; a second one may give the size. Top: ``(N, C, height, width)``.
    """

    min_bottom = 1
    max_bottom = 2
    num_top = 1

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the sizes."""
        param = self.layer_param.interp_param
        for name in ("pad_beg", "pad_end"):
            if getattr(param, name) > 0:
                raise ShapeError(f"{name}: expected 0 or less, got {getattr(param, name)}")
        for name in ("zoom_factor", "shrink_factor"):
            if getattr(param, name) < 1:
                raise ShapeError(f"{name}: expected 1 or more, got {getattr(param, name)}")
        if param.HasField("height") != param.HasField("width"):
            raise ShapeError("height, width: expected both or neither, got one")
        scaled = param.HasField("zoom_factor") or param.HasField("shrink_factor")
        ways = [len(bottom) > 1, param.HasField("height"), scaled]
        if sum(ways) != 1:
            raise ShapeError(
                "height: expected one of height and width, zoom_factor and shrink_factor, or a "
                f"second bottom, got {sum(ways) or 'none'} of them"
            )

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Work out the size of the top and which rows and columns it comes from."""
        for blob in bottom:
            if blob.ndim != 4:
                raise ShapeError(f"expected bottoms of shape (N, C, H, W), got {blob.shape}")
        param = self.layer_param.interp_param
        self._cut = [slice(-param.pad_beg, n + param.pad_end) for n in bottom[0].shape[2:]]
        sizes = [n + param.pad_beg + param.pad_end for n in bottom[0].shape[2:]]
        if len(bottom) > 1:
            wanted = bottom[1].shape[2:]
        elif param.HasField("height"):
            wanted = (param.height, param.width)
        else:
            wanted = tuple(_scaled(size, param) for size in sizes)
        if min(sizes) < 1 or min(wanted) < 1:
            raise ShapeError(
                f"height: expected a part of {bottom[0].shape} and a size of 1 or more, got "
                f"{sizes} and {wanted}"
            )
        self._rows, self._columns = (
            self.xp.asarray(interpolation(size, count).astype(self.dtype))
            for size, count in zip(sizes, wanted, strict=True)
        )
        top[0].reshape(*bottom[0].shape[:2], *wanted)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Interpolate along the columns, then along the rows."""
        x = bottom[0].const_data[:, :, self._cut[0], self._cut[1]]
        wide = product(self, self._contiguous(x), self._columns, transpose_b=True)
        tall = product(self, self._contiguous(wide.swapaxes(2, 3)), self._rows, transpose_b=True)
        top[0].set_data(tall.swapaxes(2, 3))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Hand each gradient to the four elements that it comes from."""
        if propagate_down[0]:
            bottom[0].clear_diff()
            narrow = product(self, top[0].const_diff, self._columns)
            low = product(self, self._contiguous(narrow.swapaxes(2, 3)), self._rows)
            diff = bottom[0].mutable_diff
            diff[:, :, self._cut[0], self._cut[1]] = low.swapaxes(2, 3)
        if len(bottom) > 1 and propagate_down[1]:
            bottom[1].clear_diff()

    def _contiguous(self, array: Array) -> Array:
        found: Array = self.xp.ascontiguousarray(array)
        return found


def _scaled(size: int, param: caffe_pb2.InterpParameter) -> int:
    shrunk = (size - 1) // param.shrink_factor + 1
    return int((shrunk - 1) * param.zoom_factor + 1)


def interpolation(size: int, count: int) -> Array:
    """Return the matrix (count, size) that interpolates `count` numbers from `size` of them."""
    places = np.arange(count) * ((size - 1) / (count - 1) if count > 1 else 0.0)
    before = np.minimum(places.astype(int), size - 1)
    after = np.minimum(before + 1, size - 1)
    weight = places - before
    matrix = np.zeros((count, size))
    rows = np.arange(count)
    matrix[rows, before] += 1 - weight
    matrix[rows, after] += weight
    return matrix
