"""Convolution and products on a GPU by weights that have zeros anywhere."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sscaffe.kernels import gpu_libraries
from sscaffe.kernels.gpu_finish import finish_rows
from sscaffe.kernels.gpu_lowering import Scratch, axes, every_place, lower, places, portions
from sscaffe.kernels.gpu_runtime import MOST_DOWN, launch, to_device, to_host, xp

if TYPE_CHECKING:
    from sscaffe.blob import Blob
    from sscaffe.geometry import ConvGeometry

Array = npt.NDArray[Any]

FILE = "direct_sparse.cu"
_CHANNELS = 8  # as in direct_sparse.cu
_POSITIONS = 512  # likewise, of a block
_BLOCK = 128


class SparseProduct:
    """See `sscaffe.kernels.SparseProduct`."""

    description = "own csrmm"

    def __init__(self, row_ptr: Array, indices: Array, values: Array, columns: int) -> None:
        self._arrays = row_ptr, indices, values
        self._inputs = columns

    def multiply(
        self, x: Array, out: Array, bias: Array | None = None, *, relu: bool = False
    ) -> None:
        """See `SparseProduct.multiply`."""
        count, outputs, size = out.shape
        total = count * size
        launch(
            *(FILE, "multiply", (-(-total // _BLOCK), min(outputs, MOST_DOWN)), (_BLOCK,)),
            (*self._arrays, x, bias, out, total, self._inputs, outputs, size, relu),
            out.dtype,
        )

    def multiply_vectors(
        self, x: Array, out: Array, bias: Array | None = None, *, relu: bool = False
    ) -> None:
        """See `SparseProduct.multiply_vectors`."""
        count, outputs = out.shape
        launch(
            *(FILE, "multiply_vectors", (-(-outputs // 4), min(count, MOST_DOWN)), (_BLOCK,)),
            (*self._arrays, x, bias, out, count, self._inputs, outputs, relu),
            out.dtype,
        )


class HostCsr:
    """The non-zero weights of all conv groups as one matrix along its diagonal, on the host.

    Attributes
    ----------
    row_ptr, rows, values : ndarrays
        In CSR form; `rows` are those of the lowered image.
    """

    def __init__(self, geometry: "ConvGeometry", weights: Array) -> None:
        g = geometry
        matrix = weights.reshape(g.out_channels, g.kernel_dim)
        channels, columns = matrix.nonzero()
        counts = np.bincount(channels, minlength=g.out_channels)
        self.row_ptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        self.rows = columns + channels // (g.out_channels // g.group) * g.kernel_dim
        self.values = np.ascontiguousarray(matrix[channels, columns])


class DirectSparseConvolution:
    """See `sscaffe.kernels.SparseConvolution`: the weights read the images themselves."""

    def __init__(self, geometry: "ConvGeometry", weights: Array) -> None:
        self._geometry = geometry
        csr = HostCsr(geometry, to_host(weights))
        self._nnz = csr.values.size
        self._row_ptr, self._values = to_device(csr.row_ptr), to_device(csr.values)
        self._places = to_device(places(geometry, csr.rows))

    @property
    def description(self) -> str:
        """How many of the weights are left."""
        every = self._geometry.out_channels * self._geometry.kernel_dim
        return f"direct sparse convolution by {self._nnz} of {every} weights"

    def forward(
        self, bottom: "Blob", bias: "Blob | None", top: "Blob", *, relu: bool = False
    ) -> None:
        """See `SparseConvolution.forward`."""
        start_values = None if bias is None else bias.const_data
        matrix = self._row_ptr, self._places, self._values
        _run_direct(
            self._geometry, bottom.const_data, matrix, start_values, top.new_data(), relu=relu
        )


def _run_direct(
    geometry: "ConvGeometry",
    images: Array,
    matrix: tuple[Array, Array, Array],
    bias: Array | None,
    tops: Array,
    *,
    relu: bool,
) -> None:
    g = geometry
    total = tops.size // g.out_channels
    launch(
        *(FILE, "direct_sparse"),
        (-(-total // _POSITIONS), -(-g.out_channels // _CHANNELS)),
        (_BLOCK,),
        (
            *(images, *matrix, bias, tops, relu, total, g.in_channels * math.prod(g.input)),
            *(*g.input, *g.output, *g.stride, g.out_channels),
        ),
        tops.dtype,
    )


def direct_sparse_conv(
    image: Array,
    geometry: "ConvGeometry",
    row_ptr: Array,
    indices: Array,
    values: Array,
    bias: Array | None,
    out: Array,
) -> None:
    """See `Kernels.direct_sparse_conv`."""
    g = geometry
    channels = xp.searchsorted(row_ptr, xp.arange(indices.size, dtype=np.int32), side="right") - 1
    rows = indices + channels // (g.out_channels // g.group) * g.kernel_dim
    table = xp.ascontiguousarray(every_place(g)[rows])
    _run_direct(g, image, (row_ptr, table, values), bias, out, relu=False)


class LoweredSparseConvolution:
    """A `sscaffe.kernels.SparseConvolution` by cuSPARSE, from lowered kept columns."""

    def __init__(self, geometry: "ConvGeometry", weights: Array) -> None:
        g = self._geometry = geometry
        axes(g)
        self._dtype = np.dtype(weights.dtype)
        csr = HostCsr(g, to_host(weights))
        kept, indices = np.unique(csr.rows, return_inverse=True)
        self._inputs = kept.size
        self._places = to_device(places(g, kept))
        self._matrix = gpu_libraries.SparseMatrix(
            to_device(csr.row_ptr),
            to_device(indices.astype(np.int32)),
            to_device(csr.values),
            kept.size,
        )
        self._columns, self._product = Scratch(self._dtype), Scratch(self._dtype)

    @property
    def description(self) -> str:
        """How many columns are lowered."""
        every = self._geometry.group * self._geometry.kernel_dim
        return f"im2col of {self._inputs} of {every} columns + cuSPARSE"

    def forward(
        self, bottom: "Blob", bias: "Blob | None", top: "Blob", *, relu: bool = False
    ) -> None:
        """See `SparseConvolution.forward`."""
        g = self._geometry
        images = bottom.const_data.reshape(-1, g.in_channels, math.prod(g.input))
        tops = top.new_data().reshape(-1, g.out_channels, math.prod(g.output))
        start_values = None if bias is None else bias.const_data
        positions = tops.shape[2]
        for some in portions(len(images), self._inputs * positions * self._dtype.itemsize):
            total = (some.stop - some.start) * positions
            columns = self._columns.take(self._inputs, total)
            lower(images[some], g, self._places, columns)
            product = self._product.take(g.out_channels, total)
            self._matrix.multiply(columns, product)
            finish_rows(product, None, start_values, None, tops[some], relu)
