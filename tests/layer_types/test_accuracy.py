"""Accuracy: counted by hand, and against a plain loop."""

import numpy as np
import pytest

from sscaffe.errors import DataError, ShapeError, UnsupportedError
from tests.helpers import make_layer, run_layer

SCORES = [[3.0, 1.0, 2.0], [0.0, 2.0, 1.0], [1.0, 2.0, 3.0], [5.0, 4.0, 3.0]]


def accuracy(text="", dtype=np.float64):
    return make_layer(f"type: 'Accuracy' accuracy_param {{ {text} }}", dtype=dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("top_k", "expected"), [(0, 0), (1, 0.25), (2, 0.75), (3, 1)])
def test_share_of_labels_among_the_highest(top_k, expected, dtype):
    # The labels' places are 1, 2, 2 and 3.
    share = run_layer(accuracy(f"top_k: {top_k}", dtype), SCORES, [0, 2, 1, 2])
    assert share.shape == ()
    assert share == expected


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("top_k", [1, 2])
def test_matches_a_plain_loop(axis, top_k, rng):
    scores = rng.standard_normal((4, 5, 6))
    lined_up = np.moveaxis(scores, axis, -1)
    labels = rng.integers(0, lined_up.shape[-1], lined_up.shape[:-1])
    right = [
        labels[place] in np.argsort(lined_up[place])[-top_k:] for place in np.ndindex(labels.shape)
    ]
    share = run_layer(accuracy(f"axis: {axis} top_k: {top_k}"), scores, labels)
    np.testing.assert_allclose(share, np.mean(right))


def test_a_tie_is_a_mistake():
    scores = [[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]]
    assert run_layer(accuracy(), scores, [0, 1]) == 0
    assert run_layer(accuracy("top_k: 2"), scores, [0, 1]) == 1


@pytest.mark.parametrize("scores", [[[np.nan] * 3], [[1.0, np.nan, 0.0]], [[np.nan, 1.0, 0.0]]])
def test_a_score_that_is_no_number_is_a_mistake(scores):
    assert run_layer(accuracy(), scores, [0]) == 0


def test_ignored_labels_do_not_count():
    assert run_layer(accuracy("ignore_label: 255"), SCORES, [0, 2, 255, 255]) == 0.5
    assert run_layer(accuracy("ignore_label: 0"), SCORES, [0, 1, 0, 0]) == 1


def test_of_no_labels_it_is_0():
    share, each = run_layer(accuracy("ignore_label: 1"), SCORES, [1, 1, 1, 1], tops=2)
    assert share == 0
    np.testing.assert_array_equal(each, [0, 0, 0])
    assert run_layer(accuracy(), np.zeros((0, 3)), np.zeros(0)) == 0


def test_second_top_has_the_accuracy_of_each_class():
    scores, labels = [*SCORES, [9.0, 8.0, 7.0]], [0, 2, 2, 0, 2]
    share, each = run_layer(accuracy(), scores, labels, tops=2)
    np.testing.assert_allclose(share, 0.6)
    np.testing.assert_allclose(each, [1, 0, 1 / 3])


def test_rejects_more_than_there_are_classes():
    with pytest.raises(ShapeError, match=r"top_k: expected at most .* classes, 3, got 4"):
        run_layer(accuracy("top_k: 4"), SCORES, [0, 0, 0, 0])


def test_rejects_another_number_of_labels():
    message = r"labels: expected one for each of the 4 predictions of \(4, 3\), got .* \(3,\)"
    with pytest.raises(ShapeError, match=message):
        run_layer(accuracy(), SCORES, [0, 0, 0])


@pytest.mark.parametrize("label", [3, -1])
def test_rejects_a_label_that_is_no_class(label):
    with pytest.raises(DataError, match=rf"labels: expected 0 to 2 for 3 classes, got {label}$"):
        run_layer(accuracy(), SCORES, [0, 0, label, 0])


def test_has_no_gradient():
    layer = accuracy()
    assert not any(layer.allow_force_backward(index) for index in range(2))
    layer.backward([], [False, False], [])
    with pytest.raises(UnsupportedError, match=r"loss_weight: Accuracy has no gradient"):
        layer.backward([], [True, False], [])
