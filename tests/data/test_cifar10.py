"""CIFAR-10: binary batches and folders of images become databases."""

import numpy as np
import pytest

from sscaffe.data.cifar10 import CLASSES, convert_cifar10
from sscaffe.data.sources import LmdbSource
from sscaffe.data.transformer import read_mean
from sscaffe.errors import DataError

pytest.importorskip("lmdb")


def write_batches(folder, rng):
    """Write six batches of two images and return them, train and test."""
    batches = []
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        records = rng.integers(0, 256, (2, 3073), dtype=np.uint8)
        records[:, 0] %= 10
        (folder / f"{name}.bin").write_bytes(records.tobytes())
        batches.append(records)
    return np.concatenate(batches[:5]), batches[5]


def read(path):
    source = LmdbSource(path)
    images, labels = source.read(source.record_count)
    return np.stack(images), np.array(labels)


def test_batches(tmp_path, rng):
    train, test = write_batches(tmp_path, rng)
    convert_cifar10(tmp_path, tmp_path / "made")
    for name, records in (("train", train), ("test", test)):
        images, labels = read(tmp_path / "made" / f"cifar10_{name}_lmdb")
        np.testing.assert_array_equal(images, records[:, 1:].reshape(-1, 3, 32, 32))
        np.testing.assert_array_equal(labels, records[:, 0])
    mean = read_mean(tmp_path / "made/cifar10_mean.binaryproto")
    expected = train[:, 1:].reshape(-1, 3, 32, 32).mean(axis=0)
    np.testing.assert_allclose(mean, expected, rtol=1e-6)
    assert not list((tmp_path / "made").glob("*padded*"))


def test_padding(tmp_path, rng):
    train, _ = write_batches(tmp_path, rng)
    convert_cifar10(tmp_path, tmp_path, pad=4)
    images, _ = read(tmp_path / "cifar10_train_padded_lmdb")
    assert images.shape == (10, 3, 40, 40)
    np.testing.assert_array_equal(images[:, :, 4:-4, 4:-4], train[:, 1:].reshape(-1, 3, 32, 32))
    images[:, :, 4:-4, 4:-4] = 0
    assert not images.any()
    assert read_mean(tmp_path / "cifar10_padded_mean.binaryproto").shape == (3, 40, 40)


def test_folders_of_images(tmp_path):
    image_module = pytest.importorskip("PIL.Image")
    for part in ("train", "test"):
        for i, name in enumerate(CLASSES):
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            colour = (10 * i, 20 * i, 255 - i)
            image_module.new("RGB", (32, 32), colour).save(folder / "0000.png")
    convert_cifar10(tmp_path, tmp_path)
    images, labels = read(tmp_path / "cifar10_train_lmdb")
    assert sorted(labels) == list(range(10))
    assert list(labels) != list(range(10))
    for image, label in zip(images, labels, strict=True):
        assert image[:, 5, 7].tolist() == [10 * label, 20 * label, 255 - label]


def test_refuses_what_is_not_cifar10(tmp_path, rng):
    with pytest.raises(DataError, match=r"data_batch_1\.bin: cannot be read.*unpack"):
        convert_cifar10(tmp_path, tmp_path)
    write_batches(tmp_path, rng)
    with pytest.raises(DataError, match="pad: expected 0 or more, got -1"):
        convert_cifar10(tmp_path, tmp_path, pad=-1)
    (tmp_path / "data_batch_2.bin").write_bytes(b"\x0a" * 3073)
    with pytest.raises(DataError, match=r"data_batch_2\.bin: expected labels below 10, got 10"):
        convert_cifar10(tmp_path, tmp_path)
    (tmp_path / "data_batch_2.bin").write_bytes(b"\1" * 3072)
    with pytest.raises(DataError, match="expected records of 3073 bytes, got 3072 bytes in all"):
        convert_cifar10(tmp_path, tmp_path)
