"""LRN on the GPU: its formula in loops."""

import numpy as np
import pytest

from sscaffe.blob import Blob
from sscaffe.kernels import cpu, gpu_lrn
from tests.gpu.blobs import blob_of, data_of, diff_of, unset, with_diff
from tests.kernels import test_lrn

pytestmark = pytest.mark.gpu

# shape, across, size, alpha, beta, k
CASES = [
    ((2, 7, 3, 4), True, 5, 1.0, 0.75, 1.0),
    ((1, 3, 5, 1), True, 5, 2.0, 0.75, 0.5),
    ((2, 70, 2, 3), True, 5, 1.0, 0.75, 2.0),
    ((2, 4, 2, 2), True, 1, 1.0, 0.75, 2.0),
    ((2, 40, 2, 2), True, 9, 1.0, 0.5, 1.0),
    ((3, 6, 5, 5), True, 3, 1.0, 1.0, 1.0),
    ((2, 3, 5, 7), False, 3, 1.0, 0.75, 1.0),
    ((1, 2, 4, 3), False, 5, 2.0, 0.6, 1.0),
    ((1, 2, 2, 2), False, 9, 2.0, 0.75, 0.5),
]


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    return request.param


@pytest.fixture(params=[1, 200_000], ids=["long runs", "short runs"])
def enough(request, monkeypatch):
    """Let a thread take many channels, or one."""
    monkeypatch.setattr(gpu_lrn, "_ENOUGH", request.param)


def squares_around(values, size):
    """Return the sum of the square of size x size positions around each."""
    half = size // 2
    sums = np.zeros_like(values)
    for y, x in np.ndindex(values.shape[2:]):
        rows, columns = slice(max(y - half, 0), y + half + 1), slice(max(x - half, 0), x + half + 1)
        sums[:, :, y, x] = values[:, :, rows, columns].sum(axis=(2, 3))
    return sums


def reference(x, dy, across, size, alpha, beta, k):
    """Return y and dx in double precision."""
    if across:
        y = test_lrn.reference(x, size, alpha, beta, k)[1]
        return y, test_lrn.reference_gradient(x, dy, size, alpha, beta, k)
    x, dy = x.astype(np.float64), dy.astype(np.float64)
    share = alpha / size**2
    scale = k + share * squares_around(x * x, size)
    spread = squares_around(dy * x * scale ** -(beta + 1), size)
    return x * scale**-beta, dy * scale**-beta - 2 * share * beta * x * spread


def tolerance(dtype):
    return {"rtol": 1e-5, "atol": 2e-6} if dtype == np.float32 else {"rtol": 1e-13, "atol": 1e-14}


@pytest.mark.usefixtures("enough")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_against_loops(case, dtype, rng):
    shape, *constants = case
    x, dy = rng.standard_normal((2, *shape)).astype(dtype)
    y, dx = reference(x, dy, *constants)
    lrn = gpu_lrn.Lrn(shape, *constants, dtype)
    bottom, top = blob_of(x), unset(shape, dtype)
    lrn.forward(bottom, top)
    rtol = 1e-6 if dtype == np.float32 else 1e-14
    np.testing.assert_allclose(data_of(top), y, rtol=rtol)
    lrn.backward(with_diff(top, dy), bottom)
    np.testing.assert_allclose(diff_of(bottom), dx, **tolerance(dtype))
    np.testing.assert_array_equal(data_of(bottom), x)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_in_place(case, dtype, rng):
    shape, *constants = case
    x, dy = rng.standard_normal((2, *shape)).astype(dtype)
    y, dx = reference(x, dy, *constants)
    lrn = gpu_lrn.Lrn(shape, *constants, dtype)
    blob = blob_of(x, dy)
    lrn.forward(blob, blob)
    np.testing.assert_allclose(data_of(blob), y, rtol=1e-6)
    lrn.backward(blob, blob)
    np.testing.assert_allclose(diff_of(blob), dx, **tolerance(dtype))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_as_on_the_cpu(case, rng):
    shape, *constants = case
    x, dy = rng.standard_normal((2, *shape)).astype(np.float32)
    bottom, top = blob_of(x), unset(shape, np.float32)
    lrn = gpu_lrn.Lrn(shape, *constants, np.float32)
    lrn.forward(bottom, top)
    lrn.backward(with_diff(top, dy), bottom)
    host_bottom, host_top = Blob(shape), Blob(shape)
    host_bottom.set_data(x)
    host_top.set_diff(dy)
    on_host = cpu.lrn(shape, *constants, np.float32)
    on_host.forward(host_bottom, host_top)
    on_host.backward(host_top, host_bottom)
    np.testing.assert_allclose(data_of(top), host_top.const_data, rtol=2e-6)
    np.testing.assert_allclose(diff_of(bottom), host_bottom.const_diff, rtol=2e-5, atol=4e-6)


def test_scales_far_from_one(dtype):
    """A window of 1 without a constant; the roots that stand for the power are good for all."""
    x = np.geomspace(1e-18, 1e18, 3000, dtype=dtype).reshape(1, 1, 50, 60)
    lrn = gpu_lrn.Lrn(x.shape, True, 1, 1.0, 0.75, 0.0, dtype)
    top = unset(x.shape, dtype)
    lrn.forward(blob_of(x), top)
    squares = np.square(x).astype(np.float64)  # rounded, as the kernel has them
    np.testing.assert_allclose(data_of(top), x * squares**-0.75, rtol=1e-6)
