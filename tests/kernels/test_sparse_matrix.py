"""The core's sparse matrix against dense products in float64."""

import numpy as np
import pytest

from sscaffe import _core
from tests.kernels.test_sparse import sparse_matrix, tolerance

# batch, M, K, P: empty ones, parts of vectors and of tiles, several tiles, chunks and blocks.
SHAPES = [
    (0, 2, 3, 4),
    (1, 0, 3, 5),
    (1, 3, 0, 5),
    (1, 3, 4, 0),
    (1, 5, 6, 1),
    (3, 5, 6, 1),
    (1, 5, 6, 7),
    (2, 5, 6, 16),
    (3, 9, 30, 67),
    (1, 33, 50, 169),
    (1, 130, 40, 260),
    (2, 300, 1100, 33),
    (1, 4, 70000, 1),
    (1, 4, 70000, 3),
]


def random_case(rng, shape, density, dtype):
    """Return weights, dense matrices and a bias."""
    batch, m, k, p = shape
    matrix = sparse_matrix(rng, m, k, density, dtype)
    matrix[::3] = 0
    matrix[:, 1::4] = 0
    x = rng.standard_normal((batch, k, p)).astype(dtype)
    return matrix, x, rng.standard_normal(m).astype(dtype)


def expected_product(matrix, x, bias, relu):
    product = matrix.astype(np.float64) @ x.astype(np.float64)
    if bias is not None:
        product += bias[:, None]
    return np.maximum(product, 0) if relu else product


def make(matrix, width):
    return _core.sparse_matrix(*_core.dense_to_csr(matrix), matrix.shape[1], width)


def check(matrix, x, bias, relu=False, width=None):
    """Compare both products, of matrices and of as many vectors."""
    (batch, k, p), m = x.shape, len(matrix)
    expected = expected_product(matrix, x, bias, relu)
    limits = {"rtol": 0, "atol": tolerance(x.dtype, k)}
    sparse = make(matrix, p if width is None else width)
    for _ in range(2):  # what the first left in its rooms must not show
        out = np.full((batch, m, p), np.nan, x.dtype)
        sparse.multiply(x, bias, relu, out)
        np.testing.assert_allclose(out, expected, **limits)
    vectors = np.ascontiguousarray(x.transpose(0, 2, 1)).reshape(batch * p, k)
    out = np.full((batch * p, m), np.nan, x.dtype)
    make(matrix, batch * p if width is None else width).multiply_vectors(vectors, bias, relu, out)
    transposed = expected.transpose(0, 2, 1).reshape(batch * p, m)
    np.testing.assert_allclose(out, transposed, **limits)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("density", [0, 0.2, 1])
@pytest.mark.usefixtures("isa")
def test_products(shape, density, dtype, rng):
    matrix, x, bias = random_case(rng, shape, density, dtype)
    check(matrix, x, bias)
    check(matrix, x, None, relu=True)


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.usefixtures("isa")
def test_random_shapes_and_densities(seed, dtype):
    rng = np.random.default_rng(seed)
    shape = tuple(int(rng.integers(1, top)) for top in (4, 300, 400, 300))
    matrix, x, bias = random_case(rng, shape, rng.random() ** 2, dtype)
    check(matrix, x, bias, relu=bool(rng.integers(2)), width=int(rng.integers(0, 300)))


@pytest.mark.parametrize(
    "shape", [(1, 64, 100, 169), (3, 300, 200, 40), (1, 8, 100, 3001), (5, 70, 90, 1)], ids=str
)
@pytest.mark.usefixtures("threads")
def test_any_number_of_threads(shape, dtype, rng):
    matrix, x, bias = random_case(rng, shape, 0.5, dtype)
    check(matrix, x, bias)


@pytest.mark.usefixtures("isa")
def test_keeps_nan_and_infinity_where_they_are(dtype, rng):
    matrix, x, _ = random_case(rng, (1, 6, 8, 37), 0.5, dtype)
    x[0, 2, 36] = np.nan
    x[0, 3, 0] = np.inf
    out = np.zeros((1, 6, 37), dtype)
    make(matrix, 37).multiply(x, None, False, out)
    expected = np.zeros(out.shape, bool)
    expected[0, matrix[:, 2] != 0, 36] = expected[0, matrix[:, 3] != 0, 0] = True
    np.testing.assert_array_equal(~np.isfinite(out), expected)


class TestRefuses:
    csr = _core.dense_to_csr(np.eye(3, dtype=np.float32))
    x, out = np.zeros((1, 3, 4), np.float32), np.zeros((1, 3, 4), np.float32)

    def test_other_dtypes(self):
        row_ptr, indices, values = self.csr
        with pytest.raises(TypeError):
            _core.sparse_matrix(row_ptr.astype(np.int64), indices, values, 3, 4)
        with pytest.raises(TypeError):
            _core.sparse_matrix(*self.csr, 3, 4).multiply(
                self.x.astype(np.float64), None, False, self.out
            )
        with pytest.raises(TypeError):
            _core.dense_to_csr(np.eye(3, dtype=np.int32))

    def test_other_sizes(self):
        sparse = _core.sparse_matrix(*self.csr, 3, 4)
        with pytest.raises(ValueError, match="out: expected 12 elements, got 8"):
            sparse.multiply(self.x, None, False, self.out[:, :2].copy())
        with pytest.raises(ValueError, match="x: expected 3 rows, got 2"):
            sparse.multiply(self.x[:, :2].copy(), None, False, self.out)
        with pytest.raises(ValueError, match="x: expected 3 axes, got 2"):
            sparse.multiply(self.x[0], None, False, self.out)
        with pytest.raises(ValueError, match="bias: expected 3 elements, got 4"):
            sparse.multiply(self.x, np.zeros(4, np.float32), False, self.out)
        with pytest.raises(ValueError, match="x: expected 3 columns, got 4"):
            sparse.multiply_vectors(self.x[0], None, False, self.out[0])
        with pytest.raises(ValueError, match="out: expected 9 elements, got 12"):
            sparse.multiply_vectors(self.x[0, :, :3].copy(), None, False, self.out[0])
        with pytest.raises(ValueError, match="matrix: expected 2 axes, got 1"):
            _core.dense_to_csr(np.zeros(3))

    def test_what_is_no_csr_matrix(self):
        row_ptr, indices, values = self.csr
        with pytest.raises(ValueError, match="row_ptr: expected numbers that ascend from 0"):
            _core.sparse_matrix(row_ptr[::-1].copy(), indices, values, 3, 4)
        with pytest.raises(ValueError, match="row_ptr: expected numbers that ascend from 0"):
            _core.sparse_matrix(row_ptr[:0], indices, values, 3, 4)
        with pytest.raises(ValueError, match="indices: expected columns below 2, got 2"):
            _core.sparse_matrix(row_ptr, indices, values, 2, 4)
        with pytest.raises(ValueError, match="values: expected 3 elements, got 2"):
            _core.sparse_matrix(row_ptr, indices, values[:2], 3, 4)
        twice = np.array([0, 2, 2, 3], np.int32)
        with pytest.raises(ValueError, match="indices: expected columns that ascend in each row"):
            _core.sparse_matrix(twice, np.array([1, 1, 2], np.int32), values, 3, 4)
        with pytest.raises(ValueError, match="width: expected 0 or more, got -1"):
            _core.sparse_matrix(row_ptr, indices, values, 3, -1)
