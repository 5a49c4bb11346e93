"""BatchNorm: statistics by hand, gradients by finite differences in both modes."""

import numpy as np
import pytest

from sscaffe.blob import Blob
from sscaffe.errors import ShapeError
from sscaffe.layer import TEST, TRAIN
from sscaffe.testing import check_gradient
from tests.helpers import blob_of, make_layer, run_backward, run_layer

SHAPES = [(6,), (5, 3), (4, 3, 2), (2, 3, 2, 2), (2, 2, 2, 1, 3)]


def batch_norm(text="", phase=TRAIN, dtype=np.float64):
    return make_layer(f"type: 'BatchNorm' batch_norm_param {{ {text} }}", phase=phase, dtype=dtype)


def set_up(layer, x):
    bottom, top = [blob_of(x, layer.dtype)], [Blob((), layer.dtype)]
    layer.setup(bottom, top)
    layer.reshape(bottom, top)
    return bottom, top


def test_normalizes_each_channel_by_hand():
    x = np.array([[1.0, 10.0], [3.0, 10.0]])
    y = run_layer(batch_norm("eps: 0.25"), x)
    np.testing.assert_allclose(y, [[-1 / np.sqrt(1.25), 0], [1 / np.sqrt(1.25), 0]])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_top_has_mean_0_and_variance_1(shape, rng):
    y = run_layer(batch_norm("eps: 1e-12"), 3 + 2 * rng.standard_normal(shape))
    axes = tuple(axis for axis in range(len(shape)) if axis != 1)
    np.testing.assert_allclose(y.mean(axis=axes), 0, atol=1e-12)
    np.testing.assert_allclose(y.var(axis=axes), 1, rtol=1e-9)


def test_moving_sums_decay_and_take_the_sample_variance():
    layer = batch_norm("moving_average_fraction: 0.5")
    bottom, top = set_up(layer, np.array([[1.0, 0.0], [3.0, 6.0]]))
    layer.forward(bottom, top)
    layer.forward(bottom, top)
    mean, variance, weight = (blob.host_data for blob in layer.blobs)
    # Variances of the batch 1 and 9, times m / (m - 1) = 2; then half of it again.
    np.testing.assert_allclose(mean, [3.0, 4.5])
    np.testing.assert_allclose(variance, [3.0, 27.0])
    np.testing.assert_allclose(weight, [1.5])


def test_one_element_for_each_channel_has_no_correction():
    layer = batch_norm()
    bottom, top = set_up(layer, [[2.0, 5.0]])
    layer.forward(bottom, top)
    np.testing.assert_array_equal(layer.blobs[1].host_data, [0, 0])
    np.testing.assert_array_equal(top[0].host_data, [[0, 0]])


@pytest.mark.parametrize(
    ("text", "phase"), [("", TEST), ("use_global_stats: true", TRAIN)], ids=["TEST", "TRAIN"]
)
def test_global_stats_are_the_sums_over_their_weight(text, phase):
    layer = batch_norm(f"eps: 0 {text}", phase)
    bottom, top = set_up(layer, [[5.0]])
    for blob, value in zip(layer.blobs, (6.0, 8.0, 2.0), strict=True):
        blob.set_data(value)
    layer.forward(bottom, top)
    np.testing.assert_allclose(top[0].host_data, [[(5 - 3) / 2]])
    assert [float(blob.host_data[0]) for blob in layer.blobs] == [6.0, 8.0, 2.0]


def test_global_stats_without_weight_are_0():
    y = run_layer(batch_norm("eps: 0.25", TEST), [[3.0]])
    np.testing.assert_allclose(y, [[6.0]])


def test_test_phase_may_use_the_batch():
    x = np.array([[1.0], [3.0]])
    y = run_layer(batch_norm("use_global_stats: false eps: 0", TEST), x)
    np.testing.assert_allclose(y, [[-1], [1]])


@pytest.mark.parametrize("text", ["", "eps: 0.1", "use_global_stats: true eps: 0.5"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gradient(shape, text, rng):
    check_gradient(batch_norm(text), [rng.standard_normal(shape)])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("phase", [TRAIN, TEST], ids=["TRAIN", "TEST"])
def test_in_place_matches_out_of_place(phase, dtype, rng):
    x, top_diff = rng.standard_normal((2, 4, 3, 2, 2))
    separate = run_backward(batch_norm("eps: 0.5", phase, dtype), x, top_diff)
    shared = run_backward(batch_norm("eps: 0.5", phase, dtype), x, top_diff, in_place=True)
    np.testing.assert_array_equal(shared.top_data, separate.top_data)
    np.testing.assert_array_equal(shared.bottom_diff, separate.bottom_diff)


def test_backward_does_not_need_the_top(rng):
    """A layer that runs in place on the top overwrites it before backward."""
    x, top_diff = rng.standard_normal((2, 4, 3))
    expected = run_backward(batch_norm(), x, top_diff).bottom_diff
    layer = batch_norm()
    bottom, top = set_up(layer, x)
    layer.forward(bottom, top)
    top[0].set_data(7.0)
    top[0].set_diff(top_diff)
    layer.backward(top, [True], bottom)
    np.testing.assert_array_equal(bottom[0].host_diff, expected)


def test_another_batch_size_is_no_other_layer(rng):
    layer = batch_norm("eps: 0")
    bottom, top = set_up(layer, rng.standard_normal((4, 2)))
    bottom[0].reshape(2, 2)
    bottom[0].set_data([[1.0, 1.0], [3.0, 5.0]])
    layer.reshape(bottom, top)
    layer.forward(bottom, top)
    np.testing.assert_allclose(top[0].host_data, [[-1, -1], [1, 1]])


def test_statistics_do_not_learn():
    assert not batch_norm().learns


def test_large_means_do_not_drown_the_variance(rng):
    x = 1000 + rng.standard_normal((64, 2, 8, 8))
    y = run_layer(batch_norm(dtype=np.float32), x)
    expected = (x - x.mean(axis=(0, 2, 3), keepdims=True)) / x.std(axis=(0, 2, 3), keepdims=True)
    # float32 numbers near 1000 are 6e-5 apart.
    np.testing.assert_allclose(y, expected, atol=5e-4)


def test_rejects_another_number_of_channels():
    layer = batch_norm()
    bottom, top = set_up(layer, np.ones((4, 2)))
    bottom[0].reshape(4, 3)
    with pytest.raises(ShapeError, match=r"bottom of 2 channels as at set-up, got \(4, 3\)"):
        layer.reshape(bottom, top)


@pytest.mark.parametrize("shape", [(), (0, 3), (3, 0)], ids=str)
def test_rejects_a_bottom_without_elements(shape):
    with pytest.raises(ShapeError, match=r"\(N, C, \.\.\.\) with elements, got \("):
        run_layer(batch_norm(), np.ones(shape))
