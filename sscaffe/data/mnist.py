"""MNIST: from the four idx files to LMDBs and a mean image.

The files are those of LeCun, Cortes and Burges, http://yann.lecun.com/exdb/mnist/.
"""

import gzip
import math
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sscaffe.data.datum import array_to_datum
from sscaffe.data.lmdb_writer import require_replaceable, write_lmdb
from sscaffe.data.mean import mean_to_proto
from sscaffe.errors import DataError
from sscaffe.serialized import write_binary

Array = npt.NDArray[Any]

DATABASES = {"mnist_train_lmdb": "train", "mnist_test_lmdb": "t10k"}
MEAN = "mnist_mean.binaryproto"

_REPORT_EVERY = 1000


def convert_mnist(
    source_dir: str | os.PathLike[str],
    target_dir: str | os.PathLike[str],
    progress: Callable[[str, int, int], None] | None = None,
) -> None:
    """Turn the idx files of MNIST into two LMDBs and a mean image.

    All files are read and checked before anything is written.

    Parameters
    ----------
    source_dir : path-like
        The folder of train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and
        t10k-labels-idx1-ubyte, each plain or with .gz.
    target_dir : path-like
        Where mnist_train_lmdb, mnist_test_lmdb and mnist_mean.binaryproto go; made if need be.
        LMDBs of these names are replaced.
    progress : callable, optional
        Called with the name of a database, how many of its records are written, and how many
        there will be.

    Raises
    ------
    DataError
        If an idx file is missing, cut short or something else, or `target_dir` cannot be written.
    UnsupportedError
        If lmdb is not installed.
    """
    source, target = Path(source_dir), Path(target_dir)
    sets = {name: _read_set(source, prefix) for name, prefix in DATABASES.items()}
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{target}: cannot be made: {error.strerror}") from error
    for name in sets:
        require_replaceable(target / name)
    for name, (images, labels) in sets.items():
        write_lmdb(target / name, _records(name, images, labels, progress))
    mean = sets["mnist_train_lmdb"][0].mean(axis=0, dtype=np.float64).astype(np.float32)
    write_binary(target / MEAN, mean_to_proto(mean[np.newaxis]))


def read_idx(path: Path) -> Array:
    """Read an idx file of bytes.

    Parameters
    ----------
    path : Path
        Plain, or compressed if its name ends in .gz.

    Returns
    -------
    ndarray of uint8
        Of the shape that the file says.

    Raises
    ------
    DataError
        If the file cannot be read, is something else, or does not hold as many bytes as it says.
    """
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    # Two zeros, the type (8: unsigned bytes), the number of axes, their sizes, the bytes.
    axes = content[3] if len(content) > 3 else 0
    start = 4 + 4 * axes
    if content[:3] != b"\0\0\x08" or not axes or len(content) < start:
        raise DataError(f"{path}: expected an idx file of bytes, got something else")
    shape = tuple(np.frombuffer(content, ">u4", axes, 4).tolist())
    if len(content) - start != math.prod(shape):
        raise DataError(
            f"{path}: expected {math.prod(shape)} bytes for shape {shape}, "
            f"got {len(content) - start}; get the file again"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _read_set(source: Path, prefix: str) -> tuple[Array, Array]:
    images = read_idx(_find(source, f"{prefix}-images-idx3-ubyte"))
    labels = read_idx(_find(source, f"{prefix}-labels-idx1-ubyte"))
    if images.ndim != 3 or labels.shape != images.shape[:1] or not images.size:
        raise DataError(
            f"{source}: expected {prefix} images of shape (N, H, W) and N labels, "
            f"got {images.shape} and {labels.shape}"
        )
    return images, labels


def _find(source: Path, name: str) -> Path:
    # Some unpacked copies are called train-images.idx3-ubyte.
    names = [name, f"{name}.gz", name.replace("-idx", ".idx")]
    found = next((source / n for n in names if (source / n).is_file()), None)
    if found is None:
        raise DataError(f"{source}: expected {name} or {name}.gz in this folder, got neither")
    return found


def _records(
    name: str, images: Array, labels: Array, progress: Callable[[str, int, int], None] | None
) -> Iterator[tuple[bytes, bytes]]:
    count = len(images)
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        datum = array_to_datum(image[np.newaxis], int(label))
        yield b"%08d" % i, datum.SerializeToString()
        if progress and ((i + 1) % _REPORT_EVERY == 0 or i + 1 == count):
            progress(name, i + 1, count)
