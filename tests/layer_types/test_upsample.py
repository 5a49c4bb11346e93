"""Upsample: values by hand, the way back from a pooling, gradients, and what it refuses."""

import numpy as np
import pytest

from sscaffe.errors import DataError, ShapeError
from sscaffe.testing import check_gradient
from tests.helpers import make_layer, run_layer, spread_out


def upsample(text=""):
    return make_layer(f"type: 'Upsample' upsample_param {{ {text} }}")


def test_values_are_repeated():
    x = np.array([[[[1.0, 2], [3, 4]]]])
    got = run_layer(upsample("scale_h: 1 scale_w: 3"), x)
    np.testing.assert_array_equal(got[0, 0], [[1, 1, 1, 2, 2, 2], [3, 3, 3, 4, 4, 4]])


def test_values_go_back_to_where_a_pooling_found_them(rng):
    x = spread_out((2, 3, 4, 6), rng)
    pool = make_layer("type: 'Pooling' pooling_param { kernel_size: 2 stride: 2 }")
    top, mask = run_layer(pool, x, tops=2)
    got = run_layer(upsample("scale: 2"), top, mask)
    kept = got != 0
    assert kept.sum() == top.size
    np.testing.assert_array_equal(got[kept], x[kept])


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("", (8, 10)),
        ("scale: 3", (12, 15)),
        ("pad_out_h: true", (7, 10)),
        ("pad_out_w: true scale: 3", (12, 14)),
        ("upsample_h: 9 upsample_w: 11", (9, 11)),
    ],
)
def test_gradient_with_a_mask(text, size, rng):
    x = rng.standard_normal((2, 2, 4, 5))
    mask = np.stack([rng.permutation(size[0] * size[1])[:20] for _ in range(4)])
    inputs = [x, mask.reshape(x.shape).astype(float)]
    assert run_layer(upsample(text), *inputs).shape == (2, 2, *size)
    check_gradient(upsample(text), inputs, check_bottom=[True, False])


@pytest.mark.parametrize("text", ["", "scale: 3", "scale_h: 1 scale_w: 2"])
def test_gradient(text, rng):
    check_gradient(upsample(text), [rng.standard_normal((2, 2, 3, 4))])


@pytest.mark.parametrize(
    ("text", "shapes", "message"),
    [
        ("scale_h: 2", [(1, 1, 2, 2)], "scale_h, scale_w: expected both or neither"),
        ("scale: 2 scale_h: 2 scale_w: 2", [(1, 1, 2, 2)], "scale_h: scale is set as well"),
        ("scale: 0", [(1, 1, 2, 2)], "scale: expected 1 or more"),
        ("upsample_h: 4", [(1, 1, 2, 2)], "upsample_h: expected a second bottom, the mask"),
        ("", [(1, 1, 2, 2), (1, 1, 2, 3)], "bottom 1: expected"),
        ("", [(1, 2, 2)], r"shape \(N, C, H, W\)"),
    ],
)
def test_refuses(text, shapes, message):
    with pytest.raises(ShapeError, match=message):
        run_layer(upsample(text), *map(np.zeros, shapes))


@pytest.mark.parametrize("place", [-1, 16])
def test_refuses_places_outside_of_the_image(place):
    with pytest.raises(DataError, match="bottom 1: expected places among the 16 of each channel"):
        run_layer(upsample(), np.zeros((1, 1, 2, 2)), np.full((1, 1, 2, 2), place))
