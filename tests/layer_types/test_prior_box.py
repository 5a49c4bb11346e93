"""PriorBox: values by hand, and what it refuses."""

import numpy as np
import pytest

from sscaffe.errors import ShapeError
from tests.helpers import make_layer, run_layer


def prior_box(text):
    return make_layer(f"type: 'PriorBox' prior_box_param {{ {text} }}")


def boxes(text, feature=(1, 1, 2, 3), image=(1, 3, 40, 60)):
    got = run_layer(prior_box(text), np.zeros(feature), np.zeros(image))
    assert got.shape[:2] == (1, 2)
    return got.reshape(2, *feature[2:], -1, 4)


def test_a_square_around_each_place():
    (got, variances) = boxes("min_size: 10")
    assert got.shape == (2, 3, 1, 4)
    np.testing.assert_allclose(got[0, 0, 0], [5 / 60, 5 / 40, 15 / 60, 15 / 40], rtol=1e-6)
    np.testing.assert_allclose(got[1, 2, 0], [45 / 60, 25 / 40, 55 / 60, 35 / 40], rtol=1e-6)
    np.testing.assert_allclose(variances, 0.1, rtol=1e-6)


def test_sizes_of_the_boxes_of_one_place():
    got, _ = boxes("min_size: 10 max_size: 40 aspect_ratio: 4 aspect_ratio: 1 aspect_ratio: 4")
    sizes = (got[0, 0, :, 2:] - got[0, 0, :, :2]) * [60, 40]
    np.testing.assert_allclose(sizes, [[10, 10], [20, 20], [20, 5], [5, 20]], rtol=1e-5)
    got, _ = boxes("min_size: 10 min_size: 16 aspect_ratio: 4 flip: false")
    sizes = (got[0, 0, :, 2:] - got[0, 0, :, :2]) * [60, 40]
    np.testing.assert_allclose(sizes, [[10, 10], [20, 5], [16, 16], [32, 8]], rtol=1e-5)


def test_step_offset_and_image_size_may_be_given():
    got, _ = boxes("min_size: 10 step_h: 8 step_w: 16 offset: 0.25 img_h: 100 img_w: 200")
    np.testing.assert_allclose(got[1, 1, 0], [0.075, 0.05, 0.125, 0.15], rtol=1e-5)
    got, _ = boxes("min_size: 10 step: 8 img_size: 100")
    np.testing.assert_allclose(got[1, 1, 0], [0.07, 0.07, 0.17, 0.17], rtol=1e-5)


def test_clip_and_variances():
    text = "min_size: 50 variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.3"
    outside, _ = boxes(text)
    assert outside.min() < 0
    got, variances = boxes(f"{text} clip: true")
    np.testing.assert_array_equal(got, outside.clip(0, 1))
    np.testing.assert_allclose(variances[1, 2, 0], [0.1, 0.1, 0.2, 0.3], rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "min_size: expected one or more, got none"),
        ("min_size: 0", "min_size: expected more than 0"),
        ("min_size: 4 max_size: 4", "max_size: expected more than min_size 4, got 4"),
        ("min_size: 4 min_size: 5 max_size: 9", "max_size: expected none or 2"),
        ("min_size: 4 variance: 1 variance: 2", "variance: expected 1 or 4, got 2"),
        ("min_size: 4 img_size: 3 img_h: 4", "img_size: expected either img_size or img_h and"),
        ("min_size: 4 step_h: 3", "step: expected more than 0 for height and width"),
    ],
)
def test_refuses(text, message):
    with pytest.raises(ShapeError, match=message):
        boxes(text)


def test_refuses_bottoms_that_are_not_images():
    with pytest.raises(ShapeError, match=r"expected bottoms of shape \(N, C, H, W\)"):
        run_layer(prior_box("min_size: 4"), np.zeros((1, 2)), np.zeros((1, 1, 2, 2)))
