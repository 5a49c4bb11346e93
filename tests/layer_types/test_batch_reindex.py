"""BatchReindex: items by hand, gradients by finite differences."""

import numpy as np
import pytest

from sscaffe.errors import DataError, ShapeError, UnsupportedError
from sscaffe.testing import check_gradient
from tests.helpers import make_layer, run_layer


def reindex(dtype=np.float64):
    return make_layer("type: 'BatchReindex'", dtype=dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_copies_the_items_in_the_order_given(dtype):
    y = run_layer(reindex(dtype), [[1.0, 2.0], [3.0, 4.0]], [1, 0, 1])
    np.testing.assert_array_equal(y, [[3, 4], [1, 2], [3, 4]])


@pytest.mark.parametrize("index", [[2, 0, 2, 2, 1], [1], [0, 1, 2], []])
@pytest.mark.parametrize("shape", [(3,), (3, 4), (3, 2, 2, 2)], ids=str)
def test_gradient(shape, index, rng):
    inputs = [rng.standard_normal(shape), np.array(index, float)]
    check_gradient(reindex(), inputs, check_bottom=[True, False])


def test_rejects():
    with pytest.raises(ShapeError, match=r"numbers of items of shape \(M,\), got \(2, 1\)"):
        run_layer(reindex(), np.zeros((3, 2)), np.zeros((2, 1)))
    with pytest.raises(ShapeError, match=r"batch of shape \(N, \.\.\.\), got a single number"):
        run_layer(reindex(), 1.0, np.zeros(2))
    for number in (3, -1):
        with pytest.raises(DataError, match=f"numbers: expected 0 to 2 for 3 items, got {number}"):
            run_layer(reindex(), np.zeros((3, 2)), [0, number])


def test_the_numbers_have_no_gradient():
    assert reindex().allow_force_backward(0)
    assert not reindex().allow_force_backward(1)
    with pytest.raises(UnsupportedError, match="the numbers of BatchReindex have no gradient"):
        reindex().backward([], [True, True], [])
