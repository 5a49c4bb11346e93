"""Permute: against numpy.transpose, gradients by finite differences."""

import itertools

import numpy as np
import pytest

from sscaffe.errors import ShapeError
from sscaffe.testing import check_gradient
from tests.helpers import make_layer, run_layer


def permute(order=(), dtype=np.float64):
    text = " ".join(f"order: {axis}" for axis in order)
    return make_layer(f"type: 'Permute' permute_param {{ {text} }}", dtype=dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_channels_last(dtype):
    y = run_layer(permute([0, 2, 3, 1], dtype), np.arange(4.0).reshape(1, 2, 1, 2))
    np.testing.assert_array_equal(y, [[[[0, 2], [1, 3]]]])


@pytest.mark.parametrize("order", [*itertools.permutations(range(4))])
def test_value(order, rng):
    x = rng.standard_normal((2, 3, 4, 5))
    np.testing.assert_array_equal(run_layer(permute(order), x), x.transpose(order))


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
def test_gradient(order, rng):
    check_gradient(permute(order), [rng.standard_normal((2, 3, 4))])


@pytest.mark.parametrize(("order", "full"), [((), (0, 1, 2)), ((2,), (2, 0, 1)), ((1,), (1, 0, 2))])
def test_the_axes_left_out_follow(order, full, rng):
    x = rng.standard_normal((2, 3, 4))
    np.testing.assert_array_equal(run_layer(permute(order), x), x.transpose(full))


def test_rejects():
    with pytest.raises(ShapeError, match=r"order: expected axes below 2 of \(2, 3\), got 2"):
        run_layer(permute([2, 0]), np.zeros((2, 3)))
    with pytest.raises(ShapeError, match="order: expected each axis once, got 1 twice"):
        run_layer(permute([1, 1]), np.zeros((2, 3)))
