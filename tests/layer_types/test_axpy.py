"""Axpy: values by hand, gradients by finite differences."""

import numpy as np
import pytest

from sscaffe.errors import ShapeError
from sscaffe.testing import check_gradient
from tests.helpers import make_layer, run_layer


def axpy(dtype=np.float64):
    return make_layer("type: 'Axpy'", dtype=dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_each_channel_of_each_image_has_its_factor(dtype):
    factor, x = [[2.0, 3.0]], [[[1.0, 2.0], [3.0, 4.0]]]
    z = [[[10.0, 20.0], [30.0, 40.0]]]
    np.testing.assert_array_equal(run_layer(axpy(dtype), factor, x, z), [[[12, 24], [39, 52]]])


@pytest.mark.parametrize("ones", [(), (1, 1)])
@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (2, 3, 2, 2)], ids=str)
def test_gradient(shape, ones, rng):
    shapes = (*shape[:2], *ones), shape, shape
    check_gradient(axpy(), [rng.standard_normal(size) for size in shapes])


def test_rejects():
    with pytest.raises(ShapeError, match=r"x and z of one shape .* got \(2, 3, 4\) and \(2, 3\)"):
        run_layer(axpy(), np.zeros((2, 3)), np.zeros((2, 3, 4)), np.zeros((2, 3)))
    for shape in ((3, 2), (2, 3, 4), (2,)):
        with pytest.raises(ShapeError, match=r"a factor of shape \(2, 3\), got \("):
            run_layer(axpy(), np.zeros(shape), np.zeros((2, 3, 4)), np.zeros((2, 3, 4)))
