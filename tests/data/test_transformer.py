"""DataTransformer against a slow one that goes pixel by pixel."""

import itertools

import numpy as np
import pytest

from sscaffe.data.transformer import DataTransformer
from sscaffe.errors import DataError, ShapeError
from sscaffe.proto import caffe_pb2, text_format
from sscaffe.random_numbers import RandomNumbers
from sscaffe.serialized import array_to_blobproto, write_binary

TRAIN, TEST = caffe_pb2.TRAIN, caffe_pb2.TEST


def param_of(text):
    return text_format.Parse(text, caffe_pb2.TransformationParameter())


def transform(param, images, phase=TEST, seed=None):
    rng = RandomNumbers(seed) if seed is not None else None
    transformer = DataTransformer(param, phase, rng)
    shape = transformer.output_shape(images[0].shape)
    out = np.full((len(images), *shape), np.nan, np.float32)
    transformer.transform(images, out)
    return out


def one_by_one(param, images, phase, seed, mean=None):
    """Transform as the definition says, in single precision."""
    rng = RandomNumbers(int(RandomNumbers(seed).raw(1)[0]))
    transformed = []
    for image in images:
        channels, height, width = image.shape
        mirror = param.mirror and rng.raw(1)[0] % 2
        size_y, size_x = (param.crop_size,) * 2 if param.crop_size else (height, width)
        y0, x0 = (height - size_y) // 2, (width - size_x) // 2
        if param.crop_size and phase == TRAIN:
            y0 = int(rng.raw(1)[0]) % (height - size_y + 1)
            x0 = int(rng.raw(1)[0]) % (width - size_x + 1)
        out = np.empty((channels, size_y, size_x), np.float32)
        for c, y, x in itertools.product(range(channels), range(size_y), range(size_x)):
            value = np.float32(image[c, y0 + y, x0 + x])
            if mean is not None:
                value -= mean[c, y0 + y, x0 + x]
            elif param.mean_value:
                value -= np.float32(param.mean_value[c % len(param.mean_value)])
            out[c, y, size_x - 1 - x if mirror else x] = value * np.float32(param.scale)
        transformed.append(out)
    return np.array(transformed)


