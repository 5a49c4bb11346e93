"""Zeros of a weight matrix: counted by hand."""

import numpy as np
import pytest

from sscaffe import sparsity
from sscaffe.blob import Blob, Param
from sscaffe.errors import ShapeError
from sscaffe.proto import caffe_pb2

KINDS = caffe_pb2.BlockGroupLassoSpec

# Two conv groups of two rows; column 3 is zero in the first, columns 0 and 1 in the second.
MATRIX = np.array(
    [
        [1, 0, 2, 0],
        [0, 3, 0, 0],
        [0, 0, 0, 0],
        [0, 0, -4, 5e-5],
    ],
    dtype=np.float32,
)


def test_percentages():
    assert sparsity.percentages(MATRIX) == {"element": 75.0, "row": 25.0, "column": 0.0}
    assert sparsity.percentages(MATRIX[2:]) == {"element": 87.5, "row": 50.0, "column": 50.0}


def test_an_element_at_the_threshold_is_not_zero():
    below, at = np.nextafter(np.float32(1e-4), np.float32(0)), np.float32(1e-4)
    assert sparsity.zero_elements(np.array([[below, -below, at, -at]])) == 50
    assert sparsity.zero_elements(MATRIX, threshold=4) == 93.75


def test_zero_blocks():
    assert sparsity.zero_blocks(MATRIX, 1, 1) == 100 * 11 / 16
    assert sparsity.zero_blocks(MATRIX, 2, 2) == 25
    assert sparsity.zero_blocks(MATRIX, 2, 1) == 100 * 3 / 8
    assert sparsity.zero_blocks(MATRIX, 1, 4) == 25
    assert sparsity.zero_blocks(MATRIX, 4, 4) == 0


def test_rows_and_columns_that_each_group_keeps():
    rows, columns = sparsity.kept_rows(MATRIX, 2), sparsity.kept_columns(MATRIX, 2)
    assert [list(kept) for kept in rows] == [[0, 1], [1]]
    assert [list(kept) for kept in columns] == [[0, 1, 2], [2, 3]]
    assert all(kept.dtype == np.int32 for kept in rows + columns)
    assert sparsity.kept_size(MATRIX, 2) == 2 * 3 + 1 * 2
    assert sparsity.kept_size(MATRIX) == 3 * 4


def test_a_matrix_without_elements_has_no_zeros():
    empty = np.zeros((0, 0), np.float32)
    assert sparsity.percentages(empty) == {"element": 0.0, "row": 0.0, "column": 0.0}
    assert sparsity.kept_size(empty) == 0


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (KINDS.FILTER, (1, 50)),
        (KINDS.CHANNEL, (4, 25)),
        (KINDS.SHAPE, (4, 1)),
        (KINDS.DEPTH, (8, 50)),
        (KINDS.FILTER2D, (1, 25)),
    ],
)
def test_block_shape_of_named_groups(kind, expected):
    assert sparsity.block_shape(kind, (8, 50), group=2, kernel_count=25) == expected


def test_a_block_has_no_shape_of_its_own():
    with pytest.raises(ShapeError, match=r"group: expected FILTER, CHANNEL, .*, FILTER2D, got 0"):
        sparsity.block_shape(KINDS.BLOCK, (8, 50))


@pytest.fixture
def conv1():
    return Param(Blob((4, 3, 3, 3)), "conv1", 0)


def test_check_divides_gives_the_sizes_that_would_do(conv1):
    sparsity.check_divides(conv1, 2, 9)
    message = (
        r"^xdimen: 7 does not divide the 27 columns of conv1's 4 x 27 weight matrix; "
        r"use a divisor: 1, 3, 9, 27$"
    )
    with pytest.raises(ShapeError, match=message):
        sparsity.check_divides(conv1, 1, 7)
    with pytest.raises(ShapeError, match=r"^ydimen: 3 does not divide the 4 rows .*: 1, 2, 4$"):
        sparsity.check_divides(conv1, 3, 1)


@pytest.mark.parametrize("size", [0, 54])
def test_check_divides_wants_sizes_within_the_matrix(conv1, size):
    with pytest.raises(ShapeError, match=f"^xdimen: {size} does not divide the 27 columns"):
        sparsity.check_divides(conv1, 1, size)


def test_check_divides_knows_a_bias():
    bias = Param(Blob((4,)), "conv1", 1)
    with pytest.raises(ShapeError, match="the 1 columns of conv1's 4 x 1 bias matrix"):
        sparsity.check_divides(bias, 1, 2)
