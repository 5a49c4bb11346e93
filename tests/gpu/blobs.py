"""Blobs of the GPU with values from the host, and back."""

import numpy as np

from sscaffe.blob import Blob
from sscaffe.device import Device
from sscaffe.kernels.gpu_runtime import to_device, to_host, xp

DEVICE = Device("gpu:0", xp, None)


def blob_of(data, diff=None):
    """Return a blob of the GPU; its diff is NaN where none is given, to be overwritten."""
    blob = Blob(data.shape, data.dtype, DEVICE)
    blob.new_data()[...] = to_device(np.asarray(data))
    given = np.full(data.shape, np.nan, data.dtype) if diff is None else diff
    blob.new_diff()[...] = to_device(given)
    return blob


def unset(shape, dtype):
    """Return a blob of the GPU whose values nobody has set."""
    return blob_of(np.full(shape, np.nan, dtype))


def with_diff(blob, diff):
    """Give a blob a diff."""
    blob.new_diff()[...] = to_device(diff)
    return blob


def data_of(blob):
    return to_host(blob.const_data)


def diff_of(blob):
    return to_host(blob.const_diff)
