"""Sparse products and direct sparse convolution, against dense ones."""

import math

import numpy as np
import pytest

from sscaffe import _core
from sscaffe.geometry import ConvGeometry
from tests.kernels.test_lowering import reference_columns


def sparse_matrix(rng, rows, columns, density, dtype):
    kept = rng.random((rows, columns)) < density
    return np.where(kept, rng.standard_normal((rows, columns)), 0).astype(dtype)


def tolerance(dtype, terms):
    """Allow for the roundings of a sum of so many products of standard normals."""
    return 8 * np.finfo(dtype).eps * (terms + 1)


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (1, 1), (5, 7), (40, 90)], ids=str)
@pytest.mark.parametrize("density", [0, 0.3, 1])
def test_dense_to_csr(shape, density, dtype, rng):
    matrix = sparse_matrix(rng, *shape, density, dtype)
    row_ptr, indices, values = _core.dense_to_csr(matrix)
    assert (row_ptr.dtype, indices.dtype, values.dtype) == (np.int32, np.int32, dtype)
    rows, columns = np.nonzero(matrix)
    np.testing.assert_array_equal(np.repeat(np.arange(len(matrix)), np.diff(row_ptr)), rows)
    np.testing.assert_array_equal(indices, columns)
    np.testing.assert_array_equal(values, matrix[rows, columns])
    assert row_ptr[0] == 0


def test_dense_to_csr_drops_minus_zero_and_keeps_nan():
    row_ptr, indices, values = _core.dense_to_csr(np.array([[0.0, -0.0, np.nan, 1e-300]]))
    assert row_ptr.tolist() == [0, 2]
    assert indices.tolist() == [2, 3]
    np.testing.assert_array_equal(values, [np.nan, 1e-300])


# in_channels, out_channels, group, input, kernel, stride, pad, dilation
CONVOLUTIONS = [
    (1, 1, 1, (1, 1), (1, 1), (1, 1), (0, 0), (1, 1)),
    (2, 3, 1, (5, 6), (3, 2), (1, 1), (0, 0), (1, 1)),
    (4, 6, 2, (7, 9), (3, 3), (1, 1), (1, 1), (1, 1)),
    (3, 3, 3, (9, 8), (3, 3), (2, 3), (2, 1), (1, 1)),
    (2, 4, 1, (9, 11), (2, 3), (1, 2), (3, 2), (3, 2)),
    (2, 2, 1, (5, 5), (1, 1), (4, 3), (0, 0), (1, 1)),
    (2, 2, 1, (4, 4), (3, 3), (2, 2), (3, 4), (2, 2)),
    (4, 8, 2, (13, 13), (5, 5), (1, 1), (2, 2), (1, 1)),
    (3, 8, 1, (35, 35), (11, 11), (4, 4), (0, 0), (1, 1)),
]


def check_direct_sparse(case, density, dtype, rng, bias=True):
    g = ConvGeometry(*case)
    image = rng.standard_normal((g.in_channels, *g.input)).astype(dtype)
    matrix = sparse_matrix(rng, g.out_channels, g.kernel_dim, density, dtype)
    start = rng.standard_normal(g.out_channels).astype(dtype) if bias else None
    out = np.full((g.out_channels, *g.output), np.nan, dtype)
    sizes = (g.group, g.input, g.kernel, g.stride, g.pad, g.dilation)
    _core.direct_sparse_conv(image, *sizes, *_core.dense_to_csr(matrix), start, out)

    columns = reference_columns(image.astype(np.float64), g).reshape(g.group, g.kernel_dim, -1)
    weights = matrix.astype(np.float64).reshape(g.group, -1, g.kernel_dim)
    expected = (weights @ columns).reshape(g.out_channels, math.prod(g.output))
    if start is not None:
        expected += start[:, None]
    np.testing.assert_allclose(
        out.reshape(expected.shape), expected, rtol=0, atol=tolerance(dtype, g.kernel_dim)
    )


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
@pytest.mark.parametrize("density", [0, 0.3, 1])
@pytest.mark.usefixtures("isa")
def test_direct_sparse_conv(case, density, dtype, rng):
    check_direct_sparse(case, density, dtype, rng)


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_direct_sparse_conv_without_bias(case, dtype, rng):
    check_direct_sparse(case, 0.5, dtype, rng, bias=False)


@pytest.mark.usefixtures("threads")
def test_direct_sparse_conv_in_any_number_of_threads(dtype, rng):
    check_direct_sparse((16, 32, 2, (16, 16), (3, 3), (1, 1), (1, 1), (1, 1)), 1, dtype, rng)


class TestRefuses:
    row_ptr, indices, values = _core.dense_to_csr(np.eye(3, dtype=np.float32))

    def test_convolutions_that_do_not_fit(self):
        image, out = np.zeros((2, 4, 4), np.float32), np.zeros((3, 4, 4), np.float32)
        csr = (self.row_ptr, self.indices, self.values)
        ones = ((1, 1), (1, 1), (0, 0), (1, 1))
        with pytest.raises(ValueError, match="input: expected 2 axes, got 1"):
            _core.direct_sparse_conv(image, 1, (4,), *ones, *csr, None, out)
        with pytest.raises(ValueError, match="group: expected 2 or a divisor of it, got 3"):
            _core.direct_sparse_conv(image, 3, (4, 4), *ones, *csr, None, out)
        with pytest.raises(ValueError, match="indices: expected columns below 2, got 2"):
            _core.direct_sparse_conv(image, 1, (4, 4), *ones, *csr, None, out)
        image, bias = np.zeros((3, 4, 4), np.float32), np.zeros(2, np.float32)
        with pytest.raises(ValueError, match="bias: expected 3 elements, got 2"):
            _core.direct_sparse_conv(image, 1, (4, 4), *ones, *csr, bias, out)
