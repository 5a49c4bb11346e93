"""What follows a product by weights, against NumPy in float64."""

import itertools

import numpy as np
import pytest

from sscaffe.kernels.gpu_finish import finish_rows, finish_top
from sscaffe.kernels.gpu_runtime import to_device, to_host, xp
from tests.gpu.blobs import blob_of, data_of

pytestmark = pytest.mark.gpu

TOLERANCE = {"float32": 1e-6, "float64": 1e-14}
PARTS = list(itertools.product([False, True], repeat=3))


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param


def expected_of(values, bias, add, relu):
    out = values.astype(float)
    out = out + (0 if bias is None else bias[:, None]) + (0 if add is None else add)
    return np.where(out < 0, 0, out) if relu else out


def drawn(rng, dtype, shape, has_bias, has_add):
    values = rng.standard_normal(shape).astype(dtype)
    values[0, 0, 0] = np.nan  # a rectifier does not hide it
    bias = rng.standard_normal(shape[1]).astype(dtype) if has_bias else None
    add = rng.standard_normal(shape).astype(dtype) if has_add else None
    return values, bias, add


@pytest.mark.parametrize("parts", PARTS, ids=str)
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 7), (2, 300, 1)], ids=str)
def test_of_a_top(rng, dtype, shape, parts):
    values, bias, add = drawn(rng, dtype, shape, *parts[:2])
    top = blob_of(values)
    own = None if bias is None else blob_of(bias)
    finish_top(top, shape, own, None if add is None else to_device(add), parts[2])
    wanted = expected_of(values, bias, add, parts[2])
    np.testing.assert_allclose(data_of(top), wanted, rtol=0, atol=TOLERANCE[dtype] * 4)


@pytest.mark.parametrize("parts", PARTS, ids=str)
@pytest.mark.parametrize("has_rows", [False, True])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 7), (2, 300, 1)], ids=str)
def test_of_rows(rng, dtype, shape, has_rows, parts):
    values, bias, add = drawn(rng, dtype, shape, *parts[:2])
    count, channels, size = shape
    rows = rng.permutation(channels).astype(np.int32) if has_rows else np.arange(channels)
    product = np.empty((channels, count * size), dtype)
    product[rows] = values.transpose(1, 0, 2).reshape(channels, -1)
    if has_rows and channels > 1:
        rows[1], values[:, 1] = -1, 0
    tops = xp.empty(shape, dtype)
    given = (None if one is None else to_device(one) for one in (bias, add))
    own = to_device(rows.astype(np.int32)) if has_rows else None
    finish_rows(to_device(product), own, *given, tops, parts[2])
    wanted = expected_of(values, bias, add, parts[2])
    np.testing.assert_allclose(to_host(tops), wanted, rtol=0, atol=TOLERANCE[dtype] * 4)


def test_what_is_added_may_be_the_tops(rng, dtype):
    values, _, add = drawn(rng, dtype, (2, 3, 4), has_bias=False, has_add=True)
    product, tops = values.transpose(1, 0, 2).reshape(3, -1), to_device(add)
    finish_rows(to_device(product.copy()), None, None, tops, tops, relu=True)
    wanted = expected_of(values, None, add, relu=True)
    np.testing.assert_allclose(to_host(tops), wanted, rtol=0, atol=TOLERANCE[dtype] * 4)
