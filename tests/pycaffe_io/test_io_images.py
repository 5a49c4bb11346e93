"""io: reading, resizing and cropping images."""

import builtins

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from sscaffe import io
from sscaffe.errors import DataError, UnsupportedError
from sscaffe.io import ArrayError


@pytest.fixture
def pixels(rng):
    return rng.integers(0, 256, (5, 6, 4)).astype(np.uint8)


def save(path, pixels, mode=None):
    image = Image.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(path)
    return path


def test_colours(tmp_path, pixels):
    path = save(tmp_path / "a.png", pixels[:, :, :3])
    image = io.load_image(path)
    assert (image.dtype, image.shape) == (np.float32, (5, 6, 3))
    np.testing.assert_allclose(image, pixels[:, :, :3] / 255, atol=1e-7)
    gray = io.load_image(path, color=False)
    assert gray.shape == (5, 6, 1)
    weights = [0.2125, 0.7154, 0.0721]
    np.testing.assert_allclose(gray[:, :, 0], pixels[:, :, :3] @ weights / 255, atol=1e-6)


def test_gray_files(tmp_path, pixels):
    for array, top in ((pixels[:, :, 0], 255), (pixels[:, :, 0] * np.uint16(257), 65535)):
        path = save(tmp_path / "a.png", array)
        np.testing.assert_allclose(
            io.load_image(path, color=False)[:, :, 0], array / top, atol=1e-6
        )
        wanted = np.stack([array / top] * 3, axis=2)
        np.testing.assert_allclose(io.load_image(path), wanted, atol=1e-6)


def test_transparency_is_left_out(tmp_path, pixels):
    path = save(tmp_path / "a.png", pixels)
    np.testing.assert_allclose(io.load_image(path), pixels[:, :, :3] / 255, atol=1e-7)
    palette = save(tmp_path / "p.png", pixels[:, :, :3], "P")
    assert io.load_image(palette).shape == (5, 6, 3)
    bits = save(tmp_path / "b.png", pixels[:, :, :3], "1")
    assert set(np.unique(io.load_image(bits))) <= {0, 1}


def test_what_is_no_image(tmp_path):
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(DataError, match=r"a\.png: expected an image file"):
        io.load_image(tmp_path / "a.png")
    with pytest.raises(DataError, match="cannot be read"):
        io.load_image(tmp_path / "b.png")


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("size", [(4, 5), (14, 20), (9, 3)], ids=str)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("smooths", [False, True])
@pytest.mark.parametrize("mode", ["reflect", "constant"])
def test_resize_of_pictures(channels, size, order, mode, smooths, rng):
    image = rng.normal(size=(9, 7, channels))
    low, high = image.min(), image.max()
    factors = (size[0] / 9, size[1] / 7, 1)
    scaled = (image - low) / (high - low)
    beyond = {"reflect": ("mirror", "mirror"), "constant": ("constant", "grid-constant")}[mode]
    if smooths:
        sigma = [max(0, (1 / factor - 1) / 2) for factor in factors]
        scaled = ndimage.gaussian_filter(scaled, sigma, mode=beyond[0])
    wanted = ndimage.zoom(scaled, factors, order=order, mode=beyond[1], grid_mode=True)
    wanted = wanted.clip(0, 1) * (high - low) + low
    got = io.resize_image(image, size, order, anti_aliasing=smooths, mode=mode)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, wanted, atol=1e-5)


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("size", [(4, 5), (14, 20), (9, 3)], ids=str)
def test_resize_of_other_channels(size, order, rng):
    image = rng.normal(size=(9, 7, 5))
    wanted = ndimage.zoom(image, (size[0] / 9, size[1] / 7, 1), order=order)
    np.testing.assert_allclose(io.resize_image(image, size, order), wanted, atol=1e-5)


def test_resize_by_hand():
    image = np.array([[[0.0], [4.0]]])
    # Quarters between the middles; beyond them, the mirror image or the lowest value.
    np.testing.assert_allclose(io.resize_image(image, (1, 4))[0, :, 0], [1, 1, 3, 3])
    zeros = io.resize_image(image, (1, 4), mode="constant")
    np.testing.assert_allclose(zeros[0, :, 0], [0, 1, 3, 3])
    with pytest.raises(ArrayError, match="mode: expected reflect or constant, got 'wrap'"):
        io.resize_image(image, (1, 4), mode="wrap")
    np.testing.assert_array_equal(
        io.resize_image(np.full((3, 3, 3), 5), (1, 2)), np.full((1, 2, 3), 5)
    )


def test_smoothing(rng):
    image = rng.random((16, 16, 3))
    rough, smooth = (io.resize_image(image, (4, 4), anti_aliasing=a) for a in (False, True))
    assert smooth.std() < rough.std()
    larger = [io.resize_image(image, (20, 20), anti_aliasing=a) for a in (False, True)]
    np.testing.assert_array_equal(*larger)


def test_resize_without_scipy(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("scipy"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert io.resize_image(np.eye(4)[:, :, None], (2, 2)).shape == (2, 2, 1)
    with pytest.raises(UnsupportedError, match="need scipy"):
        io.resize_image(np.eye(4)[:, :, None], (2, 2), 3)


@pytest.mark.parametrize(
    ("shape", "size", "order", "words"),
    [
        ((4, 4), (2, 2), 1, r"image of shape \(H, W, K\), got \(4, 4\)"),
        ((4, 4, 3), (0, 2), 1, r"a height and a width, got \(0, 2\)"),
        ((4, 4, 3), (2, 2), 6, "0 to 5, got 6"),
    ],
    ids=str,
)
def test_resize_refuses(shape, size, order, words):
    with pytest.raises(ValueError, match=words):
        io.resize_image(np.zeros(shape), size, order)


def test_ten_crops(rng):
    images = rng.random((2, 6, 6, 3)).astype(np.float32)
    crops = io.oversample(images, (3, 3))
    assert crops.shape == (20, 3, 3, 3)
    for n, image in enumerate(images):
        for i, (y, x) in enumerate([(0, 0), (0, 3), (3, 0), (3, 3), (1, 1)]):
            cut = image[y : y + 3, x : x + 3]
            np.testing.assert_array_equal(crops[10 * n + i], cut)
            np.testing.assert_array_equal(crops[10 * n + 5 + i], cut[:, ::-1])


def test_crops_that_do_not_fit():
    with pytest.raises(ValueError, match="expected at most 5 x 6, got 6 x 6"):
        io.oversample(np.zeros((1, 5, 6, 3)), (6, 6))
    with pytest.raises(ValueError, match="expected one shape"):
        io.oversample([np.zeros((5, 5, 3)), np.zeros((4, 5, 3))], (2, 2))
