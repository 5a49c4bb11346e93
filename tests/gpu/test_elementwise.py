"""Passes over one or two arrays on the GPU, against NumPy."""

import numpy as np
import pytest

from sscaffe.kernels import gpu_elementwise
from sscaffe.kernels.gpu_runtime import to_device, to_host
from tests.gpu.blobs import blob_of, data_of, diff_of, unset, with_diff

pytestmark = pytest.mark.gpu

COUNTS = [0, 1, 3, 4, 5, 1027]


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    return request.param


def draw(rng, count, dtype):
    values = rng.standard_normal(count).astype(dtype)
    values[::7] = 0
    return values


@pytest.mark.parametrize("slope", [0.0, 0.1, -0.5])
@pytest.mark.parametrize("count", COUNTS)
def test_relu(count, slope, dtype, rng):
    x, dy = draw(rng, count, dtype), draw(rng, count, dtype)
    bottom, top = blob_of(x), unset(x.shape, dtype)
    gpu_elementwise.relu_forward(bottom, top, slope)
    np.testing.assert_array_equal(data_of(top), np.where(x > 0, x, dtype(slope) * x))
    np.testing.assert_array_equal(data_of(bottom), x)
    gpu_elementwise.relu_backward(with_diff(top, dy), bottom, slope)
    np.testing.assert_array_equal(diff_of(bottom), np.where(x > 0, dy, dtype(slope) * dy))


def test_relu_in_place(dtype, rng):
    x, dy = draw(rng, 1027, dtype), draw(rng, 1027, dtype)
    blob = blob_of(x, dy)
    gpu_elementwise.relu_forward(blob, blob, 0.25)
    np.testing.assert_array_equal(data_of(blob), np.where(x > 0, x, x / 4))
    gpu_elementwise.relu_backward(blob, blob, 0.25)
    np.testing.assert_array_equal(diff_of(blob), np.where(x > 0, dy, dy / 4))


def test_relu_of_what_is_no_number(dtype):
    x = np.array([np.nan, -np.inf, np.inf, -1, 2], dtype)
    top = unset(x.shape, dtype)
    gpu_elementwise.relu_forward(blob_of(x), top, 0.0)
    np.testing.assert_array_equal(data_of(top), [np.nan, 0, np.inf, 0, 2])


@pytest.mark.parametrize("count", COUNTS)
def test_add(count, dtype, rng):
    x, y = draw(rng, count, dtype), draw(rng, count, dtype)
    term, total = blob_of(x), blob_of(y)
    gpu_elementwise.add(total.data_tensor, term.data_tensor, -0.3)
    expected = y.astype(np.float64) + dtype(-0.3) * x.astype(np.float64)
    # With or without a fused multiply-add: two roundings of numbers up to 4.
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(data_of(total), expected, rtol=2 * eps, atol=4 * eps)
    np.testing.assert_array_equal(data_of(term), x)


@pytest.mark.parametrize("count", COUNTS)
def test_scale_and_threshold(count, dtype, rng):
    x = draw(rng, count, dtype)
    blob = blob_of(x)
    gpu_elementwise.scale(blob.data_tensor, 0.3)
    np.testing.assert_array_equal(data_of(blob), x * dtype(0.3))
    blob = blob_of(x)
    gpu_elementwise.threshold(blob.data_tensor, 0.5)
    np.testing.assert_array_equal(data_of(blob), np.where(np.abs(x) < 0.5, 0, x))


def test_threshold_keeps_the_limit_and_nan(dtype):
    blob = blob_of(np.array([-0.5, 0.5, 0.25, -0.25, np.nan], dtype))
    gpu_elementwise.threshold(blob.data_tensor, 0.5)
    np.testing.assert_array_equal(data_of(blob), [-0.5, 0.5, 0, 0, np.nan])


@pytest.mark.parametrize("count", COUNTS)
def test_multiply(count, dtype, rng):
    x, factors = draw(rng, count, dtype), draw(rng, count, dtype)
    source, out = blob_of(x), unset(x.shape, dtype)
    other = blob_of(factors).data_tensor
    gpu_elementwise.multiply(source.data_tensor, other, out.data_tensor)
    np.testing.assert_array_equal(data_of(out), x * factors)
    gpu_elementwise.multiply(source.data_tensor, other, source.data_tensor)
    np.testing.assert_array_equal(data_of(source), x * factors)


@pytest.mark.parametrize("start", [1, 2, 3])
def test_arrays_that_begin_anywhere(start, dtype, rng):
    x = draw(rng, 1027, dtype)
    array = to_device(x)
    arguments = array[start:-1], 3.0
    gpu_elementwise.launch_packs("elementwise.cu", "scale", 1026 - start, arguments, dtype)
    expected = x.copy()
    expected[start:-1] *= 3
    np.testing.assert_array_equal(to_host(array), expected)
