"""PReLU: values from the definition, gradients by finite differences."""

import numpy as np
import pytest

from sscaffe.blob import Blob
from sscaffe.errors import ShapeError
from sscaffe.testing import check_gradient
from tests.helpers import away_from_zero, blob_of, make_layer, run_backward, run_layer

SHAPES = [(3, 4), (2, 3, 4, 5), (2, 3, 2, 2, 2)]


def prelu(text="", dtype=np.float64):
    return make_layer(f"type: 'PReLU' prelu_param {{ {text} }}", dtype=dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scales_only_the_negative_half_by_a_quarter_unless_filled(dtype):
    x = np.array([[[-4.0, 0.0, 2.0], [-8.0, 1.0, -1.0]]])
    y = run_layer(prelu(dtype=dtype), x)
    np.testing.assert_array_equal(y, [[[-1.0, 0.0, 2.0], [-2.0, 1.0, -0.25]]])
    y = run_layer(prelu("filler { value: 0.5 }", dtype), x)
    np.testing.assert_array_equal(y, [[[-2.0, 0.0, 2.0], [-4.0, 1.0, -0.5]]])


def test_each_channel_has_its_slope():
    layer, bottom, top = prelu(), [blob_of([[[-1.0, -2.0], [-3.0, 4.0]]])], [Blob((), np.float64)]
    layer.setup(bottom, top)
    layer.blobs[0].set_data([10, 100])
    layer.reshape(bottom, top)
    layer.forward(bottom, top)
    np.testing.assert_array_equal(top[0].host_data, [[[-10, -20], [-300, 4]]])


@pytest.mark.parametrize("channel_shared", ["true", "false"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gradient(shape, channel_shared, rng):
    layer = prelu(f"channel_shared: {channel_shared} filler {{ type: 'gaussian' }}")
    check_gradient(layer, [away_from_zero(shape, rng)])
    assert layer.blobs[0].shape == (() if channel_shared == "true" else shape[1:2])


@pytest.mark.parametrize("channel_shared", ["true", "false"])
def test_in_place_matches_out_of_place(channel_shared, rng):
    text, x = f"channel_shared: {channel_shared}", away_from_zero((2, 3, 4, 5), rng)
    top_diff = rng.standard_normal(x.shape)
    separate = run_backward(prelu(text), x, top_diff)
    shared = run_backward(prelu(text), x, top_diff, in_place=True)
    np.testing.assert_array_equal(shared.top_data, separate.top_data)
    np.testing.assert_array_equal(shared.bottom_diff, separate.bottom_diff)
    np.testing.assert_array_equal(shared.blob_diff, separate.blob_diff)


def test_diff_of_the_slope_adds_up_and_may_be_left_out():
    layer, bottom, top = prelu(), [blob_of([[-2.0, 3.0]])], [Blob((), np.float64)]
    layer.setup(bottom, top)
    layer.reshape(bottom, top)
    layer.forward(bottom, top)
    top[0].set_diff([[5.0, 7.0]])
    layer.backward(top, [False], bottom)
    layer.backward(top, [False], bottom)
    np.testing.assert_array_equal(layer.blobs[0].host_diff, [-20, 0])
    layer.param_propagate_down = [False]
    layer.backward(top, [True], bottom)
    np.testing.assert_array_equal(layer.blobs[0].host_diff, [-20, 0])
    np.testing.assert_array_equal(bottom[0].host_diff, [[1.25, 7]])


def test_rejects_a_bottom_without_channels():
    with pytest.raises(ShapeError, match=r"shape \(N, C, \.\.\.\), got \(5,\)"):
        run_layer(prelu(), np.zeros(5))


def test_rejects_a_bottom_of_other_channels():
    layer, bottom, top = prelu(), [blob_of(np.zeros((2, 3)))], [Blob((), np.float64)]
    layer.setup(bottom, top)
    bottom[0].reshape(2, 4)
    with pytest.raises(ShapeError, match=r"bottom for slopes of shape \(3,\), got \(2, 4\)"):
        layer.reshape(bottom, top)
