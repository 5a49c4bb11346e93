"""ReLU: values from the definition, gradients by finite differences."""

import numpy as np
import pytest

from sscaffe.errors import SscaffeError
from sscaffe.testing import check_gradient
from tests.helpers import away_from_zero, make_layer, run_backward, run_layer
from tests.net.layers import INPUT, make_net

LEAKY = "type: 'ReLU' relu_param { negative_slope: 0.25 }"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cuts_off_below_zero(dtype):
    layer = make_layer("type: 'ReLU'", dtype=dtype)
    np.testing.assert_array_equal(run_layer(layer, [[-4.0, 0.0, 2.0]]), [[0.0, 0.0, 2.0]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_leaks_by_negative_slope(dtype):
    layer = make_layer(LEAKY, dtype=dtype)
    np.testing.assert_array_equal(run_layer(layer, [[-4.0, 0.0, 2.0]]), [[-1.0, 0.0, 2.0]])


@pytest.mark.parametrize("text", ["type: 'ReLU'", LEAKY])
@pytest.mark.parametrize("shape", [(3,), (2, 3, 4, 5)], ids=str)
def test_gradient(shape, text, rng):
    check_gradient(make_layer(text), [away_from_zero(shape, rng)])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_in_place_matches_out_of_place(dtype, rng):
    x, top_diff = away_from_zero((2, 3, 4), rng), rng.standard_normal((2, 3, 4))
    separate = run_backward(make_layer(LEAKY, dtype=dtype), x, top_diff)
    shared = run_backward(make_layer(LEAKY, dtype=dtype), x, top_diff, in_place=True)
    np.testing.assert_array_equal(shared.top_data, separate.top_data)
    np.testing.assert_array_equal(shared.bottom_diff, separate.bottom_diff)


def test_gradient_at_zero_is_the_slope():
    run = run_backward(make_layer(LEAKY), np.zeros(2), np.ones(2))
    np.testing.assert_array_equal(run.bottom_diff, [0.25, 0.25])


def test_has_one_bottom():
    with pytest.raises(SscaffeError, match="bottom: expected 1 for a layer of type ReLU, got 2"):
        make_net(INPUT + "layer { name: 'r' type: 'ReLU' top: 'r' bottom: 'x' bottom: 'x' }")
