"""The mean image of a database."""

from collections.abc import Callable

import numpy as np

from sscaffe.data.datum import Array
from sscaffe.data.sources import LmdbSource
from sscaffe.errors import DataError
from sscaffe.glog import logger
from sscaffe.proto import caffe_pb2

_CHUNK = 1000  # images in memory at once
_REPORT_EVERY = 10_000


def image_mean(source: LmdbSource, progress: Callable[[int], None] | None = None) -> Array:
    """Return the mean of all images of an LMDB.

    Parameters
    ----------
    source : LmdbSource
        At its first record; its images may be pixels, floats or image files.
    progress : callable, optional
        Called with the number of images read.

    Returns
    -------
    ndarray of float32, shape (C, H, W)

    Raises
    ------
    DataError
        If the database cannot be read, or its images differ in shape.
    UnsupportedError
        If Pillow is needed and not installed.
    """
    shape, count = source.first.shape, source.record_count
    # In 64 bits: single precision loses units from 16 million on, 66,000 white pixels.
    total = np.zeros(shape)
    for start in range(0, count, _CHUNK):
        size = min(_CHUNK, count - start)
        images, _ = source.read(size)
        other = next((image.shape for image in images if image.shape != shape), None)
        if other:
            raise DataError(
                f"source: expected images of shape {shape} as the first of {source.path}, "
                f"got {other}; make it again with resize_height and resize_width"
            )
        total += np.sum(images, axis=0, dtype=np.float64)
        done = start + size
        if done % _REPORT_EVERY == 0 or done == count:
            logger.info("Processed %d files.", done)
        if progress:
            progress(done)
    return (total / count).astype(np.float32)


def mean_to_proto(mean: Array) -> caffe_pb2.BlobProto:
    """Return a mean image (C, H, W) as the message that Caffe's mean files hold."""
    channels, height, width = mean.shape
    proto = caffe_pb2.BlobProto(num=1, channels=channels, height=height, width=width)
    proto.data.extend(mean.ravel().tolist())
    return proto
