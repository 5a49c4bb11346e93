"""Lowering on a GPU: as many images at a time as make a good matrix product."""

import functools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sscaffe.errors import UnsupportedError
from sscaffe.kernels import gpu_dense, gpu_libraries
from sscaffe.kernels.gpu_finish import finish_rows, finish_top
from sscaffe.kernels.gpu_runtime import MOST_DOWN, launch, launch_each, to_device, xp

if TYPE_CHECKING:
    from sscaffe.blob import Blob
    from sscaffe.geometry import ConvGeometry

Array = npt.NDArray[Any]

FILE = "lowering.cu"
PORTION = 256 << 20  # bytes of a lowered matrix; more images at a time make no better products
_BLOCK = 256
_ROWS_AT_ONCE = 8  # as in lowering.cu
_OUTSIDE = 1 << 28  # a step that leaves every image
_AXES = 3


def axes(geometry: "ConvGeometry") -> "tuple[tuple[int, int, int], ...]":
    """Return input, output, kernel, stride, pad and dilation as depth, height and width.

    Raises
    ------
    UnsupportedError
        If there are more than 3 axes.
    """
    g = geometry
    missing = _AXES - len(g.input)
    if missing < 0:
        raise UnsupportedError(f"a GPU lowers up to {_AXES} spatial axes, got {len(g.input)}")
    spelled = []
    for sizes, fill in (
        *((g.input, 1), (g.output, 1), (g.kernel, 1)),
        *((g.stride, 1), (g.pad, 0), (g.dilation, 1)),
    ):
        z, y, x = (fill,) * missing + tuple(sizes)
        spelled.append((z, y, x))
    return tuple(spelled)


def places(geometry: "ConvGeometry", rows: Array | None = None, channels: int = 0) -> Array:
    """Return where rows of the lowered image are read, int32 (rows, 4); see lowering.cu.

    Parameters
    ----------
    geometry : ConvGeometry
        Sizes of an image.
    rows : ndarray of int, optional
        On the host; those less than 0 are read nowhere. By default all rows.
    channels : int
        How many there are of all rows; those of an image by default.
    """
    (_, height, width), _, kernel, _, pad, dilation = axes(geometry)
    count = (channels or geometry.in_channels) * math.prod(kernel)
    rows = np.arange(count) if rows is None else np.asarray(rows)
    steps = []
    left = np.maximum(rows, 0)
    for size, before, apart in reversed(list(zip(kernel, pad, dilation, strict=True))):
        steps.append(left % size * apart - before)
        left = left // size
    x, y, z = steps
    offset = left * math.prod(geometry.input) + (z * height + y) * width + x
    table = np.stack([offset, z, y, x], axis=1).astype(np.int32)
    table[rows < 0] = 0, 0, _OUTSIDE, 0
    return table


@functools.lru_cache(maxsize=256)
def _all_places(device: int, geometry: "ConvGeometry", channels: int) -> Array:
    table: Array = to_device(places(geometry, channels=channels))
    return table


def every_place(geometry: "ConvGeometry", channels: int = 0) -> Array:
    """Return the places of all rows, on the device."""
    return _all_places(xp.cuda.runtime.getDevice(), geometry, channels)


