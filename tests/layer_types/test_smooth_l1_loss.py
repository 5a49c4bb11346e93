"""SmoothL1Loss: values by hand, gradients by finite differences."""

import numpy as np
import pytest

from sscaffe.errors import ShapeError, UnsupportedError
from sscaffe.testing import check_gradient
from tests.helpers import make_layer, run_layer

A, B = [[3.0, 0.5], [-0.25, 1.0]], [[0.0, 0.0], [0.0, -1.0]]


def smooth_l1(sigma=1, dtype=np.float64):
    text = f"type: 'SmoothL1Loss' smooth_l1_loss_param {{ sigma: {sigma} }}"
    return make_layer(text, dtype=dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_by_hand(dtype):
    # Differences of 3, 0.5, -0.25, 2.
    loss = run_layer(smooth_l1(dtype=dtype), A, B)
    assert loss.shape == ()
    assert loss == (2.5 + 0.125 + 0.03125 + 1.5) / 2
    assert run_layer(smooth_l1(2, dtype), A, B) == (2.875 + 0.375 + 0.125 + 1.875) / 2


def test_weights_inside_and_outside():
    inside, outside = [[1.0, 2.0], [0.0, 0.5]], [[2.0, 10.0], [7.0, 4.0]]
    assert run_layer(smooth_l1(), A, B, inside) == (2.5 + 0.5 + 0 + 0.5) / 2
    assert run_layer(smooth_l1(), A, B, inside, outside) == (5 + 5 + 0 + 2) / 2


@pytest.mark.parametrize("weights", [0, 1, 2])
@pytest.mark.parametrize("sigma", [1, 0.5, 3])
@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 2, 2)], ids=str)
def test_gradient(shape, sigma, weights, rng):
    inputs = [rng.standard_normal(shape) for _ in range(2)]
    inputs += [rng.uniform(0, 2, shape) for _ in range(weights)]
    flags = [True, True, False, False][: len(inputs)]
    check_gradient(smooth_l1(sigma), inputs, check_bottom=flags)


def test_rejects():
    with pytest.raises(ShapeError, match=r"as many items and elements, got \(2, 2\) and \(4,\)"):
        run_layer(smooth_l1(), A, np.zeros(4))
    with pytest.raises(ShapeError, match=r"as many items and elements, got \(2, 2\) and \(2, 3\)"):
        run_layer(smooth_l1(), A, B, np.zeros((2, 3)))
    with pytest.raises(ShapeError, match="sigma: expected a number above 0, got 0"):
        run_layer(smooth_l1(0), A, B)


def test_weights_have_no_gradient():
    assert [smooth_l1().allow_force_backward(i) for i in range(4)] == [True, True, False, False]
    with pytest.raises(UnsupportedError, match="the weights of SmoothL1Loss have no gradient"):
        smooth_l1().backward([], [True, True, True], [])
