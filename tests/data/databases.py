"""Make small real databases for tests."""

import numpy as np

from sscaffe.data.datum import array_to_datum
from sscaffe.data.lmdb_writer import write_lmdb


def random_images(rng, count=7, shape=(3, 6, 5)):
    return rng.integers(0, 256, (count, *shape), dtype=np.uint8)


def make_lmdb(path, images, labels=None):
    """Write an LMDB with one Datum for each image; return its path."""
    labels = range(len(images)) if labels is None else labels
    pairs = zip(images, labels, strict=True)
    write_lmdb(
        path,
        (
            (b"%08d" % i, array_to_datum(image, int(label)).SerializeToString())
            for i, (image, label) in enumerate(pairs)
        ),
    )
    return path
