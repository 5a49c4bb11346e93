"""HingeLoss: values by hand, gradients by finite differences."""

import numpy as np
import pytest

from sscaffe.errors import DataError, ShapeError, UnsupportedError
from sscaffe.testing import check_gradient
from tests.helpers import make_layer, run_layer

SCORES, LABELS = [[2.0, -3.0, 0.5], [0.25, 0.0, 1.0]], [0, 2]


def hinge(norm="L1", dtype=np.float64):
    return make_layer(f"type: 'HingeLoss' hinge_loss_param {{ norm: {norm} }}", dtype=dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_by_hand(dtype):
    # Excesses: 0, 0, 1.5 of the first item; 1.25, 1, 0 of the second.
    loss = run_layer(hinge(dtype=dtype), SCORES, LABELS)
    assert loss.shape == ()
    assert loss == (1.5 + 2.25) / 2
    assert run_layer(hinge("L2", dtype), SCORES, LABELS) == (2.25 + 1.5625 + 1) / 2


@pytest.mark.parametrize("norm", ["L1", "L2"])
@pytest.mark.parametrize("shape", [(5, 4), (3, 2, 2, 1)], ids=str)
def test_gradient(shape, norm, rng):
    # Never near 1 or -1, where the derivative jumps.
    scores = rng.choice([-2.3, -1.4, -0.6, 0.1, 0.8, 1.7], shape)
    labels = rng.integers(0, 4, shape[0]).astype(float)
    check_gradient(hinge(norm), [scores, labels], check_bottom=[True, False])


@pytest.mark.parametrize("label", [3, -1])
def test_rejects_a_label_that_is_no_class(label):
    with pytest.raises(DataError, match=f"labels: expected 0 to 2 for 3 classes, got {label}"):
        run_layer(hinge(), SCORES, [0, label])


def test_rejects_other_shapes():
    with pytest.raises(ShapeError, match=r"labels: expected one for each of the 2 predictions"):
        run_layer(hinge(), SCORES, [0, 1, 2])
    with pytest.raises(ShapeError, match=r"scores of shape \(N, C\) with elements, got \(0, 3\)"):
        run_layer(hinge(), np.zeros((0, 3)), [])


def test_labels_have_no_gradient():
    assert hinge().allow_force_backward(0)
    assert not hinge().allow_force_backward(1)
    with pytest.raises(UnsupportedError, match="the labels of HingeLoss have no gradient"):
        hinge().backward([], [True, True], [])
