"""Lowering on the GPU and what is built on it, against plain loops in float64."""

import numpy as np
import pytest

from sscaffe.geometry import ConvGeometry
from sscaffe.kernels import cpu, gpu_libraries, gpu_lowering
from sscaffe.kernels.gpu_runtime import settings, to_device, to_host, traffic, xp
from tests.gpu.convolutions import GEOMETRIES, Case, check, on_device

pytestmark = pytest.mark.gpu


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param


@pytest.fixture(params=GEOMETRIES.values(), ids=GEOMETRIES.keys())
def geometry(request):
    return request.param


@pytest.fixture(params=[0, 1 << 28], ids=["one by one", "at once"])
def portion(request, monkeypatch):
    monkeypatch.setattr(gpu_lowering, "PORTION", request.param)


@pytest.mark.parametrize("transposed", [(False, False), (True, False), (False, True), (True, True)])
def test_gemm(rng, dtype, transposed):
    a, b, c = (rng.standard_normal(shape).astype(dtype) for shape in ((5, 7), (7, 3), (5, 3)))
    left, right = (
        to_device(x.T.copy() if flag else x) for x, flag in zip((a, b), transposed, strict=True)
    )
    out = to_device(c)
    options = {"transpose_a": transposed[0], "transpose_b": transposed[1]}
    gpu_libraries.gemm(left, right, out, accumulate=True, **options)
    exact = a.astype(float) @ b
    check(to_host(out), exact + c, dtype)
    gpu_libraries.gemm(left, right, out, **options)
    check(to_host(out), exact, dtype)


def test_gemm_batched_shares_a_factor(rng, dtype):
    a, b = rng.standard_normal((1, 4, 6)).astype(dtype), rng.standard_normal((3, 6, 5))
    out = xp.empty((3, 4, 5), dtype)
    gpu_libraries.gemm_batched(to_device(a), to_device(b.astype(dtype)), out)
    check(to_host(out), a.astype(float) @ b.astype(dtype), dtype)


@pytest.mark.parametrize("sizes", [(1, 4, 1), (4, 1, 3), (1, 1, 1), (3, 5, 1)])
def test_gemm_of_single_rows_and_columns(rng, dtype, sizes):
    m, k, n = sizes
    a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
    out = xp.empty((m, n), dtype)
    gpu_libraries.gemm(to_device(a), to_device(b), out)
    check(to_host(out), a.astype(float) @ b, dtype)


def test_gemm_without_inner_size_is_zero(dtype):
    out = xp.ones((2, 3), dtype)
    gpu_libraries.gemm(xp.empty((2, 0), dtype), xp.empty((0, 3), dtype), out, accumulate=True)
    assert (to_host(out) == 1).all()
    gpu_libraries.gemm(xp.empty((2, 0), dtype), xp.empty((0, 3), dtype), out)
    assert (to_host(out) == 0).all()


def test_tf32_rounds_only_when_asked_for(rng, monkeypatch):
    a, b = (rng.standard_normal((64, 64)).astype(np.float32) for _ in range(2))
    out = xp.empty((64, 64), np.float32)
    monkeypatch.setattr(settings, "allow_tf32", True)
    gpu_libraries.gemm(to_device(a), to_device(b), out)
    np.testing.assert_allclose(to_host(out), a @ b, atol=0.1)
    monkeypatch.setattr(settings, "allow_tf32", False)
    gpu_libraries.gemm(to_device(a), to_device(b), out)
    check(to_host(out), a.astype(float) @ b, "float32")


def test_im2col_is_that_of_the_cpu(rng, geometry):
    g = geometry
    image = rng.standard_normal((g.in_channels, *g.input)).astype(np.float32)
    rows, positions = g.group * g.kernel_dim, int(np.prod(g.output))
    for kept in (None, np.arange(0, rows, 2, dtype=np.int32)):
        shape = (rows if kept is None else kept.size), positions
        expected, out = np.empty(shape, np.float32), xp.empty(shape, np.float32)
        cpu.im2col(image, g, expected, kept)
        given = None if kept is None else to_device(kept)
        gpu_lowering.im2col(to_device(image), g, out, given)
        np.testing.assert_array_equal(to_host(out), expected)


def test_col2im_is_that_of_the_cpu(rng, geometry):
    g = geometry
    shape = g.group * g.kernel_dim, int(np.prod(g.output))
    columns = rng.standard_normal(shape).astype(np.float32)
    image = np.empty((g.in_channels, *g.input), np.float32)
    cpu.col2im(columns, g, image)
    out = xp.empty(image.shape, np.float32)
    gpu_lowering.col2im(to_device(columns), g, out)
    check(to_host(out), image, "float32")


