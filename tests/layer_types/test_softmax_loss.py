"""SoftmaxWithLoss: values by hand, gradients by finite differences for every divisor."""

import numpy as np
import pytest

from sscaffe.blob import Blob
from sscaffe.errors import DataError, ShapeError, UnsupportedError
from sscaffe.testing import check_gradient
from tests.helpers import blob_of, make_layer, run_layer

SCORES = np.log([[1.0, 3.0], [1.0, 1.0], [4.0, 1.0], [1.0, 9.0]])
LABELS = [1.0, 0.0, 1.0, 0.0]
LOSSES = np.log([4 / 3, 2, 5, 10])


def loss_layer(text="", axis=1, dtype=np.float64):
    return make_layer(
        f"type: 'SoftmaxWithLoss' loss_param {{ {text} }} softmax_param {{ axis: {axis} }}",
        dtype=dtype,
    )


def backward(layer, scores, labels, weight=1.0):
    bottom, top = [blob_of(scores), blob_of(labels)], [Blob((), layer.dtype)]
    layer.setup(bottom, top)
    layer.reshape(bottom, top)
    layer.forward(bottom, top)
    top[0].set_diff(weight)
    layer.backward(top, [True, False], bottom)
    return bottom[0].host_diff


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_is_the_mean_of_the_negative_log_probabilities(dtype):
    loss = run_layer(loss_layer(dtype=dtype), SCORES, LABELS)
    assert loss.shape == ()
    np.testing.assert_allclose(loss, LOSSES.mean(), rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "divisor"),
    [
        ("", 3),
        ("normalization: VALID", 3),
        ("normalization: FULL", 4),
        ("normalization: BATCH_SIZE", 2),
        ("normalization: NONE", 1),
        ("normalize: true", 3),
        ("normalize: false", 2),
        ("normalize: false normalization: FULL", 4),
    ],
)
def test_divisor(text, divisor):
    # Two images of two places each; the last place is ignored.
    scores = SCORES.reshape(2, 2, 2).transpose(0, 2, 1)
    labels = np.array([[1.0, 0.0], [1.0, 255.0]])
    layer = loss_layer(f"ignore_label: 255 {text}")
    np.testing.assert_allclose(run_layer(layer, scores, labels), LOSSES[:3].sum() / divisor)


@pytest.mark.parametrize("ignored", ["", "ignore_label: 2", "ignore_label: -1"])
@pytest.mark.parametrize("mode", ["VALID", "FULL", "BATCH_SIZE", "NONE"])
@pytest.mark.parametrize(
    ("shape", "axis"),
    [((4, 3), 1), ((3, 3, 2, 2), 1), ((2, 2, 3), 2), ((2, 3, 3), -1), ((3, 5), 0)],
)
def test_gradient(shape, axis, mode, ignored, rng):
    places = [size for i, size in enumerate(shape) if i != axis % len(shape)]
    labels = rng.integers(0, 3, places).astype(float)
    if "-1" in ignored:
        labels.flat[1] = -1
    layer = loss_layer(f"normalization: {mode} {ignored}", axis)
    check_gradient(layer, [rng.standard_normal(shape), labels], check_bottom=[True, False])


@pytest.mark.parametrize("shape", [(4,), (4, 1), (4, 1, 1, 1)], ids=str)
def test_labels_may_have_any_shape_of_their_number(shape):
    loss = run_layer(loss_layer(), SCORES, np.reshape(LABELS, shape))
    np.testing.assert_allclose(loss, LOSSES.mean())


def test_loss_weight_scales_the_gradient():
    once = backward(loss_layer(), SCORES, LABELS)
    np.testing.assert_allclose(once[0], [0.25 / 4, -0.25 / 4])
    np.testing.assert_allclose(backward(loss_layer(), SCORES, LABELS, weight=3.0), 3 * once)


@pytest.mark.parametrize("mode", ["VALID", "FULL", "BATCH_SIZE", "NONE"])
def test_all_ignored_is_no_loss(mode):
    text = f"ignore_label: 1 normalization: {mode}"
    assert run_layer(loss_layer(text), SCORES, np.ones(4)) == 0
    assert not backward(loss_layer(text), SCORES, np.ones(4)).any()


def test_second_top_has_the_probabilities():
    loss, probabilities = run_layer(loss_layer(), SCORES, LABELS, tops=2)
    np.testing.assert_allclose(loss, LOSSES.mean())
    expected = np.exp(SCORES) / np.exp(SCORES).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities, expected)


def test_a_probability_of_0_has_a_finite_loss():
    loss = run_layer(loss_layer(dtype=np.float32), [[0.0, 1000.0]], [0.0])
    np.testing.assert_allclose(loss, -np.log(np.finfo(np.float32).tiny), rtol=1e-6)


@pytest.mark.parametrize("label", [2, -1, 255, np.nan, np.inf])
def test_rejects_a_label_that_is_no_class(label):
    message = rf"labels: expected 0 to 1 for 2 classes, got {label:g}$"
    with pytest.raises(DataError, match=message):
        run_layer(loss_layer(), SCORES, [1, label, 0, 1])
    with pytest.raises(DataError, match=message):
        run_layer(loss_layer("ignore_label: 7"), SCORES, [1, 7, label, 1])


def test_rejects_another_number_of_labels():
    message = r"labels: expected one for each of the 4 predictions of \(4, 2\), got .* \(2, 1\)"
    with pytest.raises(ShapeError, match=message):
        run_layer(loss_layer(), SCORES, np.zeros((2, 1)))


def test_rejects_pre_fixed_normalization():
    with pytest.raises(UnsupportedError, match=r"normalization: expected FULL, .* got PRE_FIXED"):
        run_layer(loss_layer("normalization: PRE_FIXED"), SCORES, LABELS)


def test_labels_have_no_gradient():
    layer = loss_layer()
    assert layer.allow_force_backward(0)
    assert not layer.allow_force_backward(1)
    with pytest.raises(UnsupportedError, match=r"propagate_down: the labels .* no gradient"):
        layer.backward([], [True, True], [])
