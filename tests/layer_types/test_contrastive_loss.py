"""ContrastiveLoss: values worked by hand, gradients by finite differences."""

import numpy as np
import pytest

from sscaffe.errors import ShapeError
from sscaffe.testing import check_gradient
from tests.helpers import make_layer, run_layer

MARGIN = "type: 'ContrastiveLoss' contrastive_loss_param { margin: 6 }"
LEGACY = "type: 'ContrastiveLoss' contrastive_loss_param { margin: 6 legacy_version: true }"
A, B = np.array([[3.0, 4.0], [1.0, 0.0]]), np.array([[0.0, 0.0], [0.0, 0.0]])


@pytest.mark.parametrize(
    ("text", "similar", "expected"),
    [
        (MARGIN, [1, 1], (25 + 1) / 4),
        (MARGIN, [0, 0], (1 + 25) / 4),
        (MARGIN, [0, 1], (1 + 1) / 4),
        (LEGACY, [0, 0], (0 + 5) / 4),
    ],
)
def test_values(text, similar, expected):
    assert run_layer(make_layer(text), A, B, np.array(similar)) == pytest.approx(expected)


@pytest.mark.parametrize("text", [MARGIN, LEGACY])
def test_gradient(text, rng):
    a, b = rng.standard_normal((5, 3)), rng.standard_normal((5, 3))
    # The distance in the denominator has 1e-4 added, so the gradient is off by as much.
    check_gradient(
        make_layer(text),
        [a, b, np.array([1.0, 0, 1, 0, 0])],
        check_bottom=[True, True, False],
        rtol=2e-4,
    )


def test_refuses_features_of_two_shapes():
    with pytest.raises(ShapeError, match=r"two features of one shape \(N, C\)"):
        run_layer(make_layer(MARGIN), np.zeros((2, 3)), np.zeros((2, 4)), np.zeros(2))


def test_refuses_the_wrong_number_of_similarities():
    with pytest.raises(ShapeError, match="one similarity for each of 2 pairs"):
        run_layer(make_layer(MARGIN), A, B, np.zeros(3))


def test_features_may_have_axes_of_size_1_after_them(rng):
    a, b, similar = rng.standard_normal((3, 2)), rng.standard_normal((3, 2)), np.array([1, 0, 0])
    flat = run_layer(make_layer(MARGIN), a, b, similar)
    assert run_layer(make_layer(MARGIN), a[..., None, None], b, similar) == flat
