"""Blob: shapes, sharing, what is refused; Param: the matrix view."""

import numpy as np
import pytest

from sscaffe.blob import Blob, Param
from sscaffe.errors import ShapeError


def test_a_new_blob_is_zero():
    blob = Blob((2, 3))
    assert blob.shape == (2, 3)
    assert blob.data.dtype == np.float32
    assert not blob.data.any()
    assert not blob.diff.any()


def test_data_is_live():
    blob = Blob((2, 3))
    blob.data[1, 2] = 5
    assert blob.const_data[1, 2] == 5


def test_reshape_keeps_elements_where_their_number_is_kept():
    blob = Blob((2, 3))
    blob.set_data(np.arange(6).reshape(2, 3))
    blob.reshape(3, 2)
    np.testing.assert_array_equal(blob.data, [[0, 1], [2, 3], [4, 5]])


def test_a_scalar_blob_has_one_element():
    assert Blob(()).count == 1
    assert Blob(()).data.shape == ()


def test_shared_data_is_one_array():
    blob, other = Blob((4, 3)), Blob((12,))
    other.share_data(blob)
    blob.data[1, 0] = 9
    assert other.const_data[3] == 9
    assert not other.const_diff.any()


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, -1), r"sizes of 0 or more, got \(2, -1\)"),
        ((65536, 65536), "4294967296 elements; a blob holds at most"),
    ],
)
def test_refuses_impossible_shapes(shape, message):
    with pytest.raises(ShapeError, match=message):
        Blob(shape)


def test_refuses_to_share_with_another_count():
    with pytest.raises(ShapeError, match=r"expected a blob of shape \(2,\), got \(3,\)"):
        Blob((2,)).share_data(Blob((3,)))


@pytest.mark.parametrize(
    ("shape", "matrix"),
    [((4, 3, 2, 2), (4, 12)), ((5, 7), (5, 7)), ((6,), (6, 1)), ((), (1, 1))],
)
def test_matrix_view(shape, matrix):
    assert Param(Blob(shape), "conv1", 0).matrix_shape == matrix


def test_params_are_named_after_their_layer():
    names = [Param(Blob(()), "conv1", index).name for index in range(3)]
    assert names == ["conv1 weight", "conv1 bias", "conv1 blob 2"]
