"""Weights that have zeros anywhere on the GPU, against plain loops in float64."""

import numpy as np
import pytest

from sscaffe.kernels import gpu_lowering, gpu_sparse
from sscaffe.kernels.gpu_runtime import to_device, to_host, xp
from tests.gpu import convolutions
from tests.gpu.convolutions import FLAT, GEOMETRIES, Case, check

pytestmark = pytest.mark.gpu

ZEROS = [
    convolutions.scattered,
    convolutions.one_group_gone,
    convolutions.nothing_left,
    convolutions.nothing_gone,
]


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param


@pytest.mark.parametrize("zeros", ZEROS)
@pytest.mark.parametrize("name", FLAT)
def test_direct(name, dtype, zeros):
    case = Case(FLAT[name], dtype, zeros=zeros)
    weights = case.weights_blob.const_data
    convolution = gpu_sparse.DirectSparseConvolution(case.geometry, weights)
    convolution.forward(case.bottom, case.bias_blob, case.top)
    case.check(case.top, case.expected)
    convolution.forward(case.bottom, case.bias_blob, case.top, relu=True)
    case.check(case.top, np.maximum(case.expected, 0))
    assert (
        f"by {np.count_nonzero(case.weights)} of {case.weights.size} w" in convolution.description
    )


@pytest.mark.parametrize("name", FLAT)
def test_direct_of_one_image(name, dtype):
    case = Case(FLAT[name], dtype, batch=1, zeros=convolutions.scattered)
    csr = csr_of(case.weights.reshape(case.geometry.out_channels, -1))
    bias = case.bias_blob.const_data
    out = case.top.new_data()[0]
    gpu_sparse.direct_sparse_conv(case.bottom.const_data[0], case.geometry, *csr, bias, out)
    case.check(case.top, case.expected)


@pytest.mark.parametrize("zeros", ZEROS)
@pytest.mark.parametrize("name", GEOMETRIES)
def test_lowered(name, dtype, zeros):
    case = Case(GEOMETRIES[name], dtype, zeros=zeros)
    weights = case.weights_blob.const_data
    convolution = gpu_sparse.LoweredSparseConvolution(case.geometry, weights)
    convolution.forward(case.bottom, case.bias_blob, case.top)
    case.check(case.top, case.expected)
    convolution.forward(case.bottom, case.bias_blob, case.top, relu=True)
    case.check(case.top, np.maximum(case.expected, 0))


def test_lowered_in_portions(monkeypatch):
    monkeypatch.setattr(gpu_lowering, "PORTION", 0)
    case = Case(FLAT["group 2, strides"], "float32", zeros=convolutions.scattered)
    weights = case.weights_blob.const_data
    convolution = gpu_sparse.LoweredSparseConvolution(case.geometry, weights)
    convolution.forward(case.bottom, None, case.top)
    case.check(case.top, case.expected - case.bias.reshape(-1, 1, 1))


def csr_of(matrix):
    """Return a matrix of the host in CSR form on the device."""
    rows, indices = matrix.nonzero()
    row_ptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(matrix)))])
    arrays = row_ptr.astype(np.int32), indices.astype(np.int32), matrix[rows, indices]
    return tuple(to_device(array) for array in arrays)


@pytest.mark.parametrize("relu", [False, True])
def test_products(rng, dtype, relu):
    matrix = rng.standard_normal((7, 45)).astype(dtype)
    matrix[rng.random(matrix.shape) < 0.6] = 0
    matrix[3] = 0
    x = rng.standard_normal((2, 45, 70)).astype(dtype)
    bias = rng.standard_normal(7).astype(dtype)
    product = gpu_sparse.SparseProduct(*csr_of(matrix), 45)
    out = xp.empty((2, 7, 70), dtype)
    product.multiply(to_device(x), out, to_device(bias), relu=relu)
    expected = matrix.astype(float) @ x + bias[:, None]
    check(to_host(out), np.maximum(expected, 0) if relu else expected, dtype)
    vectors = xp.empty((70, 7), dtype)
    rows = np.ascontiguousarray(x[0].T)
    product.multiply_vectors(to_device(rows), vectors, to_device(bias), relu=relu)
    check(to_host(vectors), np.maximum(expected[0].T, 0) if relu else expected[0].T, dtype)


def test_more_rows_and_vectors_than_a_grid_has_places(dtype, rng):
    """CUDA allows 65535 blocks on the second axis of a grid."""
    many = 66_000
    row_ptr = np.arange(many + 1, dtype=np.int32)
    indices = np.arange(many, dtype=np.int32) % 2
    values = rng.standard_normal(many).astype(dtype)
    x = rng.standard_normal((1, 2, 1)).astype(dtype)
    tall = gpu_sparse.SparseProduct(*map(to_device, (row_ptr, indices, values)), 2)
    out = xp.empty((1, many, 1), dtype)
    tall.multiply(to_device(x), out)
    check(to_host(out).reshape(-1), values * x[0, indices, 0], dtype)

    one = [np.array([0, 1], np.int32), np.array([0], np.int32), np.array([2], dtype)]
    wide = gpu_sparse.SparseProduct(*map(to_device, one), 1)
    vectors, out = rng.standard_normal((many, 1)).astype(dtype), xp.empty((many, 1), dtype)
    wide.multiply_vectors(to_device(vectors), out)
    check(to_host(out), 2 * vectors, dtype)
