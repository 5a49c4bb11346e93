"""Bias: values by hand, gradients by finite differences with learned and given biases."""

import numpy as np
import pytest

from sscaffe.blob import Blob
from sscaffe.errors import ShapeError
from sscaffe.testing import check_gradient
from tests.helpers import blob_of, make_layer, run_backward, run_layer

GAUSSIAN = "filler { type: 'gaussian' }"


def bias(text="", dtype=np.float64):
    return make_layer(f"type: 'Bias' bias_param {{ {text} }}", dtype=dtype)


def test_is_0_unless_filled():
    x = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(run_layer(bias(), x), x)
    np.testing.assert_array_equal(run_layer(bias("filler { value: 2 }"), x), x + 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_each_channel_has_its_own(dtype):
    x, b = [[[1.0, 2.0], [3.0, 4.0]]], [10.0, 20.0]
    np.testing.assert_array_equal(run_layer(bias(dtype=dtype), x, b), [[[11, 12], [23, 24]]])


@pytest.mark.parametrize(
    ("text", "axis", "shape"),
    [
        ("", 1, (3,)),
        ("axis: 0", 0, (2,)),
        ("num_axes: 2", 1, (3, 4)),
        ("num_axes: -1", 1, (3, 4, 2)),
        ("axis: 0 num_axes: -1", 0, (2, 3, 4, 2)),
        ("axis: -1", 3, (2,)),
        ("axis: -2 num_axes: -1", 2, (4, 2)),
        ("num_axes: 0", 0, ()),
    ],
)
def test_covers_axes(text, axis, shape, rng):
    layer = bias(f"{text} {GAUSSIAN}")
    x = rng.standard_normal((2, 3, 4, 2))
    y = run_layer(layer, x)
    value = layer.blobs[0].host_data
    assert value.shape == shape
    np.testing.assert_array_equal(y, x + value.reshape(*shape, *[1] * (4 - axis - len(shape))))
    check_gradient(bias(f"{text} {GAUSSIAN}"), [x])


@pytest.mark.parametrize(
    ("axis", "shape"), [(0, (2,)), (1, (3,)), (1, (3, 4)), (0, (2, 3, 4)), (-1, (4,)), (1, ())]
)
def test_given_bias(axis, shape, rng):
    x, given = rng.standard_normal((2, 3, 4)), rng.standard_normal(shape)
    layer = bias(f"axis: {axis}")
    check_gradient(layer, [x, given])
    assert not layer.blobs
    start = axis % 3 if shape else 0
    lined_up = given.reshape(*shape, *[1] * (3 - start - len(shape)))
    np.testing.assert_array_equal(run_layer(bias(f"axis: {axis}"), x, given), x + lined_up)


def test_in_place_matches_out_of_place(rng):
    x, top_diff = rng.standard_normal((2, 4, 3))
    separate = run_backward(bias(GAUSSIAN), x, top_diff)
    shared = run_backward(bias(GAUSSIAN), x, top_diff, in_place=True)
    np.testing.assert_array_equal(shared.top_data, separate.top_data)
    np.testing.assert_array_equal(shared.bottom_diff, separate.bottom_diff)
    np.testing.assert_array_equal(shared.blob_diff, separate.blob_diff)


def test_diff_of_the_bias_adds_up_and_may_be_left_out():
    layer, bottom, top = bias(), [blob_of([[1.0, 2.0]])], [Blob((), np.float64)]
    layer.setup(bottom, top)
    layer.reshape(bottom, top)
    layer.forward(bottom, top)
    top[0].set_diff([[3.0, 4.0]])
    layer.backward(top, [False], bottom)
    layer.backward(top, [False], bottom)
    layer.param_propagate_down = [False]
    layer.backward(top, [False], bottom)
    np.testing.assert_array_equal(layer.blobs[0].host_diff, [6, 8])
    np.testing.assert_array_equal(bottom[0].host_diff, [[0, 0]])


def test_rejects():
    with pytest.raises(ShapeError, match=r"num_axes: expected -1, or 0 to 1 .* got 2"):
        run_layer(bias("num_axes: 2"), np.zeros((2, 3)))
    with pytest.raises(ShapeError, match=r"axis: expected -2 to 1 for 2 axes, got 2"):
        run_layer(bias("axis: 2"), np.zeros((2, 3)))
    with pytest.raises(ShapeError, match=r"a bias that fits \(2, 3\) at axis 1, got \(2,\)"):
        run_layer(bias(), np.zeros((2, 3)), np.zeros(2))
    layer, bottom, top = bias(), [blob_of(np.zeros((2, 3)))], [Blob((), np.float64)]
    layer.setup(bottom, top)
    bottom[0].reshape(2, 4)
    with pytest.raises(ShapeError, match=r"bias of shape \(3,\) at axis 1, got \(2, 4\)"):
        layer.reshape(bottom, top)