@pytest.mark.parametrize("kind", ["list", "array"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("phase", [TRAIN, TEST])
@pytest.mark.parametrize("mean", ["", "mean_value: 7.3", "mean_value: [1, 20.7, 100]", "file"])
@pytest.mark.parametrize("crop", ["", "crop_size: 4", "crop_size: 5"])
@pytest.mark.parametrize("rest", ["", "mirror: true", "scale: 0.3 mirror: true"])
def test_matches_the_definition(tmp_path, rng, kind, dtype, phase, mean, crop, rest):
    images = rng.integers(0, 256, (9, 3, 6, 5)).astype(dtype)
    mean_image = None
    if mean == "file":
        mean_image = rng.uniform(0, 255, (3, 6, 5)).astype(np.float32)
        write_binary(tmp_path / "mean", array_to_blobproto(mean_image))
        mean = f"mean_file: '{tmp_path / 'mean'}'"
    param = param_of(" ".join((mean, crop, rest)))
    expected = one_by_one(param, images, phase, 11, mean_image)
    given = list(images) if kind == "list" else images
    np.testing.assert_array_equal(transform(param, given, phase, 11), expected)


def test_crops_images_of_different_sizes(rng):
    images = [rng.integers(0, 256, (3, h, w), dtype=np.uint8) for h, w in [(6, 5), (4, 9), (8, 8)]]
    param = param_of("crop_size: 4 mirror: true")
    expected = one_by_one(param, images, TRAIN, 3)
    np.testing.assert_array_equal(transform(param, images, TRAIN, 3), expected)


def test_does_not_write_to_the_images(rng):
    images = rng.integers(0, 256, (4, 3, 6, 5), dtype=np.uint8)
    images.flags.writeable = False
    transform(param_of("crop_size: 3 mirror: true scale: 2 mean_value: 3"), images, TRAIN, 5)


def test_random_crops_reach_every_place():
    image = np.arange(16, dtype=np.uint8).reshape(1, 1, 4, 4)
    images = np.repeat(image, 300, axis=0)
    out = transform(param_of("crop_size: 2"), images, TRAIN, 1)
    assert set(out[:, 0, 0, 0]) == {0, 1, 2, 4, 5, 6, 8, 9, 10}


def test_mirrors_about_half():
    images = np.repeat(np.arange(2, dtype=np.uint8).reshape(1, 1, 1, 2), 1000, axis=0)
    out = transform(param_of("mirror: true"), images, TEST, 1)
    # 500 +- 5 standard deviations of 15.8
    assert 420 < out[:, 0, 0, 0].sum() < 580


def test_draws_a_seed_only_if_something_is_random():
    untouched, rng = RandomNumbers(4).raw(2), RandomNumbers(4)
    DataTransformer(param_of("crop_size: 2 scale: 3"), TEST, rng)
    assert rng.raw(1)[0] == untouched[0]
    rng = RandomNumbers(4)
    DataTransformer(param_of("mirror: true"), TEST, rng)
    assert rng.raw(1)[0] == untouched[1]


def test_mean_file_may_have_the_four_sizes_of_old(tmp_path, rng):
    mean = rng.uniform(0, 255, (3, 2, 2)).astype(np.float32)
    proto = caffe_pb2.BlobProto(num=1, channels=3, height=2, width=2, data=mean.ravel().tolist())
    write_binary(tmp_path / "mean", proto)
    images = np.zeros((1, 3, 2, 2), np.uint8)
    out = transform(param_of(f"mean_file: '{tmp_path / 'mean'}'"), images)
    np.testing.assert_array_equal(out[0], -mean)


def test_mean_file_is_looked_for_under_the_root_alone(tmp_path, monkeypatch):
    (tmp_path / "root").mkdir()
    monkeypatch.chdir(tmp_path)
    for folder, value in (("", 5), ("root", 1)):
        mean = array_to_blobproto(np.full((1, 2, 2), value, np.float32))
        write_binary(tmp_path / folder / "mean", mean)
    transformer = DataTransformer(param_of("mean_file: 'mean'"), TEST, root="root")
    out = np.empty((1, 1, 2, 2), np.float32)
    transformer.transform(np.ones((1, 1, 2, 2), np.uint8), out)
    assert not out.any()


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("crop_size: 6", ShapeError, r"crop_size: expected at most the 6 x 5 .*, got 6"),
        ("mean_value: [1, 2]", ShapeError, r"one for each of the 3 channels, got 2"),
        ("mean_value: 1 mean_file: 'x'", DataError, r"either mean_file or mean_value, got both"),
        ("force_color: true force_gray: true", DataError, r"either force_color or force_gray"),
        ("mean_file: 'nowhere'", DataError, r"mean_file: nowhere: cannot be read"),
    ],
)
def test_refuses(text, error, message):
    with pytest.raises(error, match=message):
        transform(param_of(text), np.zeros((1, 3, 6, 5), np.uint8), TEST, 1)


def test_refuses_a_mean_of_another_shape(tmp_path):
    write_binary(tmp_path / "mean", array_to_blobproto(np.ones((3, 6, 4), np.float32)))
    with pytest.raises(ShapeError, match=r"mean of the image's shape \(3, 6, 5\), got \(3, 6, 4\)"):
        transform(param_of(f"mean_file: '{tmp_path / 'mean'}'"), np.zeros((1, 3, 6, 5), np.uint8))


@pytest.mark.parametrize("shape", [(2, 3, 6, 5), (6, 5)])
def test_refuses_a_mean_that_is_no_image(tmp_path, shape):
    write_binary(tmp_path / "mean", array_to_blobproto(np.ones(shape, np.float32)))
    with pytest.raises(DataError, match=r"mean_file: expected one image \(C, H, W\), got"):
        DataTransformer(param_of(f"mean_file: '{tmp_path / 'mean'}'"), TEST)


def test_refuses_a_mean_file_that_is_something_else(tmp_path):
    (tmp_path / "mean").write_bytes(b"P6 4 4 255 not a mean")
    with pytest.raises(DataError, match=r"mean_file: .*expected an array"):
        DataTransformer(param_of(f"mean_file: '{tmp_path / 'mean'}'"), TEST)


def test_refuses_an_image_that_does_not_fit_the_batch():
    transformer = DataTransformer(param_of(""), TEST)
    images = [np.zeros((1, 2, 2), np.uint8), np.zeros((1, 3, 2), np.uint8)]
    with pytest.raises(ShapeError, match=r"images of shape \(1, 2, 2\), got \(1, 3, 2\)"):
        transformer.transform(images, np.empty((2, 1, 2, 2), np.float32))
