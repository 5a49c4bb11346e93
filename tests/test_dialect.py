"""SSCAFFE_DIALECT: where scnn and BVLC Caffe 1.0 differ. The golden cases hold recorded numbers."""

import numpy as np
import pytest

from sscaffe.blob import Blob
from sscaffe.dialect import VARIABLE
from sscaffe.errors import UnsupportedError
from sscaffe.filler import fill
from sscaffe.proto import caffe_pb2
from sscaffe.random_numbers import RandomNumbers
from sscaffe.testing import check_gradient
from tests.helpers import make_layer, run_layer


@pytest.fixture
def scnn(monkeypatch):
    monkeypatch.setenv(VARIABLE, "scnn")


def test_another_name_is_refused(monkeypatch):
    monkeypatch.setenv(VARIABLE, "skim")
    with pytest.raises(UnsupportedError, match="SSCAFFE_DIALECT: expected caffe or scnn, got 'sk"):
        run_layer(make_layer("type: 'Accuracy'"), np.zeros((1, 2)), np.zeros(1))


@pytest.mark.usefixtures("scnn")
@pytest.mark.parametrize("top_k", [1, 2, 3])
def test_of_equal_scores_that_of_the_larger_class_is_higher(top_k, rng):
    scores, labels = rng.integers(0, 3, (50, 5)).astype(float), rng.integers(0, 5, 50)
    best = [sorted(zip(row, range(5), strict=True), reverse=True)[:top_k] for row in scores]
    found = [label in [k for _, k in pairs] for label, pairs in zip(labels, best, strict=True)]
    got = run_layer(
        make_layer(f"type: 'Accuracy' accuracy_param {{ top_k: {top_k} }}"), scores, labels
    )
    np.testing.assert_allclose(got, np.mean(found))


def test_a_tie_is_a_mistake_by_default():
    assert run_layer(make_layer("type: 'Accuracy'"), np.zeros((4, 2)), np.ones(4)) == 0


@pytest.mark.usefixtures("scnn")
def test_infogain_of_probabilities(rng):
    p, labels = rng.uniform(0.1, 1, (6, 3)), rng.integers(0, 3, 6).astype(float)
    h = rng.uniform(0, 1, (3, 3))
    layer = make_layer("type: 'InfogainLoss'", dtype=np.float64)
    expected = -np.mean([h[int(k)] @ np.log(row) for k, row in zip(labels, p, strict=True)])
    np.testing.assert_allclose(run_layer(layer, p, labels, h), expected)
    check_gradient(
        make_layer("type: 'InfogainLoss'", dtype=np.float64),
        [p, labels, h],
        check_bottom=[True, False, False],
    )


@pytest.mark.usefixtures("scnn")
def test_sigmoid_cross_entropy_ignores_nothing(rng):
    x, t = rng.standard_normal((4, 3)), rng.integers(0, 2, (4, 3)).astype(float)
    text = "type: 'SigmoidCrossEntropyLoss' loss_param { ignore_label: 1 normalization: FULL }"
    expected = np.logaddexp(0, np.where(t == 1, -x, x)).sum() / 4
    np.testing.assert_allclose(run_layer(make_layer(text, dtype=np.float64), x, t), expected)


@pytest.mark.parametrize(
    ("dialect", "line"), [("caffe", [0.5, 1, 0.5]), ("scnn", [0.25, 0.75, 0.75])]
)
def test_the_centre_of_an_odd_bilinear_kernel(dialect, line, monkeypatch):
    monkeypatch.setenv(VARIABLE, dialect)
    blob = Blob((1, 1, 3, 3), np.float64)
    fill(blob, caffe_pb2.FillerParameter(type="bilinear"), RandomNumbers(1))
    np.testing.assert_allclose(blob.const_data[0, 0], np.outer(line, line))
