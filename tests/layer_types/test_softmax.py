"""Softmax: values from the definition, gradients by finite differences."""

import numpy as np
import pytest

from sscaffe.errors import ShapeError
from sscaffe.testing import check_gradient
from tests.helpers import make_layer, run_backward, run_layer


def softmax(axis=1, dtype=np.float64):
    return make_layer(f"type: 'Softmax' softmax_param {{ axis: {axis} }}", dtype=dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_probabilities_by_hand(dtype):
    y = run_layer(softmax(dtype=dtype), np.log([[1.0, 2.0, 5.0]]))
    np.testing.assert_allclose(y, [[0.125, 0.25, 0.625]], rtol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_sums_to_1_along_the_axis(axis, rng):
    x = rng.standard_normal((2, 3, 4))
    expected = np.exp(x) / np.exp(x).sum(axis=axis, keepdims=True)
    np.testing.assert_allclose(run_layer(softmax(axis), x), expected, rtol=1e-12)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_gradient(axis, rng):
    check_gradient(softmax(axis), [rng.standard_normal((2, 3, 4))])


def test_large_scores_do_not_overflow():
    y = run_layer(softmax(dtype=np.float32), [[1000.0, 1000.0, -1000.0]])
    np.testing.assert_array_equal(y, [[0.5, 0.5, 0]])


def test_in_place_matches_out_of_place(rng):
    x, top_diff = rng.standard_normal((2, 3, 4))
    separate = run_backward(softmax(), x, top_diff)
    shared = run_backward(softmax(), x, top_diff, in_place=True)
    np.testing.assert_array_equal(shared.top_data, separate.top_data)
    np.testing.assert_array_equal(shared.bottom_diff, separate.bottom_diff)


def test_rejects_an_axis_that_is_not_there():
    with pytest.raises(ShapeError, match=r"axis: expected -1 to 0 for 1 axes, got 1"):
        run_layer(softmax(), np.zeros(3))
