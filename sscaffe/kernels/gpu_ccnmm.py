"""Convolution on a GPU by weights without their rows and columns of zeros."""

import functools
import math
import zlib
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sscaffe import memo
from sscaffe.kernels import gpu_libraries
from sscaffe.kernels.gpu_finish import finish_rows
from sscaffe.kernels.gpu_lowering import Scratch, axes, lower, places, portions
from sscaffe.kernels.gpu_runtime import FOLDER, elapsed, launch, place, to_device, to_host

if TYPE_CHECKING:
    from sscaffe.blob import Blob
    from sscaffe.geometry import ConvGeometry

Array = npt.NDArray[Any]

_FILL = 16  # kept columns come in multiples of this, for whole steps of ccnmm.cu


class Tiles(NamedTuple):
    """The rows and positions that a block of a kernel in ccnmm.cu computes."""

    rows: int
    positions: int
    deep: bool = False

    @property
    def kernel(self) -> str:
        """Its name there."""
        return f"implicit_{self.rows}x{self.positions}{'_deep' if self.deep else ''}"


LOWERED = "gathered im2col + cuBLAS"
FLAT = (
    *(Tiles(128, 128), Tiles(128, 64), Tiles(96, 128)),
    *(Tiles(64, 128), Tiles(64, 64), Tiles(32, 128)),
)
DEEP = (Tiles(64, 64, deep=True),)
Form = Tiles | str


