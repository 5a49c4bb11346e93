"""SigmoidCrossEntropyLoss: values by hand, gradients by finite differences for every divisor."""

import numpy as np
import pytest

from sscaffe.blob import Blob
from sscaffe.errors import ShapeError, UnsupportedError
from sscaffe.testing import check_gradient
from tests.helpers import blob_of, make_layer, run_layer

# Odds 1:1, 3:1, 1:4 and 9:1.
X = np.log([[1.0, 3.0], [0.25, 9.0]])
T = np.array([[1.0, 0.0], [0.5, 1.0]])
LOSSES = -np.array([np.log(1 / 2), np.log(1 / 4), np.log(1 / 5 * 4 / 5) / 2, np.log(9 / 10)])


def cross_entropy(text="", dtype=np.float64):
    return make_layer(f"type: 'SigmoidCrossEntropyLoss' loss_param {{ {text} }}", dtype=dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_is_divided_by_the_number_of_items(dtype):
    loss = run_layer(cross_entropy(dtype=dtype), X, T)
    assert loss.shape == ()
    np.testing.assert_allclose(loss, LOSSES.sum() / 2, rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "divisor"),
    [
        ("", 2),
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
    targets = [[1, 0], [0.5, -1]]
    loss = run_layer(cross_entropy(f"ignore_label: -1 {text}"), X, targets)
    np.testing.assert_allclose(loss, LOSSES[:3].sum() / divisor)


@pytest.mark.parametrize("ignored", ["", "ignore_label: 1", "ignore_label: -1"])
@pytest.mark.parametrize("mode", ["VALID", "FULL", "BATCH_SIZE", "NONE"])
@pytest.mark.parametrize("shape", [(3,), (3, 4), (2, 3, 2, 2)], ids=str)
def test_gradient(shape, mode, ignored, rng):
    targets = rng.choice([0, 0.3, 1, -1] if "-1" in ignored else [0, 0.3, 1], shape)
    layer = cross_entropy(f"normalization: {mode} {ignored}")
    inputs = [2 * rng.standard_normal(shape), targets.astype(float)]
    check_gradient(layer, inputs, check_bottom=[True, False])


def test_what_is_behind_the_point_of_a_target_does_not_count_for_ignoring():
    loss = run_layer(cross_entropy("ignore_label: 0"), X, T)
    np.testing.assert_allclose(loss, LOSSES[[0, 3]].sum() / 2)


def test_all_ignored_is_no_loss():
    for mode in ("VALID", "FULL"):
        text = f"ignore_label: 1 normalization: {mode}"
        assert run_layer(cross_entropy(text), X, np.ones((2, 2))) == 0


def test_large_scores_neither_overflow_nor_warn():
    layer = cross_entropy(dtype=np.float32)
    bottom, top = [blob_of(x, np.float32) for x in ([[1e4, -1e4]], [[0, 1]])], [Blob(())]
    layer.setup(bottom, top)
    layer.reshape(bottom, top)
    layer.forward(bottom, top)
    assert top[0].host_data == 2e4
    top[0].set_diff(1)
    layer.backward(top, [True, False], bottom)
    np.testing.assert_array_equal(bottom[0].host_diff, [[1, -1]])


def test_loss_weight_scales_the_gradient():
    layer = cross_entropy()
    bottom, top = [blob_of([[0.0]]), blob_of([[1.0]])], [Blob((), np.float64)]
    layer.setup(bottom, top)
    layer.reshape(bottom, top)
    layer.forward(bottom, top)
    top[0].set_diff(3)
    layer.backward(top, [True, False], bottom)
    assert bottom[0].host_diff == -1.5


def test_rejects():
    with pytest.raises(ShapeError, match=r"as many items and elements, got \(2, 2\) and \(4,\)"):
        run_layer(cross_entropy(), X, T.reshape(4))
    with pytest.raises(UnsupportedError, match=r"normalization: expected FULL, .* got PRE_FIXED"):
        run_layer(cross_entropy("normalization: PRE_FIXED"), X, T)


def test_targets_have_no_gradient():
    assert cross_entropy().allow_force_backward(0)
    assert not cross_entropy().allow_force_backward(1)
    with pytest.raises(UnsupportedError, match=r"the targets of Sigmoid.* have no gradient"):
        cross_entropy().backward([], [True, True], [])
