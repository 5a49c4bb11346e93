"""Transformation of images in the core; tests/data/test_transformer.py has the definition."""

import numpy as np
import pytest

from sscaffe import _core

F = np.float32


@pytest.mark.usefixtures("isa", "threads")
@pytest.mark.parametrize("dtype", [np.uint8, F])
@pytest.mark.parametrize("mean", ["none", "image", "channel"])
@pytest.mark.parametrize("out_shape", [(70, 61), (70, 33), (19, 61), (64, 17)])
@pytest.mark.parametrize("mirrors", [False, True])
def test_transform_images(dtype, mean, out_shape, mirrors, rng):
    count, shape = 5, (3, 70, 61)
    images = rng.integers(0, 256, (count, *shape)).astype(dtype)
    spare = np.subtract(shape[1:], out_shape)
    corners = np.stack([rng.integers(0, s + 1, count) for s in spare], axis=1)
    mirrored = rng.random(count) < 0.5 if mirrors else None
    image_mean = rng.uniform(0, 255, shape).astype(F) if mean == "image" else None
    channel_mean = rng.uniform(0, 255, 3).astype(F) if mean == "channel" else None
    out = np.full((count, 3, *out_shape), np.nan, F)
    _core.transform_images(images, image_mean, channel_mean, 0.3, corners, mirrored, out)
    whole = images.astype(F)
    if mean == "image":
        whole = whole - image_mean
    elif mean == "channel":
        whole = whole - channel_mean[:, None, None]
    whole = whole * F(0.3)
    for i, (row, column) in enumerate(corners):
        expected = whole[i, :, row : row + out_shape[0], column : column + out_shape[1]]
        if mirrors and mirrored[i]:
            expected = expected[:, :, ::-1]
        np.testing.assert_array_equal(out[i], expected)


def test_refuses(rng):
    images, out = np.zeros((2, 3, 6, 5), np.uint8), np.zeros((2, 3, 4, 4), F)
    corners = np.zeros((2, 2), np.int64)

    def transform(images=images, image=None, channel=None, corners=corners, mirrored=None, out=out):
        _core.transform_images(images, image, channel, 1.0, corners, mirrored, out)

    for corner in ([3, 0], [0, 2], [-1, 0]):
        with pytest.raises(ValueError, match=r"corners: expected [12] or less"):
            transform(corners=np.array([[0, 0], corner]))
    with pytest.raises(ValueError, match="corners: expected 4 elements, got 2"):
        transform(corners=corners[:1])
    with pytest.raises(ValueError, match="image_mean: expected 90 elements, got 3"):
        transform(image=np.zeros(3, F))
    with pytest.raises(ValueError, match="channel_mean: expected 3 elements, got 1"):
        transform(channel=np.zeros(1, F))
    with pytest.raises(ValueError, match="mirrored: expected 2 elements, got 1"):
        transform(mirrored=np.zeros(1, bool))
    with pytest.raises(ValueError, match="out: expected 2 images, got 1"):
        transform(out=out[:1])
    with pytest.raises(ValueError, match="out: expected 3 channels, got 2"):
        transform(out=np.zeros((2, 2, 4, 4), F))
    with pytest.raises(TypeError):
        transform(images=images.astype(np.int16))
