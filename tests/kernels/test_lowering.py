"""im2col and col2im over any number of axes, against loops."""

import itertools
import math

import numpy as np
import pytest

from sscaffe import _core
from sscaffe.geometry import ConvGeometry

# channels, input, kernel, stride, pad, dilation
CASES = [
    (5, (), (), (), (), ()),
    (2, (9,), (3,), (2,), (1,), (1,)),
    (1, (4,), (2,), (3,), (0,), (3,)),
    (3, (5, 6), (1, 1), (1, 1), (0, 0), (1, 1)),
    (2, (6, 7), (3, 2), (1, 1), (1, 0), (1, 1)),
    (2, (6, 7), (3, 3), (2, 1), (2, 1), (1, 2)),
    (1, (8, 5), (2, 3), (3, 2), (0, 4), (3, 1)),
    (2, (3, 3), (5, 5), (1, 1), (2, 2), (1, 1)),
    (1, (2, 2), (2, 2), (1, 1), (6, 6), (1, 1)),
    (2, (4, 3, 5), (2, 3, 1), (1, 2, 2), (1, 1, 0), (2, 1, 1)),
    (1, (2, 3, 2, 3), (2, 2, 1, 2), (1, 1, 1, 2), (0, 1, 0, 1), (1, 1, 1, 1)),
    (32, (18, 18), (3, 3), (1, 1), (1, 1), (1, 1)),  # large enough for two threads
]


def sizes_of(case):
    return ConvGeometry(case[0], 1, 1, *case[1:])


def places(geometry):
    """Yield (row, output index, image index) of each element that is not padding."""
    g = geometry
    rows = itertools.product(range(g.in_channels), *map(range, g.kernel))
    for row, (channel, *k) in enumerate(rows):
        for column, output in enumerate(itertools.product(*map(range, g.output))):
            axes = zip(output, g.stride, k, g.dilation, g.pad, strict=True)
            at = tuple(o * s + ki * d - p for o, s, ki, d, p in axes)
            if all(0 <= i < size for i, size in zip(at, g.input, strict=True)):
                yield row, column, (channel, *at)


def reference_columns(image, geometry):
    rows = geometry.in_channels * math.prod(geometry.kernel)
    columns = np.zeros((rows, math.prod(geometry.output)), image.dtype)
    for row, column, at in places(geometry):
        columns[row, column] = image[at]
    return columns


def random_image(rng, geometry, dtype):
    return rng.standard_normal((geometry.in_channels, *geometry.input)).astype(dtype)


def lower(image, geometry, rows, kept=None):
    g = geometry
    columns = np.full((rows, math.prod(g.output)), np.nan, image.dtype)
    _core.im2col(image, g.input, g.kernel, g.stride, g.pad, g.dilation, columns, kept)
    return columns


@pytest.mark.parametrize("case", CASES, ids=str)
def test_im2col(case, dtype, rng):
    g = sizes_of(case)
    image = random_image(rng, g, dtype)
    expected = reference_columns(image, g)
    np.testing.assert_array_equal(lower(image, g, len(expected)), expected)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("keep", ["none", "first", "last", "every third", "all"])
def test_im2col_of_kept_rows(case, keep, dtype, rng):
    g = sizes_of(case)
    image = random_image(rng, g, dtype)
    expected = reference_columns(image, g)
    rows = np.arange(len(expected), dtype=np.int32)
    part = {"none": 0, "first": 1, "last": -1, "every third": 3, "all": len(rows)}[keep]
    kept = {0: rows[:0], 1: rows[:1], -1: rows[-1:], 3: rows[::3].copy()}.get(part, rows)
    np.testing.assert_array_equal(lower(image, g, len(kept), kept), expected[kept])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_col2im(case, dtype, rng):
    g = sizes_of(case)
    rows = g.in_channels * math.prod(g.kernel)
    # Whole numbers: their sums are exact in any order.
    columns = rng.integers(-9, 10, (rows, math.prod(g.output))).astype(dtype)
    expected = np.zeros((g.in_channels, *g.input), dtype)
    for row, column, at in places(g):
        expected[at] += columns[row, column]
    image = np.full_like(expected, np.nan)
    _core.col2im(columns, g.input, g.kernel, g.stride, g.pad, g.dilation, image)
    np.testing.assert_array_equal(image, expected)


@pytest.mark.usefixtures("threads")
def test_any_number_of_threads(rng):
    g = sizes_of(CASES[-1])
    image = random_image(rng, g, np.float32)
    expected = reference_columns(image, g)
    np.testing.assert_array_equal(lower(image, g, len(expected)), expected)


class TestRefuses:
    sizes = ((4, 4), (3, 3), (1, 1), (0, 0), (1, 1))
    image = np.zeros((2, 4, 4), np.float32)
    columns = np.zeros((18, 4), np.float32)

    def test_one_dtype_for_two(self):
        with pytest.raises(TypeError):
            _core.im2col(self.image, *self.sizes, self.columns.astype(np.float64))

    def test_what_is_not_contiguous(self):
        with pytest.raises(TypeError):
            _core.im2col(self.image, *self.sizes, self.columns.T)

    def test_kept_of_another_dtype(self):
        with pytest.raises(TypeError):
            _core.im2col(self.image, *self.sizes, self.columns, np.arange(18))

    def test_other_sizes(self):
        with pytest.raises(ValueError, match="columns: expected 72 elements, got 68"):
            _core.im2col(self.image, *self.sizes, self.columns[:17])
        with pytest.raises(ValueError, match="image: expected 16 elements, got 20"):
            _core.im2col(np.zeros(20, np.float32), *self.sizes, self.columns)
        with pytest.raises(ValueError, match="columns: expected 72 elements, got 68"):
            _core.col2im(self.columns[:17], *self.sizes, self.image)

    @pytest.mark.parametrize("row", [-1, 18])
    def test_kept_rows_that_are_not_there(self, row):
        kept = np.array([row], np.int32)
        with pytest.raises(ValueError, match=f"kept: expected rows below 18, got {row}"):
            _core.im2col(self.image, *self.sizes, self.columns[:1], kept)

    def test_sizes_that_make_no_convolution(self):
        with pytest.raises(ValueError, match="kernel: expected 2 axes, got 1"):
            _core.im2col(self.image, (4, 4), (3,), *self.sizes[2:], self.columns)
        with pytest.raises(ValueError, match="stride: expected 1 or more on each axis, got 0"):
            _core.im2col(self.image, (4, 4), (3, 3), (1, 0), *self.sizes[3:], self.columns)
        with pytest.raises(ValueError, match="input: expected 5 or more with its padding, got 4"):
            _core.im2col(self.image, (4, 4), (5, 3), *self.sizes[2:], self.columns)
