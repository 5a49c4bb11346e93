"""Three storages of one matrix: the product is that of the whole, in float64 to rtol 1e-12."""

import numpy as np
import pytest

from sscaffe.blob import Blob
from sscaffe.weight_matrix import ConcatenatedMatrix, CsrMatrix, DenseMatrix, Prepared

STORAGES = [DenseMatrix, CsrMatrix, ConcatenatedMatrix]


def zeroed(rng, rows, columns):
    matrix = rng.standard_normal((4, 6))
    matrix[rows] = 0
    matrix[:, columns] = 0
    return matrix


PATTERNS = {
    "dense": ([], []),
    "zero rows": ([0, 2], []),
    "zero columns": ([], [1, 4, 5]),
    "both": ([3], [0]),
    "all zero": ([0, 1, 2, 3], []),
}


def product(matrix, columns, device, rows):
    out = np.full((rows, columns.shape[1]), np.nan, columns.dtype)
    kept = columns if matrix.kept_columns is None else columns[matrix.kept_columns]
    assert matrix.inputs == len(kept)
    matrix.matmul(np.ascontiguousarray(kept), out, device.kernels)
    return out


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("storage", STORAGES)
def test_multiplies_like_the_whole_matrix(storage, pattern, dtype, device, rng):
    dense = zeroed(rng, *PATTERNS[pattern]).astype(dtype)
    if pattern == "dense":
        dense[rng.random(dense.shape) < 0.5] = 0
    columns = rng.standard_normal((6, 5)).astype(dtype)
    stored = storage.from_dense(dense, device)
    assert stored.shape == (4, 6)
    np.testing.assert_allclose(
        product(stored, columns, device, 4),
        dense.astype(np.float64) @ columns,
        rtol=1e-12 if dtype == np.float64 else 1e-5,
        atol=1e-14 if dtype == np.float64 else 1e-6,
    )


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("shape", [(0, 6), (4, 0)])
def test_a_matrix_without_elements_gives_zeros(storage, shape, device):
    stored = storage.from_dense(np.zeros(shape, np.float32), device)
    out = product(stored, np.ones((shape[1], 5), np.float32), device, shape[0])
    np.testing.assert_array_equal(out, np.zeros((shape[0], 5)))


def test_csr_holds_the_non_zeros_of_the_kept_columns(device):
    dense = np.array([[0, 5.0, 0, 6.0], [0, 0, 0, 0], [7.0, 0, 0, 8.0]])
    stored = CsrMatrix.from_dense(dense, device)
    assert stored.row_ptr.tolist() == [0, 2, 2, 4]
    assert stored.indices.tolist() == [1, 2, 0, 2]
    assert stored.values.tolist() == [5, 6, 7, 8]
    assert stored.kept_columns.tolist() == [0, 1, 3]
    assert stored.row_ptr.dtype == stored.indices.dtype == stored.kept_columns.dtype == np.int32


def test_csr_matrices_are_joined_along_the_diagonal(device, rng):
    dense = [zeroed(rng, [1], [0, 2]), zeroed(rng, [], []), np.zeros((4, 6)), zeroed(rng, [3], [])]
    parts = [CsrMatrix.from_dense(matrix, device) for matrix in dense]
    joined = CsrMatrix.block_diagonal(parts, device)
    inputs = [part.inputs for part in parts]
    assert inputs == [4, 6, 0, 6]
    assert joined.shape == (16, 16)
    columns = rng.standard_normal((16, 5))
    pieces = np.split(columns, np.cumsum(inputs)[:-1])
    expected = [product_of_kept(*pair) for pair in zip(parts, pieces, strict=True)]
    out = product(joined, columns, device, 16)
    np.testing.assert_allclose(out, np.concatenate(expected), rtol=1e-12, atol=1e-14)


def product_of_kept(part, columns):
    matrix = np.zeros((part.shape[0], part.inputs))
    rows = np.repeat(np.arange(len(matrix)), np.diff(part.row_ptr))
    matrix[rows, part.indices] = part.values
    return matrix @ columns


def test_csr_follows_a_width_that_changes(device, rng):
    dense = zeroed(rng, [1], [2])
    stored = CsrMatrix.from_dense(dense, device)
    kept = [0, 1, 3, 4, 5]
    for positions in (5, 40, 40, 1):
        columns = rng.standard_normal((6, positions))
        out = product(stored, columns, device, 4)
        np.testing.assert_allclose(out, dense[:, kept] @ columns[kept], rtol=1e-12, atol=1e-14)


def test_concatenated_is_the_matrix_without_zero_rows_and_columns(device):
    dense = np.array([[0, 5.0, 0, 6.0], [0, 0, 0, 0], [7.0, 0, 0, 8.0]])
    stored = ConcatenatedMatrix.from_dense(dense, device)
    np.testing.assert_array_equal(stored.values, [[0, 5, 6], [7, 0, 8]])
    assert stored.kept_rows.tolist() == [0, 2]
    assert stored.kept_columns.tolist() == [0, 1, 3]


def test_concatenated_takes_any_number_of_positions_in_turn(device, rng):
    dense = zeroed(rng, [1], [2])
    stored = ConcatenatedMatrix.from_dense(dense, device)
    for positions in (5, 3, 5):
        columns = rng.standard_normal((6, positions))
        np.testing.assert_allclose(
            product(stored, columns, device, 4), dense @ columns, rtol=1e-12, atol=1e-14
        )


@pytest.mark.parametrize("storage", [CsrMatrix, ConcatenatedMatrix])
def test_nothing_is_left_out_of_a_matrix_without_zeros(storage, device, rng):
    dense = rng.standard_normal((3, 4)) + 9
    stored = storage.from_dense(dense, device)
    assert stored.kept_rows is None
    assert stored.kept_columns is None
    assert not np.shares_memory(stored.values, dense)


def test_prepared_is_made_again_only_when_the_data_changes():
    made = []

    def make(array):
        made.append(float(array[0]))
        return len(made)

    blob, prepared = Blob((2,)), Prepared(make)
    blob.set_data([1, 2])
    assert [prepared.get(blob), prepared.get(blob)] == [1, 1]
    blob.set_data([3, 4])
    assert prepared.get(blob) == 2
    other = Blob((2,))
    for value in (4, 5):
        other.set_data(value)
    assert other.data_version == blob.data_version
    blob.share_data(other)
    assert prepared.get(blob) == 3
    assert made == [1, 3, 5]


def test_prepared_sees_what_is_written_to_an_array_that_is_held():
    blob, prepared = Blob((2,)), Prepared(lambda array: array.sum())
    held = blob.data
    held[...] = 1
    assert prepared.get(blob) == 2
    held[0] = 5
    assert prepared.get(blob) == 6
