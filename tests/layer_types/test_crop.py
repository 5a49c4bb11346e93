"""Crop: values by hand, gradients, and what it refuses."""

import numpy as np
import pytest

from sscaffe.blob import Blob
from sscaffe.errors import ShapeError
from sscaffe.testing import check_gradient
from tests.helpers import blob_of, make_layer, run_layer

X = np.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)


def crop(text=""):
    return make_layer(f"type: 'Crop' crop_param {{ {text} }}")


@pytest.mark.parametrize(
    ("text", "wanted", "expected"),
    [
        ("", (7, 9, 2, 3), X[:, :, :2, :3]),
        ("offset: 1", (7, 9, 2, 3), X[:, :, 1:3, 1:4]),
        ("offset: 2 offset: 0", (7, 9, 2, 3), X[:, :, 2:4, :3]),
        ("axis: 1 offset: 1 offset: 0 offset: 2", (7, 2, 2, 3), X[:, 1:3, :2, 2:5]),
        ("axis: -1 offset: 1", (7, 2, 2, 3), X[..., 1:4]),
        ("axis: 0", (1, 2, 2, 3), X[:1, :2, :2, :3]),
    ],
)
def test_values_and_gradients(text, wanted, expected):
    np.testing.assert_array_equal(run_layer(crop(text), X, np.zeros(wanted)), expected)
    check_gradient(crop(text), [X / 10, np.zeros(wanted)], check_bottom=[True, False])


def test_the_second_bottom_has_no_gradient():
    bottom, top = [blob_of(X), blob_of(np.zeros((1, 1, 2, 2)))], [Blob((), np.float64)]
    layer = crop()
    layer.reshape(bottom, top)
    layer.forward(bottom, top)
    bottom[1].set_diff(3)
    layer.backward(top, [False, True], bottom)
    assert not bottom[1].host_diff.any()


@pytest.mark.parametrize(
    ("text", "wanted", "message"),
    [
        ("offset: 3", (1, 1, 2, 2), "offset: axis 2 of .* has no 2 elements from 3 on"),
        ("", (1, 1, 2, 9), "offset: axis 3 of .* has no 9 elements from 0 on"),
        ("offset: 1 offset: 1 offset: 1", (1, 1, 2, 2), "offset: expected 1 number, or 2 for"),
        ("axis: 4", (1, 1, 2, 2), "axis: expected -4 to 3"),
        ("", (1, 1, 2), "bottom: expected as many axes as in"),
    ],
)
def test_refuses(text, wanted, message):
    with pytest.raises(ShapeError, match=message):
        run_layer(crop(text), X, np.zeros(wanted))
