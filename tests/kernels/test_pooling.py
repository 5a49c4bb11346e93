"""The core's pooling, against Caffe's loops written out."""

import numpy as np
import pytest

from sscaffe import _core
from sscaffe.geometry import PoolGeometry

FLOAT_MAX = np.finfo(np.float32).max

# input, kernel, stride, pad, ceil
CASES = [
    ((4, 4), (2, 2), (2, 2), (0, 0), True),
    ((5, 7), (3, 2), (2, 3), (0, 0), True),
    ((5, 7), (3, 2), (2, 3), (0, 0), False),
    ((6, 5), (3, 3), (2, 2), (1, 1), True),
    ((6, 5), (3, 3), (1, 1), (2, 2), True),
    ((4, 4), (4, 4), (3, 3), (3, 3), True),
    ((3, 9), (3, 9), (1, 1), (0, 0), True),
    ((4, 1), (1, 1), (5, 1), (0, 0), True),  # the last window lies beyond the image
    ((40, 41), (3, 3), (2, 2), (0, 0), True),
]


def sizes_of(case):
    size, kernel, stride, pad, ceil = case
    return PoolGeometry(1, size, kernel, stride, pad, ceil)


def arguments(g, planes):
    return planes, g.input, g.output, g.kernel, g.stride, g.pad


def windows(g):
    """Yield (output, slices of the image, the average's divisor) of each window."""
    for output in np.ndindex(g.output):
        slices, divisor = [], 1
        for o, size, kernel, stride, pad in zip(
            output, g.input, g.kernel, g.stride, g.pad, strict=True
        ):
            start = o * stride - pad
            stop = min(start + kernel, size + pad)
            divisor *= stop - start
            slices.append(slice(max(start, 0), max(min(stop, size), 0)))
        yield output, tuple(slices), divisor


def reference_max(bottom, g):
    """Return the top and where in its plane each largest element is."""
    index = np.arange(np.prod(g.input)).reshape(g.input)
    top = np.full((len(bottom), *g.output), -FLOAT_MAX, bottom.dtype)
    mask = np.full(top.shape, -1, np.int32)
    for plane, image in enumerate(bottom):
        for output, window, _ in windows(g):
            if image[window].size and (largest := image[window].max()) > -FLOAT_MAX:
                top[plane, *output] = largest
                mask[plane, *output] = index[window].ravel()[image[window].argmax()]
    return top, mask


def run_max(bottom, g):
    top = np.full((len(bottom), *g.output), np.nan, bottom.dtype)
    mask = np.full(top.shape, -7, np.int32)
    _core.max_pool_forward(bottom, *arguments(g, len(bottom)), top, mask)
    return top, mask


def random_planes(rng, g, dtype, planes=3):
    """Few different numbers, so that many windows hold equal ones."""
    return rng.integers(-3, 4, (planes, *g.input)).astype(dtype)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_max_forward(case, dtype, isa, rng):
    g = sizes_of(case)
    bottom = random_planes(rng, g, dtype)
    top, mask = run_max(bottom, g)
    expected_top, expected_mask = reference_max(bottom, g)
    np.testing.assert_array_equal(top, expected_top)
    np.testing.assert_array_equal(mask, expected_mask)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_max_backward(case, dtype, rng):
    g = sizes_of(case)
    bottom = random_planes(rng, g, dtype)
    _, mask = reference_max(bottom, g)
    top_diff = rng.integers(-9, 10, mask.shape).astype(dtype)
    expected = np.zeros((3, int(np.prod(g.input))), dtype)
    for at in np.ndindex(mask.shape):
        if mask[at] >= 0:
            expected[at[0], mask[at]] += top_diff[at]
    bottom_diff = np.full_like(bottom, np.nan)
    _core.max_pool_backward(top_diff, mask, *arguments(g, 3), bottom_diff)
    np.testing.assert_array_equal(bottom_diff.reshape(3, -1), expected)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_ave_forward(case, dtype, isa, rng):
    g = sizes_of(case)
    bottom = random_planes(rng, g, dtype)
    expected = np.zeros((3, *g.output), dtype)
    for plane, image in enumerate(bottom):
        for output, window, divisor in windows(g):
            if image[window].size:
                # The sum is a whole number, so the one division rounds the same way.
                expected[plane, *output] = image[window].sum() / dtype(divisor)
    top = np.full_like(expected, np.nan)
    _core.ave_pool_forward(bottom, *arguments(g, 3), top)
    np.testing.assert_array_equal(top, expected)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_ave_backward(case, dtype, rng):
    g = sizes_of(case)
    top_diff = rng.standard_normal((3, *g.output)).astype(dtype)
    expected = np.zeros((3, *g.input))
    for plane, diffs in enumerate(top_diff):
        for output, window, divisor in windows(g):
            if expected[plane][window].size:
                expected[plane][window] += diffs[output] / divisor
    bottom_diff = np.full(expected.shape, np.nan, dtype)
    _core.ave_pool_backward(top_diff, *arguments(g, 3), bottom_diff)
    # Up to 16 windows overlap: a few roundings of the dtype.
    tolerance = 16 * np.finfo(dtype).eps
    np.testing.assert_allclose(bottom_diff, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.usefixtures("threads")
def test_any_number_of_threads(rng):
    g = sizes_of(CASES[-1])
    bottom = random_planes(rng, g, np.float32, planes=25)
    for got, expected in zip(run_max(bottom, g), reference_max(bottom, g), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.usefixtures("isa")
def test_nan_is_never_the_largest():
    g = sizes_of(CASES[0])
    bottom = np.full((1, 4, 4), np.nan, np.float32)
    bottom[0, 2, 3] = -5
    top, mask = run_max(bottom, g)
    np.testing.assert_array_equal(top[0], [[-FLOAT_MAX, -FLOAT_MAX], [-FLOAT_MAX, -5]])
    np.testing.assert_array_equal(mask[0], [[-1, -1], [-1, 11]])


def test_refuses():
    g = sizes_of(CASES[0])
    bottom, top = np.zeros((2, 4, 4), np.float32), np.zeros((2, 2, 2), np.float32)
    mask = np.zeros(top.shape, np.int32)
    with pytest.raises(TypeError):
        _core.max_pool_forward(bottom, *arguments(g, 2), top.astype(np.float64), mask)
    with pytest.raises(TypeError):
        _core.max_pool_forward(bottom, *arguments(g, 2), top, mask.astype(np.int64))
    with pytest.raises(ValueError, match="bottom: expected 48 elements, got 32"):
        _core.max_pool_forward(bottom, *arguments(g, 3), top, mask)
    with pytest.raises(ValueError, match="mask: expected 8 elements, got 4"):
        _core.max_pool_forward(bottom, *arguments(g, 2), top, mask[:1])
    with pytest.raises(ValueError, match="top_diff: expected 8 elements, got 4"):
        _core.ave_pool_backward(top[:1], *arguments(g, 2), bottom)
    with pytest.raises(ValueError, match="kernel: expected 2 axes, got 3"):
        _core.ave_pool_forward(bottom, 2, (4, 4), (2, 2), (2, 2, 2), (2, 2), (0, 0), top)
