"""Interp: values by hand, gradients, and what it refuses."""

import numpy as np
import pytest

from sscaffe.errors import ShapeError
from sscaffe.testing import check_gradient
from tests.helpers import make_layer, run_layer


def interp(text=""):
    return make_layer(f"type: 'Interp' interp_param {{ {text} }}")


def test_corners_stay_corners():
    x = np.array([[[[0.0, 3], [6, 9]]]])
    got = run_layer(interp("height: 3 width: 4"), x)
    np.testing.assert_allclose(got[0, 0], [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]])


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("height: 4 width: 9", (4, 9)),
        ("height: 1 width: 1", (1, 1)),
        ("zoom_factor: 3", (13, 16)),
        ("shrink_factor: 2", (3, 3)),
        ("shrink_factor: 2 zoom_factor: 3", (7, 7)),
        ("zoom_factor: 2 pad_beg: -1 pad_end: -2", (3, 5)),
        ("height: 5 width: 6", (5, 6)),
    ],
)
def test_shapes_and_gradients(text, size, rng):
    x = rng.standard_normal((2, 2, 5, 6))
    got = run_layer(interp(text), x)
    assert got.shape == (2, 2, *size)
    if size == (5, 6):
        np.testing.assert_allclose(got, x)
    check_gradient(interp(text), [x])


def test_the_size_of_a_second_bottom(rng):
    x, like = rng.standard_normal((2, 2, 3, 4)), np.zeros((1, 1, 7, 5))
    assert run_layer(interp(), x, like).shape == (2, 2, 7, 5)
    check_gradient(interp(), [x, like], check_bottom=[True, False])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "height: expected one of height and width, .* got none of them"),
        ("height: 3 width: 3 zoom_factor: 2", "got 2 of them"),
        ("height: 3", "height, width: expected both or neither"),
        ("zoom_factor: 0", "zoom_factor: expected 1 or more"),
        ("height: 3 width: 3 pad_beg: 1", "pad_beg: expected 0 or less, got 1"),
        ("height: 3 width: 3 pad_beg: -9", "height: expected a part of"),
        ("height: 0 width: 3", "height: expected a part of"),
    ],
)
def test_refuses(text, message):
    with pytest.raises(ShapeError, match=message):
        run_layer(interp(text), np.zeros((1, 1, 4, 4)))