def test_forward(geometry, dtype, portion):
    case = Case(geometry, dtype)
    operator = gpu_lowering.LoweredConvolution(geometry, dtype)
    operator.forward(case.bottom, case.weights_blob, case.bias_blob, case.top)
    case.check(case.top, case.expected)


@pytest.mark.parametrize("in_place", [False, True])
def test_what_follows_forward(rng, geometry, portion, in_place):
    case = Case(geometry, "float32")
    term = rng.standard_normal(case.expected.shape).astype(np.float32)
    add = on_device(term, "float32")
    top = add if in_place else case.top
    operator = gpu_lowering.LoweredConvolution(geometry, "float32")
    operator.forward(case.bottom, case.weights_blob, case.bias_blob, top, add, True, in_place)
    case.check(top, np.maximum(case.expected + term, 0))


def test_backward_is_that_of_the_cpu(rng, geometry, dtype, portion):
    from sscaffe.conv.lowered import LoweredGemm
    from sscaffe.device import cpu as cpu_device
    from sscaffe.layer import TRAIN
    from sscaffe.weighted.base import Propagate
    from tests.helpers import blob_of

    case = Case(geometry, dtype)
    plain = [blob_of(x, dtype) for x in (case.images, case.weights, case.bias, case.expected)]
    diff = rng.standard_normal(case.expected.shape)
    case.top.diff[...] = plain[3].diff[...] = diff
    for blob, other in ((case.weights_blob, plain[1]), (case.bias_blob, plain[2])):
        blob.diff[...] = other.diff[...] = rng.standard_normal(blob.shape)
    LoweredGemm(geometry, case.batch, cpu_device(), dtype, TRAIN).backward(
        plain[3], plain[0], plain[1], plain[2], Propagate(True, True, True)
    )
    operator = gpu_lowering.LoweredConvolution(geometry, dtype)
    operator.backward_weights(case.top, case.bottom, case.weights_blob, case.bias_blob)
    operator.backward_data(case.top, case.weights_blob, case.bottom)
    for blob, other in zip((case.bottom, case.weights_blob, case.bias_blob), plain, strict=False):
        check(blob.host_diff, other.diff, dtype)


def test_gradients_of_cleared_diffs_are_set(geometry, portion):
    case = Case(geometry, "float32")
    case.top.diff[...] = 1
    case.weights_blob.clear_diff()
    case.bias_blob.clear_diff()
    operator = gpu_lowering.LoweredConvolution(geometry, "float32")
    operator.backward_weights(case.top, case.bottom, case.weights_blob, case.bias_blob)
    first = case.weights_blob.host_diff.copy(), case.bias_blob.host_diff.copy()
    assert np.isfinite(first[0]).all()
    np.testing.assert_allclose(first[1], case.batch * np.prod(geometry.output), rtol=1e-6)


def test_passes_copy_nothing_to_the_host(geometry):
    case = Case(geometry, "float32")
    operator = gpu_lowering.LoweredConvolution(geometry, "float32")
    arguments = case.bottom, case.weights_blob, case.bias_blob, case.top
    operator.forward(*arguments)
    before = traffic.to_host, traffic.to_device
    operator.forward(*arguments)
    assert (traffic.to_host, traffic.to_device) == before


def test_portions_are_alike():
    portions = list(gpu_lowering.portions(10, gpu_lowering.PORTION // 4))
    assert [(some.start, some.stop) for some in portions] == [(0, 3), (3, 6), (6, 10)]


def test_lower_alone(geometry):
    case = Case(geometry, "float32")
    operator = gpu_lowering.LoweredConvolution(geometry, "float32")
    assert operator.lower(case.bottom) == (not (geometry.is_1x1 and geometry.group == 1))


def test_four_axes_are_refused():
    from sscaffe.errors import UnsupportedError

    g = ConvGeometry(1, 1, 1, (2,) * 4, (1,) * 4, (1,) * 4, (0,) * 4, (1,) * 4)
    with pytest.raises(UnsupportedError, match="3 spatial axes"):
        gpu_lowering.LoweredConvolution(g, "float32")


def test_a_grid_with_fewer_blocks_than_rows(geometry, monkeypatch):
    monkeypatch.setattr(gpu_lowering, "MOST_DOWN", 2)
    case = Case(geometry, "float32")
    operator = gpu_lowering.LoweredConvolution(geometry, "float32")
    operator.forward(case.bottom, case.weights_blob, case.bias_blob, case.top)
    case.check(case.top, case.expected)
