"""Eltwise on the GPU, against NumPy."""

import numpy as np
import pytest

from sscaffe.kernels.gpu_eltwise import Largest, Product, WeightedSum, sum_tensors
from tests.gpu.blobs import blob_of, data_of, diff_of, unset, with_diff

pytestmark = pytest.mark.gpu

NUMBERS = [1, 2, 3, 4, 5, 9]
COEFF = [1.0, -0.5, 2.0, 0.3, 1.5, -1.0, 0.25, 3.0, -2.0]
SHAPE = (2, 3, 5, 7)


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    return request.param


def draw(rng, number, dtype):
    return [rng.uniform(0.5, 2, SHAPE).astype(dtype) for _ in range(number)]


def run(operator, arrays, dy, wanted=None):
    """Return y, and the diffs of the bottoms."""
    bottom, top = [blob_of(x) for x in arrays], unset(dy.shape, dy.dtype)
    operator.forward(bottom, top)
    flags = wanted or [True] * len(bottom)
    operator.backward(with_diff(top, dy), flags, bottom)
    for x, blob in zip(arrays, bottom, strict=True):
        np.testing.assert_array_equal(data_of(blob), x)
    return data_of(top), [diff_of(blob) for blob in bottom]


def roundings(number, dtype):
    return {"rtol": number * np.finfo(dtype).eps, "atol": 30 * np.finfo(dtype).eps}


@pytest.mark.parametrize("number", NUMBERS)
def test_sum(number, dtype, rng):
    x, dy = draw(rng, number, dtype), rng.standard_normal(SHAPE).astype(dtype)
    coeff = COEFF[:number]
    y, dx = run(WeightedSum(coeff, dtype), x, dy)
    expected = sum(c * one.astype(np.float64) for c, one in zip(coeff, x, strict=True))
    np.testing.assert_allclose(y, expected, **roundings(number + 1, dtype))
    for c, one in zip(coeff, dx, strict=True):
        np.testing.assert_array_equal(one, dtype(c) * dy)


@pytest.mark.parametrize("number", NUMBERS)
def test_sum_of_tensors(number, dtype, rng):
    x, out = draw(rng, number, dtype), unset(SHAPE, dtype)
    sum_tensors([blob_of(one).data_tensor for one in x], out.data_tensor)
    np.testing.assert_allclose(data_of(out), sum(x), **roundings(number, dtype))


@pytest.mark.parametrize("stable", [False, True])
@pytest.mark.parametrize("number", NUMBERS[1:])
def test_product(number, stable, dtype, rng):
    x, dy = draw(rng, number, dtype), rng.standard_normal(SHAPE).astype(dtype)
    y, dx = run(Product(stable, dtype), x, dy)
    whole = np.prod(np.array(x, np.float64), axis=0)
    np.testing.assert_allclose(y, whole, **roundings(number, dtype))
    for one, diff in zip(x, dx, strict=True):
        np.testing.assert_allclose(diff, dy * (whole / one), rtol=2 * number * np.finfo(dtype).eps)


@pytest.mark.parametrize("number", [2, 3])
def test_stable_product_of_zeros(number, dtype, rng):
    x, dy = draw(rng, number, dtype), rng.standard_normal(SHAPE).astype(dtype)
    x[0][...] = 0
    _, dx = run(Product(True, dtype), x, dy)
    rest = np.prod(np.array(x[1:], np.float64), axis=0)
    np.testing.assert_allclose(dx[0], dy * rest, rtol=4 * np.finfo(dtype).eps)
    np.testing.assert_array_equal(dx[1], 0 * dy)


def largest(arrays):
    """Return the largest, and which it is: the second before the first before the others."""
    y, winner = arrays[1].copy(), np.ones(SHAPE, int)
    first = arrays[0] > arrays[1]
    y[first], winner[first] = arrays[0][first], 0
    for i, x in enumerate(arrays[2:], start=2):
        winner[x > y] = i
        y = np.maximum(x, y)
    return y, winner


@pytest.mark.parametrize("number", NUMBERS[1:])
def test_largest(number, dtype, rng):
    x = [rng.integers(0, 4, SHAPE).astype(dtype) for _ in range(number)]
    dy = rng.standard_normal(SHAPE).astype(dtype)
    y, dx = run(Largest(dtype), x, dy)
    expected, winner = largest(x)
    np.testing.assert_array_equal(y, expected)
    for i, diff in enumerate(dx):
        np.testing.assert_array_equal(diff, np.where(winner == i, dy, 0))


def test_nan_is_the_largest(dtype):
    nan = np.nan
    x = [np.array(one, dtype) for one in ([nan, 1, 1], [1, nan, 2], [5, 5, nan])]
    y, _ = run(Largest(dtype), x, np.ones(3, dtype))
    np.testing.assert_array_equal(y, [nan, nan, nan])


@pytest.mark.parametrize("number", [2, 3, 6])
@pytest.mark.parametrize("make", ["sum", "product", "division", "largest"])
def test_only_what_is_wanted(make, number, dtype, rng):
    operator = {
        "sum": lambda: WeightedSum(COEFF[:number], dtype),
        "product": lambda: Product(True, dtype),
        "division": lambda: Product(False, dtype),
        "largest": lambda: Largest(dtype),
    }[make]
    x, dy = draw(rng, number, dtype), rng.standard_normal(SHAPE).astype(dtype)
    _, every = run(operator(), x, dy)
    for index in range(number):
        _, dx = run(operator(), x, dy, [i == index for i in range(number)])
        for i, diff in enumerate(dx):
            expected = every[i] if i == index else np.full(SHAPE, np.nan)
            np.testing.assert_array_equal(diff, expected)
