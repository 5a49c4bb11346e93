"""The images of the demo, as LMDBs."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sscaffe.data.datum import array_to_datum
from sscaffe.data.lmdb_writer import write_lmdb
from sscaffe.data.mnist import DATABASES, convert_mnist
from sscaffe.errors import UnsupportedError

Array = npt.NDArray[Any]

SIDE = 28  # pixels, as in MNIST
_TEST_SHARE = 5  # one digit in so many is kept for testing


@dataclass(frozen=True)
class Databases:
    """Images to train with and images to test with."""

    name: str
    train: Path
    test: Path
    test_batches: int
    test_batch_size: int
    scale: float  # of a pixel


def digits(folder: Path) -> Databases:
    """Write scikit-learn's 1797 handwritten digits, enlarged from 8 x 8 to 28 x 28 pixels.

    Parameters
    ----------
    folder : Path
        Gets the databases.

    Raises
    ------
    UnsupportedError
        If scikit-learn is not installed.

    References
    ----------
    E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998.
    """
    try:
        from scipy.ndimage import zoom
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise UnsupportedError(
            "demo: the digits come with scikit-learn, which is not installed; "
            "pip install 'sscaffe[demo]', or give your own MNIST files with --mnist"
        ) from error
    small, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(1701).permutation(len(labels))
    enlarged = zoom(small.reshape(-1, 8, 8), (1, SIDE / 8, SIDE / 8), order=1)
    pixels = np.clip(enlarged * (255 / 16), 0, 255).round().astype(np.uint8)[order]
    count = len(labels) // _TEST_SHARE
    count -= count % 10
    train, test = folder / "train_lmdb", folder / "test_lmdb"
    labels = labels[order]
    write_lmdb(train, _records(pixels[count:], labels[count:]))
    write_lmdb(test, _records(pixels[:count], labels[:count]))
    return Databases("digits", train, test, 10, count // 10, 1 / 256)


def mnist(source: Path, folder: Path) -> Databases:
    """Write the databases of MNIST from its four idx files.

    Parameters
    ----------
    source : Path
        Has the four files, packed or not.
    folder : Path
        Gets the databases.
    """
    convert_mnist(source, folder)
    train, test = (folder / name for name in DATABASES)
    return Databases("MNIST", train, test, 100, 100, 1 / 256)


def _records(images: Array, labels: Array) -> Iterator[tuple[bytes, bytes]]:
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        datum = array_to_datum(image[np.newaxis], int(label))
        yield b"%08d" % i, datum.SerializeToString()
