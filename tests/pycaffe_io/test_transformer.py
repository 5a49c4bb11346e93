"""io.Transformer: from images to inputs, and back."""

import numpy as np
import pytest

from sscaffe.io import Transformer, resize_image


@pytest.fixture
def transformer():
    t = Transformer({"data": (10, 3, 4, 5)})
    t.set_transpose("data", (2, 0, 1))
    return t


def test_the_order_of_steps(transformer, rng):
    image = rng.random((4, 5, 3)).astype(np.float32)
    before = image.copy()
    mean = np.array([10.0, 20, 30])
    transformer.set_channel_swap("data", (1, 2, 0))
    transformer.set_raw_scale("data", 255)
    transformer.set_mean("data", mean)
    transformer.set_input_scale("data", 0.5)
    made = transformer.preprocess("data", image)
    wanted = (image.transpose(2, 0, 1)[[1, 2, 0]] * 255 - mean[:, None, None]) * 0.5
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, wanted, rtol=1e-5)
    np.testing.assert_array_equal(image, before)
    for data in (made, made[np.newaxis]):
        np.testing.assert_allclose(transformer.deprocess("data", data), image, atol=1e-6)


def test_images_are_resized(transformer, rng):
    image = rng.random((9, 7, 3))
    wanted = resize_image(image.astype(np.float32), (4, 5)).transpose(2, 0, 1)
    np.testing.assert_array_equal(transformer.preprocess("data", image), wanted)


def test_one_channel(rng):
    t = Transformer({"data": (1, 1, 4, 5)})
    image = rng.random((4, 5, 1)).astype(np.float32)
    assert t.deprocess("data", image.transpose(2, 0, 1)).shape == (4, 5)
    t.set_transpose("data", (2, 0, 1))
    t.set_mean("data", rng.random((4, 5)))
    made = t.preprocess("data", image)
    assert made.shape == (1, 4, 5)
    np.testing.assert_allclose(t.deprocess("data", made[None]), image, atol=1e-6)


def test_a_mean_image_of_another_size(transformer, rng):
    mean = rng.random((3, 8, 10))
    transformer.set_mean("data", mean)
    wanted = resize_image(mean.transpose(1, 2, 0), (4, 5)).transpose(2, 0, 1)
    np.testing.assert_array_equal(transformer.mean["data"], wanted)
    transformer.set_mean("data", np.ones((3, 2, 2)))
    np.testing.assert_array_equal(transformer.mean["data"], np.ones((3, 4, 5)))


@pytest.mark.parametrize(
    ("what", "value", "words"),
    [
        ("transpose", (1, 0), r"the 3 axes of an image, got \(1, 0\)"),
        ("channel_swap", (1, 0), r"all 3 channels of the input, got \(1, 0\)"),
        ("mean", np.zeros(2), r"expected shape \(3,\) or \(3, 4, 5\), got \(2,\)"),
        ("mean", np.zeros((4, 5)), r"got \(1, 4, 5\)"),
    ],
    ids=str,
)
def test_what_does_not_fit(transformer, what, value, words):
    with pytest.raises(ValueError, match=words):
        getattr(transformer, f"set_{what}")("data", value)


def test_other_inputs_and_images(transformer):
    with pytest.raises(ValueError, match="in_: expected one of data, got 'image'"):
        transformer.preprocess("image", np.zeros((4, 5, 3)))
    transformer.set_channel_swap("data", (2, 1, 0))
    with pytest.raises(ValueError, match="expected 3 channels, got 1"):
        transformer.preprocess("data", np.zeros((4, 5, 1)))
