"""Pooling on the GPU, against Caffe's loops written out and against the CPU."""

import math

import numpy as np
import pytest

from sscaffe.blob import Blob
from sscaffe.geometry import PoolGeometry
from sscaffe.kernels import cpu
from sscaffe.kernels.gpu_pooling import Pooling
from tests.gpu.blobs import blob_of, data_of, diff_of, unset, with_diff
from tests.kernels.test_pooling import CASES, FLOAT_MAX, reference_max, windows

pytestmark = pytest.mark.gpu

ALL = [
    *CASES,
    ((17, 19), (16, 16), (1, 2), (3, 0), True),  # places that do not fit into a byte
    ((7, 7), (7, 7), (1, 1), (0, 0), True),  # a warp a plane
    ((6, 9), (8, 9), (3, 1), (0, 0), True),  # one window, larger than the image
    ((9, 8), (2, 2), (2, 2), (0, 0), True),
    ((9, 8), (3, 3), (4, 4), (0, 0), True),  # elements between the windows
]


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    return request.param


def geometry_of(case, channels=3):
    size, kernel, stride, pad, ceil = case
    return PoolGeometry(channels, size, kernel, stride, pad, ceil)


def draw(rng, g, dtype, batch=2):
    """Few different numbers, so that many windows hold equal ones."""
    return rng.integers(-3, 4, (batch, g.channels, *g.input)).astype(dtype)


def forward(g, method, x):
    pooling = Pooling(g, len(x), method, x.dtype)
    bottom, top = blob_of(x), unset((len(x), g.channels, *g.output), x.dtype)
    pooling.forward(bottom, top)
    return pooling, bottom, top


@pytest.mark.parametrize("case", ALL, ids=str)
def test_max(case, dtype, rng):
    g = geometry_of(case)
    x = draw(rng, g, dtype)
    pooling, bottom, top = forward(g, "MAX", x)
    expected, mask = reference_max(x.reshape(-1, *g.input), g)
    np.testing.assert_array_equal(data_of(top).reshape(expected.shape), expected)
    dy = rng.integers(-9, 10, top.shape).astype(dtype)
    pooling.backward(with_diff(top, dy), bottom)
    dx = np.zeros((len(mask), math.prod(g.input)), dtype)
    diffs = dy.reshape(mask.shape)
    for at in np.ndindex(mask.shape):
        if mask[at] >= 0:
            dx[at[0], mask[at]] += diffs[at]
    np.testing.assert_array_equal(diff_of(bottom).reshape(dx.shape), dx)


@pytest.mark.parametrize("size", [(15, 17), (16, 16), (16, 17)], ids=str)
def test_winner_at_the_end_of_a_large_window(size, dtype):
    """Places that fit into a byte, those that are the byte for none, and larger ones."""
    g = PoolGeometry(2, size, size, (1, 1), (0, 0))
    x = np.arange(2 * math.prod(size), dtype=dtype).reshape(1, 2, *size)
    pooling, bottom, top = forward(g, "MAX", x)
    pooling.backward(with_diff(top, np.ones((1, 2, 1, 1), dtype)), bottom)
    expected = np.zeros(x.shape)
    expected[..., -1, -1] = 1
    np.testing.assert_array_equal(diff_of(bottom), expected)


@pytest.mark.parametrize("case", ALL, ids=str)
def test_ave(case, dtype, rng):
    g = geometry_of(case)
    x = draw(rng, g, dtype)
    pooling, bottom, top = forward(g, "AVE", x)
    dy = rng.standard_normal(top.shape).astype(dtype)
    pooling.backward(with_diff(top, dy), bottom)
    y, dx = np.zeros(top.shape), np.zeros(x.shape)
    for plane in np.ndindex(x.shape[:2]):
        for output, window, divisor in windows(g):
            if x[plane][window].size:
                y[plane][output] = x[plane][window].sum() / divisor
                dx[plane][window] += dy[plane][output] / divisor
    # The sums are whole numbers: what is rounded is the quotient. Up to 256 windows overlap.
    np.testing.assert_allclose(data_of(top), y, rtol=np.finfo(dtype).eps)
    eps = min(g.kernel) * 4 * np.finfo(dtype).eps
    np.testing.assert_allclose(diff_of(bottom), dx, rtol=eps, atol=eps)


@pytest.mark.parametrize("method", ["MAX", "AVE"])
@pytest.mark.parametrize("case", ALL, ids=str)
def test_as_on_the_cpu(case, method, rng):
    g = geometry_of(case)
    x = draw(rng, g, np.float32)
    pooling, bottom, top = forward(g, method, x)
    dy = rng.standard_normal(top.shape).astype(np.float32)
    pooling.backward(with_diff(top, dy), bottom)
    host_bottom, host_top = Blob(x.shape), Blob(top.shape)
    host_bottom.set_data(x)
    host_top.set_diff(dy)
    on_host = cpu.pooling(g, len(x), method, np.float32)
    on_host.forward(host_bottom, host_top)
    on_host.backward(host_top, host_bottom)
    np.testing.assert_allclose(data_of(top), host_top.const_data, rtol=1e-6)
    np.testing.assert_allclose(diff_of(bottom), host_bottom.const_diff, rtol=1e-5, atol=1e-5)


def test_nan_is_never_the_largest(dtype):
    g = geometry_of(CASES[0], channels=1)
    x = np.full((1, 1, 4, 4), np.nan, dtype)
    x[0, 0, 2, 3] = -5
    pooling, bottom, top = forward(g, "MAX", x)
    expected = np.array([[-FLOAT_MAX, -FLOAT_MAX], [-FLOAT_MAX, -5]], dtype)
    np.testing.assert_array_equal(data_of(top)[0, 0], expected)
    pooling.backward(with_diff(top, np.ones((1, 1, 2, 2), dtype)), bottom)
    np.testing.assert_array_equal(diff_of(bottom), x == -5)


@pytest.mark.parametrize("method", ["MAX", "AVE"])
def test_no_images(method, dtype):
    g = geometry_of(CASES[0])
    pooling, bottom, top = forward(g, method, np.zeros((0, 3, 4, 4), dtype))
    pooling.backward(top, bottom)
    assert diff_of(bottom).shape == (0, 3, 4, 4)
