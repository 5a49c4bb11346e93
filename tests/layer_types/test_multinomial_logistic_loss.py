"""MultinomialLogisticLoss: values by hand, gradients by finite differences."""

import numpy as np
import pytest

from sscaffe.errors import DataError, ShapeError, UnsupportedError
from sscaffe.testing import check_gradient
from tests.helpers import make_layer, run_layer


def logistic_loss(dtype=np.float64):
    return make_layer("type: 'MultinomialLogisticLoss'", dtype=dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_is_the_mean_of_the_negative_logarithms(dtype):
    loss = run_layer(logistic_loss(dtype), [[0.25, 0.75], [0.5, 0.5]], [0, 1])
    assert loss.shape == ()
    np.testing.assert_allclose(loss, (np.log(4) + np.log(2)) / 2, rtol=1e-6)


def test_a_probability_of_0_counts_as_1e_minus_20():
    loss = run_layer(logistic_loss(np.float32), [[0.0, 1.0]], [0])
    np.testing.assert_allclose(loss, 20 * np.log(10), rtol=1e-6)


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 2, 1)], ids=str)
def test_gradient(shape, rng):
    labels = rng.integers(0, 3, shape[0]).astype(float)
    inputs = [rng.uniform(0.1, 0.9, shape), labels]
    check_gradient(logistic_loss(), inputs, check_bottom=[True, False])


def test_rejects():
    with pytest.raises(DataError, match="labels: expected 0 to 1 for 2 classes, got 2"):
        run_layer(logistic_loss(), [[0.5, 0.5]], [2])
    with pytest.raises(ShapeError, match="labels: expected one for each of the 1 predictions"):
        run_layer(logistic_loss(), [[0.5, 0.5]], [0, 1])
    with pytest.raises(ShapeError, match=r"of shape \(N, C\) with elements, got \(\)"):
        run_layer(logistic_loss(), 0.5, [0])


def test_labels_have_no_gradient():
    assert logistic_loss().allow_force_backward(0)
    assert not logistic_loss().allow_force_backward(1)
    with pytest.raises(UnsupportedError, match=r"the labels of Multinomial.* have no gradient"):
        logistic_loss().backward([], [True, True], [])
