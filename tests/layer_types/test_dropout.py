"""Dropout: the mask is Caffe's, and forward and backward use the same one."""

import numpy as np
import pytest

from sscaffe.errors import ShapeError
from sscaffe.layer import TEST, TRAIN
from sscaffe.random_numbers import RandomNumbers
from tests.helpers import ON_THE_CPU, make_layer, run_backward, run_layer

# The first numbers of a Mersenne twister of seed 5489, as its authors publish them.
RAW = np.array([3499211612, 581869302, 3890346734, 3586334585, 545404204, 4161255391])


def dropout(ratio=0.5, phase=TRAIN, seed=5489, dtype=np.float64):
    text = f"type: 'Dropout' dropout_param {{ dropout_ratio: {ratio} }}"
    return make_layer(text, phase=phase, rng=RandomNumbers(seed), dtype=dtype)


@pytest.mark.parametrize("ratio", [0.125, 0.5, 0.25])
@ON_THE_CPU
def test_keeps_a_unit_where_the_draw_is_small(ratio):
    largest = (1 - ratio) * 4294967295
    kept = largest >= RAW
    y = run_layer(dropout(ratio), np.ones((2, 3)))
    np.testing.assert_allclose(y.ravel(), kept / (1 - ratio), rtol=1e-15)


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_backward_uses_the_mask_of_forward(dtype, in_place):
    run = run_backward(dropout(dtype=dtype), np.full(6, 3.0), np.full(6, 5.0), in_place=in_place)
    kept = RAW < 2**31
    assert 0 < kept.sum() < 6
    np.testing.assert_array_equal(run.top_data, np.where(kept, 6.0, 0.0))
    np.testing.assert_array_equal(run.bottom_diff, np.where(kept, 10.0, 0.0))


@ON_THE_CPU
def test_each_pass_draws_another_mask():
    x = np.ones(100)
    layer = dropout()
    assert (run_layer(layer, x) != run_layer(layer, x)).any()


def test_keeps_the_mean():
    y = run_layer(dropout(0.25), np.ones(40000))
    # The standard deviation of the mean is 0.003; three times that is allowed.
    np.testing.assert_allclose(y.mean(), 1, atol=0.009)


@pytest.mark.parametrize("in_place", [False, True])
def test_does_nothing_in_test(in_place, rng):
    x, top_diff = rng.standard_normal((2, 3, 4))
    run = run_backward(dropout(phase=TEST), x, top_diff, in_place=in_place)
    np.testing.assert_array_equal(run.top_data, x)
    np.testing.assert_array_equal(run.bottom_diff, top_diff)


def test_ratio_0_does_nothing(rng):
    x, top_diff = rng.standard_normal((2, 3, 4))
    run = run_backward(dropout(0), x, top_diff)
    np.testing.assert_array_equal(run.top_data, x)
    np.testing.assert_array_equal(run.bottom_diff, top_diff)


@pytest.mark.parametrize("ratio", [1, -0.5, 2])
def test_rejects_a_ratio_that_leaves_nothing(ratio):
    message = rf"dropout_ratio: expected 0 or more and less than 1, got {float(ratio)}"
    with pytest.raises(ShapeError, match=message):
        run_layer(dropout(ratio), np.ones(3))