class KeptWeights:
    """What is left of a weight matrix, on the host.

    Attributes
    ----------
    rows, columns : list of ndarray
        Of each conv group, ascending.
    values : list of ndarray
        Of each group, shape (rows, columns).
    """

    def __init__(self, geometry: "ConvGeometry", weights: Array) -> None:
        g = geometry
        parts = weights.reshape(g.group, g.out_channels // g.group, g.kernel_dim)
        self.rows = [np.flatnonzero((part != 0).any(axis=1)) for part in parts]
        self.columns = [np.flatnonzero((part != 0).any(axis=0)) for part in parts]
        self.values = [
            part[np.ix_(rows, columns)]
            for part, rows, columns in zip(parts, self.rows, self.columns, strict=True)
        ]

    @property
    def most(self) -> tuple[int, int]:
        """Rows and columns of the largest group, and at least one."""
        rows = max(1, *(len(rows) for rows in self.rows))
        return rows, max(1, *(len(columns) for columns in self.columns))

    def filled(self, height: int, width: int) -> Array:
        """Return the matrices of all groups, (groups, height, width), with zeros added."""
        out = np.zeros((len(self.values), height, width), self.values[0].dtype)
        for matrix, values in zip(out, self.values, strict=True):
            matrix[: values.shape[0], : values.shape[1]] = values
        return out


def _filled(lists: list[Array], width: int) -> Array:
    """Return lists of numbers as the rows of an array of int32, with -1 added."""
    out = np.full((len(lists), width), -1, np.int32)
    for row, numbers in zip(out, lists, strict=True):
        row[: len(numbers)] = numbers
    return out


class ConcatenatedConvolution:
    """See `sscaffe.kernels.ConcatenatedConvolution`; the weights are packed once.

    The product is computed in the fastest of several forms, timed when it is first used: as an
    implicit GEMM in tiles of several sizes, or from a lowered matrix by cuBLAS.
    """

    def __init__(
        self, geometry: "ConvGeometry", weights: Array, forms: tuple[Form, ...] | None = None
    ) -> None:
        """Take the weights that are not zero; `forms` to choose from are all by default."""
        self._geometry, self._dtype = geometry, np.dtype(weights.dtype)
        self._kept = KeptWeights(geometry, to_host(weights))
        every = *(DEEP if axes(geometry)[0][0] * axes(geometry)[2][0] > 1 else FLAT), LOWERED
        self._forms = every if forms is None else forms
        self._form: Form | None = None

    @property
    def description(self) -> str:
        """How much of the weight matrix is left; summed over the conv groups."""
        g = self._geometry
        rows, columns = (sum(len(some) for some in of) for of in (self._kept.rows, self._columns))
        groups = f", {g.group} groups" if g.group > 1 else ""
        left = f"{rows} x {columns} of {g.out_channels} x {g.group * g.kernel_dim}{groups}"
        if isinstance(self._form, Tiles):
            return f"implicit GEMM of {left}, tiles of {self._form.rows} x {self._form.positions}"
        return f"{self._form or 'implicit GEMM'} of {left}"

    def forward(self, bottom: "Blob", bias: "Blob | None", top: "Blob", relu: bool = False) -> None:
        """See `sscaffe.kernels.ConcatenatedConvolution.forward`."""
        g = self._geometry
        images = bottom.const_data.reshape(-1, g.in_channels, math.prod(g.input))
        tops = top.new_data().reshape(-1, g.out_channels, math.prod(g.output))
        start_values = None if bias is None else bias.const_data
        if self._form is None:
            self._form = self._fastest(images, start_values, tops)
        self._run(self._form, images, start_values, tops, relu)

    def _run(self, form: Form, images: Array, bias: Array | None, tops: Array, relu: bool) -> None:
        if isinstance(form, Tiles):
            self._implicit(form.rows).run(form, images, bias, tops, relu)
        else:
            self._lowered.run(images, bias, tops, relu)

    def _fastest(self, images: Array, bias: Array | None, tops: Array) -> Form:
        if len(self._forms) == 1:
            return self._forms[0]
        runs = [partial(self._run, form, images, bias, tops, False) for form in self._forms]
        names = [form.kernel if isinstance(form, Tiles) else form for form in self._forms]

        def measure() -> memo.Times:
            for run in runs:
                run()  # prepares weights and memory
            return dict(zip(names, elapsed(runs), strict=True))

        times = memo.times(self._work(len(images)), names, measure)
        best = self._forms[names.index(min(names, key=lambda name: times[name]))]
        if isinstance(best, Tiles):
            self._forget(best.rows)
        return best

    def _work(self, images: int) -> str:
        """Say what the times depend on: forms differ in their last bits, so they are kept."""
        g, (rows, columns) = self._geometry, self._kept.most
        # What was measured for about as much holds for all of it.
        kept = f"{16 * rows * g.group // g.out_channels} x {16 * columns // g.kernel_dim} 16ths"
        source = zlib.crc32((FOLDER / "ccnmm.cu").read_bytes())
        what = f"{images} images, {g}, {kept} kept, {self._dtype.name}"
        return f"ccnmm {source:08x}; {place()}; {what}"

    def _forget(self, rows: int) -> None:
        """Free what the other forms have prepared."""
        packed = self._implicit(rows)
        self.__dict__.pop("_lowered", None)
        self._packed = {rows: packed}

    @property
    def _columns(self) -> list[Array]:
        return self._kept.columns

    def _implicit(self, rows: int) -> "_Implicit":
        if rows not in self._packed:
            self._packed[rows] = _Implicit(self._geometry, self._kept, rows)
        return self._packed[rows]

    @functools.cached_property
    def _packed(self) -> "dict[int, _Implicit]":
        return {}

    @functools.cached_property
    def _lowered(self) -> "_Lowered":
        return _Lowered(self._geometry, self._kept, self._dtype)


def _all_rows(geometry: "ConvGeometry", columns: list[Array], width: int) -> Array:
    """Return the kept columns of groups as rows of a lowered image, with -1 added."""
    filled = _filled(columns, width)
    first = np.arange(len(columns), dtype=np.int32)[:, None] * geometry.kernel_dim
    return np.where(filled < 0, -1, filled + first).reshape(-1)


class _Implicit:
    """The tables of ccnmm.cu for tiles of so many rows."""

    def __init__(self, geometry: "ConvGeometry", kept: KeptWeights, rows: int) -> None:
        g = self._geometry = geometry
        self.tile_rows = rows
        most_rows, most_columns = kept.most
        self._width = -(-most_columns // _FILL) * _FILL
        self._height = -(-most_rows // rows) * rows
        matrices = kept.filled(self._height, self._width).transpose(0, 2, 1)
        self._weights = to_device(np.ascontiguousarray(matrices))
        self._places = to_device(places(g, _all_rows(g, kept.columns, self._width)))
        steps = [-(-len(columns) // _FILL) * _FILL for columns in kept.columns]
        self._steps = to_device(np.asarray(steps, np.int32))
        channels = np.arange(g.out_channels, dtype=np.int32).reshape(g.group, -1)
        lost = [np.delete(some, rows) for some, rows in zip(channels, kept.rows, strict=True)]
        held = [some[rows] for some, rows in zip(channels, kept.rows, strict=True)]
        self._channels = to_device(_filled(held, self._height))
        self._most_lost = max(len(some) for some in lost)
        self._lost = to_device(_filled(lost, max(1, self._most_lost)))

    def run(self, tiles: Tiles, images: Array, bias: Array | None, tops: Array, relu: bool) -> None:
        """Set the tops of images (n, C, size)."""
        g = self._geometry
        size, out, _, stride, _, _ = axes(g)
        total = len(tops) * math.prod(out)
        grid = (
            -(-total // tiles.positions),
            self._height // tiles.rows + (self._most_lost > 0),
            g.group,
        )
        launch(
            *("ccnmm.cu", tiles.kernel, grid, (256,)),
            (
                *(images, self._weights, self._places, self._steps, self._channels, self._lost),
                *(bias, tops, relu, total, g.in_channels * math.prod(size), *size, *out, *stride),
                *(g.out_channels, self._width, self._height, self._most_lost),
            ),
            tops.dtype,
        )


class _Lowered:
    """Three launches for a portion of the batch: a lowering, a product, a scattering of rows."""

    def __init__(self, geometry: "ConvGeometry", kept: KeptWeights, dtype: Any) -> None:
        g = self._geometry = geometry
        self._dtype = np.dtype(dtype)
        height, self._width = kept.most
        self._weights = to_device(kept.filled(height, self._width))
        self._places = to_device(places(g, _all_rows(g, kept.columns, self._width)))
        rows = np.full((g.group, g.out_channels // g.group), -1, np.int32)
        for group, some in enumerate(kept.rows):
            rows[group, some] = group * height + np.arange(len(some))
        self._rows = to_device(rows.reshape(-1))
        self._columns, self._product = Scratch(dtype), Scratch(dtype)

    def run(self, images: Array, bias: Array | None, tops: Array, relu: bool) -> None:
        """Set the tops of images (n, C, size)."""
        group, height, _ = self._weights.shape
        positions = tops.shape[2]
        image_bytes = group * self._width * positions * self._dtype.itemsize
        for some in portions(len(images), image_bytes):
            total = (some.stop - some.start) * positions
            columns = self._columns.take(group * self._width, total)
            lower(images[some], self._geometry, self._places, columns)
            product = self._product.take(group, height, total)
            gpu_libraries.gemm_batched(
                self._weights, columns.reshape(group, self._width, total), product
            )
            rows = product.reshape(group * height, total)
            finish_rows(rows, self._rows, bias, None, tops[some], relu)
