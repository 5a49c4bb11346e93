"""CIFAR-10: from the binary batches, or from folders of image files, to LMDBs and mean images.

Source: Krizhevsky, "Learning multiple layers of features from tiny images", 2009,
https://www.cs.toronto.edu/~kriz/cifar.html.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sscaffe.data.datum import array_to_datum
from sscaffe.data.images import read_image
from sscaffe.data.lmdb_writer import require_replaceable, write_lmdb
from sscaffe.data.mean import mean_to_proto
from sscaffe.errors import DataError
from sscaffe.serialized import write_binary

Array = npt.NDArray[Any]
Progress = Callable[[str, int, int], None]

CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip

_BATCHES = {
    "train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
    "test": ("test_batch.bin",),
}
_SHAPE = (3, 32, 32)
_RECORD = 1 + 3 * 32 * 32  # a label, then red, green and blue
_REPORT_EVERY = 1000


def convert_cifar10(
    source_dir: str | os.PathLike[str],
    target_dir: str | os.PathLike[str],
    pad: int = 0,
    progress: Progress | None = None,
) -> None:
    """Turn CIFAR-10 into LMDBs and a mean image, the channels in the order red, green, blue.

    Parameters
    ----------
    source_dir : path-like
        Has data_batch_1.bin to data_batch_5.bin and test_batch.bin; or else train/CLASS/ and
        test/CLASS/ with an image file for each image, which are shuffled.
    target_dir : path-like
        Where cifar10_train_lmdb, cifar10_test_lmdb and cifar10_mean.binaryproto go; made if need
        be. LMDBs of these names are replaced.
    pad : int
        If positive, cifar10_train_padded_lmdb and cifar10_padded_mean.binaryproto are made too,
        with a border of so many zeros around each image.
    progress : callable, optional
        Called with the name of a database, how many of its records are written, and how many
        there will be.

    Raises
    ------
    DataError
        If an image is missing or broken, or `target_dir` cannot be written.
    UnsupportedError
        If lmdb, or Pillow for image files, is not installed.
    """
    source, target = Path(source_dir), Path(target_dir)
    if pad < 0:
        raise DataError(f"pad: expected 0 or more, got {pad}")
    sets = {f"cifar10_{part}_lmdb": _read(source, part) for part in _BATCHES}
    means = {"cifar10_mean.binaryproto": sets["cifar10_train_lmdb"][0]}
    if pad:
        images, labels = sets["cifar10_train_lmdb"]
        padded = np.pad(images, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        sets["cifar10_train_padded_lmdb"] = padded, labels
        means["cifar10_padded_mean.binaryproto"] = padded
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{target}: cannot be made: {error.strerror}") from error
    for name in sets:
        require_replaceable(target / name)
    for name, (images, labels) in sets.items():
        write_lmdb(target / name, _records(name, images, labels, progress))
    for name, images in means.items():
        mean = images.mean(axis=0, dtype=np.float64).astype(np.float32)
        write_binary(target / name, mean_to_proto(mean))


def _read(source: Path, part: str) -> tuple[Array, Array]:
    if (source / part).is_dir():
        return _read_folders(source / part)
    batches = [_read_batch(source / name) for name in _BATCHES[part]]
    records = np.concatenate(batches)
    return records[:, 1:].reshape(-1, *_SHAPE), records[:, 0]


def _read_batch(path: Path) -> Array:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read: {error.strerror}; unpack cifar-10-binary.tar.gz there"
        ) from error
    if not content or len(content) % _RECORD:
        raise DataError(
            f"{path}: expected records of {_RECORD} bytes, got {len(content)} bytes in all; "
            "get the file again"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, _RECORD)
    if records[:, 0].max() >= len(CLASSES):
        raise DataError(f"{path}: expected labels below 10, got {records[:, 0].max()}")
    return records


def _read_folders(folder: Path) -> tuple[Array, Array]:
    images, labels = [], []
    for label, name in enumerate(CLASSES):
        paths = sorted((folder / name).glob("*.*"))
        if not paths:
            raise DataError(f"{folder / name}: expected image files in this folder, got none")
        images += [_decode(path) for path in paths]
        labels += [label] * len(paths)
    order = np.random.default_rng(1701).permutation(len(images))
    return np.stack(images)[order], np.array(labels, np.uint8)[order]


def _decode(path: Path) -> Array:
    image: Array = read_image(path, 3)[::-1]  # Caffe's order is blue, green, red.
    if image.shape != _SHAPE:
        raise DataError(f"{path}: expected an image of shape {_SHAPE}, got {image.shape}")
    return image


def _records(
    name: str, images: Array, labels: Array, progress: Progress | None
) -> Iterator[tuple[bytes, bytes]]:
    count = len(images)
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        yield b"%08d" % i, array_to_datum(image, int(label)).SerializeToString()
        if progress and ((i + 1) % _REPORT_EVERY == 0 or i + 1 == count):
            progress(name, i + 1, count)
