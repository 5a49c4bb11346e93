"""Scale: values by hand, gradients by finite differences with learned and given factors."""

import numpy as np
import pytest

from sscaffe.blob import Blob
from sscaffe.errors import ShapeError
from sscaffe.testing import check_gradient
from tests.helpers import blob_of, make_layer, run_backward, run_layer

GAUSSIAN = "filler { type: 'gaussian' } bias_filler { type: 'gaussian' }"


def scale(text="", dtype=np.float64):
    return make_layer(f"type: 'Scale' scale_param {{ {text} }}", dtype=dtype)


def test_factor_is_1_and_bias_0_unless_filled():
    x = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(run_layer(scale("bias_term: true"), x), x)


def test_scales_each_channel_and_adds_the_bias():
    layer = scale("bias_term: true")
    x, top = [blob_of([[[1.0, 2.0], [3.0, 4.0]]])], [Blob((), np.float64)]
    layer.setup(x, top)
    layer.blobs[0].set_data([10, 100])
    layer.blobs[1].set_data([0.5, 0.25])
    layer.reshape(x, top)
    layer.forward(x, top)
    np.testing.assert_array_equal(top[0].host_data, [[[10.5, 20.5], [300.25, 400.25]]])


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("", (3,)),
        ("axis: 0", (2,)),
        ("num_axes: 2", (3, 4)),
        ("num_axes: -1", (3, 4, 5)),
        ("axis: 0 num_axes: -1", (2, 3, 4, 5)),
        ("axis: -1", (5,)),
        ("axis: -2 num_axes: -1", (4, 5)),
        ("num_axes: 0", ()),
    ],
)
def test_factor_covers_axes(text, shape, rng):
    layer = scale(f"{text} bias_term: true {GAUSSIAN}")
    x = rng.standard_normal((2, 3, 4, 5))
    y = run_layer(layer, x)
    factor, bias = (blob.host_data for blob in layer.blobs)
    assert factor.shape == bias.shape == shape
    axis = {"": 1, "num_axes: 2": 1, "num_axes: -1": 1, "axis: -1": 3}.get(text, 0)
    axis = 2 if "-2" in text else axis
    lined_up = (*shape, *[1] * (4 - axis - len(shape)))
    np.testing.assert_allclose(y, x * factor.reshape(lined_up) + bias.reshape(lined_up))
    check_gradient(scale(f"{text} bias_term: true {GAUSSIAN}"), [rng.standard_normal((2, 3, 4, 5))])


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 2, 2)], ids=str)
def test_gradient_without_bias(shape, rng):
    check_gradient(scale(GAUSSIAN), [rng.standard_normal(shape)])


@pytest.mark.parametrize("bias", ["", "bias_term: true bias_filler { type: 'gaussian' }"])
@pytest.mark.parametrize(
    ("axis", "shape"), [(0, (2,)), (1, (3,)), (1, (3, 4)), (0, (2, 3, 4)), (-1, (4,)), (1, ())]
)
def test_given_factor(axis, shape, bias, rng):
    text = f"axis: {axis} {bias}"
    x, factor = rng.standard_normal((2, 3, 4)), rng.standard_normal(shape)
    check_gradient(scale(text), [x, factor])
    start = axis % 3 if shape else 0
    lined_up = factor.reshape(*shape, *[1] * (3 - start - len(shape)))
    np.testing.assert_array_equal(run_layer(scale(f"axis: {axis}"), x, factor), x * lined_up)


def test_given_factor_leaves_one_blob_for_the_bias():
    layer = scale("bias_term: true")
    y = run_layer(layer, np.ones((2, 3)), np.full(3, 5.0))
    assert [blob.shape for blob in layer.blobs] == [(3,)]
    np.testing.assert_array_equal(y, np.full((2, 3), 5.0))


def test_a_single_number_fits_a_bottom_without_the_axis():
    np.testing.assert_array_equal(run_layer(scale(), [1.0, 2.0], 3.0), [3, 6])
    filled = scale("num_axes: 0 filler { value: 3 }")
    np.testing.assert_array_equal(run_layer(filled, [1.0, 2.0]), [3, 6])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_in_place_matches_out_of_place(dtype, rng):
    x, top_diff = rng.standard_normal((2, 4, 3, 2))
    text = f"bias_term: true {GAUSSIAN}"
    separate = run_backward(scale(text, dtype), x, top_diff)
    shared = run_backward(scale(text, dtype), x, top_diff, in_place=True)
    np.testing.assert_array_equal(shared.top_data, separate.top_data)
    np.testing.assert_array_equal(shared.bottom_diff, separate.bottom_diff)
    for ours, theirs in zip(shared.blob_diff, separate.blob_diff, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_in_place_with_a_given_factor(rng):
    x, top_diff = rng.standard_normal((2, 4, 3))
    factor = rng.standard_normal(3)
    bottom = [blob_of(x), blob_of(factor)]
    layer, top = scale(), [bottom[0]]
    layer.setup(bottom, top)
    layer.reshape(bottom, top)
    layer.forward(bottom, top)
    top[0].set_diff(top_diff)
    layer.backward(top, [True, True], bottom)
    np.testing.assert_allclose(bottom[0].host_diff, top_diff * factor)
    np.testing.assert_allclose(bottom[1].host_diff, (top_diff * x).sum(axis=0))


def test_diffs_of_blobs_add_up_and_may_be_left_out(rng):
    layer = scale(f"bias_term: true {GAUSSIAN}")
    bottom, top = [blob_of([[1.0, 2.0]])], [Blob((), np.float64)]
    layer.setup(bottom, top)
    layer.reshape(bottom, top)
    layer.forward(bottom, top)
    top[0].set_diff([[3.0, 4.0]])
    layer.backward(top, [False], bottom)
    layer.backward(top, [False], bottom)
    np.testing.assert_array_equal(layer.blobs[0].host_diff, [6, 16])
    np.testing.assert_array_equal(layer.blobs[1].host_diff, [6, 8])
    np.testing.assert_array_equal(bottom[0].host_diff, [[0, 0]])
    for flags, factor_diff, bias_diff in (([True, False], 9, 6), ([False, True], 9, 9)):
        layer.param_propagate_down = flags
        layer.backward(top, [False], bottom)
        assert layer.blobs[0].host_diff[0] == factor_diff
        assert layer.blobs[1].host_diff[0] == bias_diff


def test_rejects_axes_that_are_not_there():
    with pytest.raises(ShapeError, match=r"num_axes: expected -1, or 0 to 1 .* got 2"):
        run_layer(scale("num_axes: 2"), np.zeros((2, 3)))
    with pytest.raises(ShapeError, match=r"axis: expected -2 to 1 for 2 axes, got 2"):
        run_layer(scale("axis: 2"), np.zeros((2, 3)))


def test_rejects_a_given_factor_of_another_shape():
    with pytest.raises(ShapeError, match=r"factor that fits \(2, 3\) at axis 1, got \(2,\)"):
        run_layer(scale(), np.zeros((2, 3)), np.zeros(2))


def test_rejects_a_bottom_that_no_longer_fits():
    layer = scale()
    bottom, top = [blob_of(np.zeros((2, 3)))], [Blob((), np.float64)]
    layer.setup(bottom, top)
    bottom[0].reshape(2, 4)
    with pytest.raises(ShapeError, match=r"factor of shape \(3,\) at axis 1, got \(2, 4\)"):
        layer.reshape(bottom, top)
