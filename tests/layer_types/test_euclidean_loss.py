"""EuclideanLoss: values by hand, gradients by finite differences."""

import numpy as np
import pytest

from sscaffe.errors import ShapeError
from sscaffe.testing import check_gradient
from tests.helpers import make_layer, run_layer


def euclidean(dtype=np.float64):
    return make_layer("type: 'EuclideanLoss'", dtype=dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_half_the_mean_squared_distance(dtype):
    loss = run_layer(euclidean(dtype), [[1.0, 2.0], [3.0, 4.0]], [[0.0, 0.0], [3.0, 1.0]])
    assert loss.shape == ()
    assert loss == (1 + 4 + 0 + 9) / 4


@pytest.mark.parametrize("shape", [(3,), (3, 4), (2, 3, 2, 2)], ids=str)
def test_gradient(shape, rng):
    check_gradient(euclidean(), [rng.standard_normal(shape), rng.standard_normal(shape)])


def test_shapes_may_differ_after_the_first_axis(rng):
    check_gradient(euclidean(), [rng.standard_normal((2, 6)), rng.standard_normal((2, 3, 2))])
    check_gradient(euclidean(), [np.array(1.0), np.array(2.5)])


def test_both_bottoms_may_have_a_gradient():
    assert euclidean().allow_force_backward(0)
    assert euclidean().allow_force_backward(1)


@pytest.mark.parametrize("shapes", [((2, 3), (3, 2)), ((2, 3), (2, 4))])
def test_rejects_other_items_or_elements(shapes):
    with pytest.raises(ShapeError, match=r"as many items and elements, got \(2, 3\) and \("):
        run_layer(euclidean(), *map(np.zeros, shapes))