def lower(images: Array, geometry: "ConvGeometry", table: Array, columns: Array) -> None:
    """Lower images into the columns of one matrix.

    Parameters
    ----------
    images : ndarray, shape (n, C, *input)
        C-contiguous.
    geometry : ConvGeometry
        Sizes of an image.
    table : ndarray of int32, shape (rows, 4)
        From `places`.
    columns : ndarray, shape (rows, n * P)
        Overwritten.
    """
    size, out, _, stride, _, _ = axes(geometry)
    rows, total = columns.shape
    image_size = images[0].size
    launch(
        *(FILE, "lower"),
        (-(-total // _BLOCK), min(-(-rows // _ROWS_AT_ONCE), MOST_DOWN)),
        (_BLOCK,),
        (images, table, columns, rows, total, image_size, *size, *out, *stride),
        columns.dtype,
    )


def add_up(columns: Array, geometry: "ConvGeometry", images: Array) -> None:
    """Set images to the sums of what `lower` would make from them, by all places."""
    size, out, kernel, stride, pad, dilation = axes(geometry)
    channels = images.shape[1]
    launch_each(
        *(FILE, "raise", images.size),
        (
            *(columns, images, channels, columns.shape[1], *size, *out, *kernel),
            *(*stride, *pad, *dilation),
        ),
        columns.dtype,
    )


def portions(images: int, row_bytes: int) -> Iterator[slice]:
    """Yield which images are lowered at a time, where each makes so many bytes."""
    at_once = max(1, PORTION // max(1, row_bytes))
    # Portions of about one size, so that the last product is no smaller than it has to be.
    count = -(-images // at_once)
    for i in range(count):
        yield slice(images * i // count, images * (i + 1) // count)


class Scratch:
    """Memory that is used again while it is large enough."""

    def __init__(self, dtype: Any) -> None:
        self._dtype = np.dtype(dtype)
        self._memory: Array | None = None

    def take(self, *shape: int) -> Array:
        """Return an array of any content."""
        size = math.prod(shape)
        if self._memory is None or self._memory.size < size:
            self._memory = None  # frees it before more is taken
            self._memory = xp.empty(size, self._dtype)
        assert self._memory is not None
        return self._memory[:size].reshape(shape)


def im2col(
    image: Array, geometry: "ConvGeometry", columns: Array, kept: Array | None = None
) -> None:
    """See `Kernels.im2col`."""
    channels = image.size // math.prod(geometry.input)
    table = every_place(geometry, channels)
    if kept is not None:
        table = xp.ascontiguousarray(table[kept])
    lower(image.reshape(1, channels, -1), geometry, table, columns)


def col2im(columns: Array, geometry: "ConvGeometry", image: Array) -> None:
    """See `Kernels.col2im`."""
    channels = image.size // math.prod(geometry.input)
    add_up(columns, geometry, image.reshape(1, channels, -1))


class LoweredConvolution:
    """See `LoweredOperator`: im2col and cuBLAS, for a portion of the batch at once."""

    description = "im2col + cuBLAS"

    def __init__(self, geometry: "ConvGeometry", dtype: Any) -> None:
        g = self._geometry = geometry
        axes(g)
        self._dtype = np.dtype(dtype)
        self._positions = math.prod(g.output)
        self._rows = g.group * g.kernel_dim
        self._columns, self._product = Scratch(dtype), Scratch(dtype)
        # A lowered image of 1x1 is the image itself: nothing is lowered, nothing scattered.
        self._plain = g.is_1x1 and g.group == 1

    def forward(
        self,
        bottom: "Blob",
        weights: "Blob",
        bias: "Blob | None",
        top: "Blob",
        add: "Blob | None" = None,
        relu: bool = False,
        takes: bool = False,
    ) -> None:
        """See `ConvolutionOperator.forward`."""
        images = self._images(bottom.const_data)
        matrix = weights.const_data.reshape(self._by_group(-1))
        start_values = None if bias is None else bias.const_data
        term = None if add is None else self._tops(add.const_data)
        is_shared = add is not None and add.data_tensor is top.data_tensor
        tops = self._tops(top.new_data())
        if self._plain and not is_shared:
            gpu_libraries.gemm_batched(matrix, images, tops)
            finish_top(top, tops.shape, bias, term, relu)
            return
        for some in self._portions(images):
            columns = self._lower(images[some])
            product = self._product.take(self._geometry.out_channels, columns.shape[1])
            gpu_libraries.gemm_batched(matrix, self._grouped(columns), self._grouped(product))
            added = None if term is None else term[some]
            finish_rows(product, None, start_values, added, tops[some], relu)

    def lower(self, bottom: "Blob") -> bool:
        """See `LoweredOperator.lower`."""
        if self._plain:
            return False
        images = self._images(bottom.const_data)
        for some in self._portions(images):
            self._lower(images[some])
        return True

    def backward_data(self, top: "Blob", weights: "Blob", bottom: "Blob") -> None:
        """See `ConvolutionOperator.backward_data`."""
        images, tops = self._images(bottom.new_diff()), self._tops(top.const_diff)
        matrix = weights.const_data.reshape(self._by_group(-1))
        if self._plain:
            gpu_libraries.gemm_batched(matrix, tops, images, transpose_a=True)
            return
        for some in self._portions(images):
            diffs = self._gather(tops[some])
            columns = self._columns.take(self._rows, diffs.shape[1])
            gpu_libraries.gemm_batched(
                matrix, self._grouped(diffs), self._grouped(columns), transpose_a=True
            )
            add_up(columns, self._geometry, images[some])

    def backward_weights(
        self, top: "Blob", bottom: "Blob", weights: "Blob", bias: "Blob | None"
    ) -> None:
        """See `ConvolutionOperator.backward_weights`."""
        images = self._images(bottom.const_data)
        tops = self._tops(top.const_diff)
        if not tops.size:
            return
        diff, accumulate = gpu_dense.target(weights.diff_tensor)
        out = diff.reshape(self._by_group(-1))
        for some in self._portions(images):
            columns = self._lower(images[some])
            gpu_libraries.gemm_batched(
                self._grouped(self._gather(tops[some])),
                self._grouped(columns),
                out,
                transpose_b=True,
                accumulate=accumulate,
            )
            accumulate = True
        if bias is not None:
            self.backward_bias(top, bias)

    def backward_bias(self, top: "Blob", bias: "Blob") -> None:
        """See `LoweredOperator.backward_bias`."""
        tops = self._tops(top.const_diff)
        gpu_dense.add_bias_gradient(top, tops.shape, bias)

    def _lower(self, images: Array) -> Array:
        columns = self._columns.take(self._rows, len(images) * self._positions)
        lower(images, self._geometry, every_place(self._geometry), columns)
        return columns

    def _gather(self, tops: Array) -> Array:
        """Return tops with the images of a channel behind each other."""
        count, channels, size = tops.shape
        if count == 1:
            return tops.reshape(channels, size)
        out = self._product.take(channels, count * size)
        arguments = (tops, out, channels, size, count * size)
        launch_each(FILE, "gather_rows", tops.size, arguments, self._dtype)
        return out

    def _portions(self, images: Array) -> Iterator[slice]:
        return portions(len(images), self._rows * self._positions * self._dtype.itemsize)

    def _grouped(self, array: Array) -> Array:
        return array.reshape(self._geometry.group, -1, array.shape[1])

    def _by_group(self, columns: int) -> tuple[int, int, int]:
        g = self._geometry
        return g.group, g.out_channels // g.group, columns

    def _images(self, array: Array) -> Array:
        g = self._geometry
        return array.reshape(-1, g.in_channels, math.prod(g.input))

    def _tops(self, array: Array) -> Array:
        return array.reshape(-1, self._geometry.out_channels, self._positions)
