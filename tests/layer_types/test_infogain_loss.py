"""InfogainLoss: values by hand, gradients by finite differences for every divisor."""

import numpy as np
import pytest

from sscaffe.errors import DataError, ShapeError, UnsupportedError, WeightsError
from sscaffe.layer_types import create_layer
from sscaffe.serialized import array_to_blobproto, write_binary
from sscaffe.testing import check_gradient
from tests.helpers import layer_param, make_layer, run_layer

SCORES = np.log([[1.0, 3.0], [1.0, 1.0], [4.0, 1.0], [1.0, 9.0]])
LABELS = [1.0, 0.0, 1.0, 0.0]
H = np.array([[1.0, 0.5], [0.0, 2.0]])
P = np.array([[0.25, 0.75], [0.5, 0.5], [0.8, 0.2], [0.1, 0.9]])
LOSSES = -(H[[1, 0, 1, 0]] * np.log(P)).sum(axis=1)


def infogain(text="", axis=1, dtype=np.float64):
    return make_layer(
        f"type: 'InfogainLoss' loss_param {{ {text} }} infogain_loss_param {{ axis: {axis} }}",
        dtype=dtype,
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(2, 2), (1, 1, 2, 2), (4,)])
def test_by_hand(shape, dtype):
    loss = run_layer(infogain(dtype=dtype), SCORES, LABELS, H.reshape(shape))
    assert loss.shape == ()
    np.testing.assert_allclose(loss, LOSSES.mean(), rtol=1e-6)


def test_with_the_identity_it_is_softmax_with_loss(rng):
    scores, labels = rng.standard_normal((6, 4)), rng.integers(0, 4, 6)
    np.testing.assert_allclose(
        run_layer(infogain(), scores, labels, np.eye(4)),
        run_layer(make_layer("type: 'SoftmaxWithLoss'"), scores, labels),
    )


def test_h_from_a_file(tmp_path):
    write_binary(tmp_path / "h.binaryproto", array_to_blobproto(H.reshape(1, 1, 2, 2)))
    text = "type: 'InfogainLoss' infogain_loss_param { source: 'h.binaryproto' }"
    layer = create_layer(layer_param(text), dtype=np.float64, root=str(tmp_path))
    np.testing.assert_allclose(run_layer(layer, SCORES, LABELS), LOSSES.mean())


@pytest.mark.parametrize(
    ("text", "divisor"),
    [
        ("", 3),
        ("normalization: VALID", 3),
        ("normalization: FULL", 4),
        ("normalization: BATCH_SIZE", 2),
        ("normalization: NONE", 1),
    ],
)
def test_divisor(text, divisor):
    # Two images of two places each; the last place is ignored.
    scores = SCORES.reshape(2, 2, 2).transpose(0, 2, 1)
    layer = infogain(f"ignore_label: 255 {text}")
    loss = run_layer(layer, scores, [[1.0, 0.0], [1.0, 255.0]], H)
    np.testing.assert_allclose(loss, LOSSES[:3].sum() / divisor)


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
    inputs = [rng.standard_normal(shape), labels, rng.uniform(0, 1, (3, 3))]
    layer = infogain(f"normalization: {mode} {ignored}", axis)
    check_gradient(layer, inputs, check_bottom=[True, False, False])


def test_second_top_has_the_probabilities():
    loss, probabilities = run_layer(infogain(), SCORES, LABELS, H, tops=2)
    np.testing.assert_allclose(loss, LOSSES.mean())
    np.testing.assert_allclose(probabilities, P)


def test_a_probability_of_0_counts_as_1e_minus_20():
    loss = run_layer(infogain(dtype=np.float32), [[0.0, 1000.0]], [0], [[1, 0], [0, 0]])
    np.testing.assert_allclose(loss, 20 * np.log(10), rtol=1e-6)


def test_all_ignored_is_no_loss():
    assert run_layer(infogain("ignore_label: 1"), SCORES, np.ones(4), H) == 0


def test_rejects(tmp_path):
    with pytest.raises(DataError, match="labels: expected 0 to 1 for 2 classes, got 2"):
        run_layer(infogain(), SCORES, [2, 1, 1, 1], H)
    with pytest.raises(ShapeError, match="labels: expected one for each of the 4 predictions"):
        run_layer(infogain(), SCORES, [0], H)
    with pytest.raises(ShapeError, match=r"expected 2 \* 2 elements in H .* got \(3, 3\)"):
        run_layer(infogain(), SCORES, LABELS, np.eye(3))
    with pytest.raises(ShapeError, match=r"source: expected the file of H, .* got neither"):
        run_layer(infogain(), SCORES, LABELS)
    text = f"type: 'InfogainLoss' infogain_loss_param {{ source: '{tmp_path}/none' }}"
    with pytest.raises(WeightsError, match="none: "):
        run_layer(make_layer(text), SCORES, LABELS)
    with pytest.raises(UnsupportedError, match=r"normalization: expected FULL, .* got PRE_FIXED"):
        run_layer(infogain("normalization: PRE_FIXED"), SCORES, LABELS, H)


@pytest.mark.parametrize("flags", [[True, True, False], [True, False, True]])
def test_labels_and_h_have_no_gradient(flags):
    layer = infogain()
    assert [layer.allow_force_backward(i) for i in range(3)] == [True, False, False]
    with pytest.raises(UnsupportedError, match="labels and H of InfogainLoss have no gradient"):
        layer.backward([], flags, [])
