"""Im2col: values by hand, gradients, and what it refuses."""

import numpy as np
import pytest

from sscaffe.errors import ShapeError
from sscaffe.testing import check_gradient
from tests.helpers import make_layer, run_layer


def im2col(text):
    return make_layer(f"type: 'Im2col' convolution_param {{ {text} }}")


def test_values_by_hand():
    got = run_layer(im2col("kernel_size: 2"), np.arange(6.0).reshape(1, 1, 2, 3))
    np.testing.assert_array_equal(got[0, :, 0], [[0, 1], [1, 2], [3, 4], [4, 5]])


@pytest.mark.parametrize(
    ("text", "shape", "top_shape"),
    [
        ("kernel_size: 3 pad: 1 stride: 2", (2, 3, 5, 4), (2, 27, 3, 2)),
        ("kernel_h: 2 kernel_w: 1 dilation: 2", (2, 3, 5, 4), (2, 6, 3, 4)),
        ("kernel_size: 2", (2, 3, 5), (2, 6, 4)),
        ("kernel_size: 2 force_nd_im2col: true", (2, 2, 3, 2, 4), (2, 16, 2, 1, 3)),
        ("kernel_size: 2 axis: 2", (2, 2, 3, 4, 3), (2, 2, 12, 3, 2)),
        ("kernel_size: 2 axis: -3", (3, 4, 3), (12, 3, 2)),
    ],
)
def test_shapes_and_gradients(text, shape, top_shape, rng):
    x = rng.standard_normal(shape)
    assert run_layer(im2col(text), x).shape == top_shape
    check_gradient(im2col(text), [x])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "kernel_size: expected one number, or kernel_h and kernel_w, got none"),
        ("kernel_size: 2 axis: 3", "axis: expected spatial axes after it"),
        ("kernel_size: 6", "does not fit into a bottom"),
        ("kernel_size: 0", "kernel_size: expected 1 or more"),
    ],
)
def test_refuses(text, message):
    with pytest.raises(ShapeError, match=message):
        run_layer(im2col(text), np.zeros((1, 1, 4, 4)))
