"""Fillers: the values that a parameter starts with, one function for each type."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from sscaffe.blob import Blob
from sscaffe.errors import ShapeError, UnsupportedError
from sscaffe.proto import caffe_pb2
from sscaffe.random_numbers import RandomNumbers

Array = npt.NDArray[Any]
Filler = caffe_pb2.FillerParameter
FillFunction = Callable[[Blob, caffe_pb2.FillerParameter, RandomNumbers], Array]


def fill(blob: Blob, param: caffe_pb2.FillerParameter, rng: RandomNumbers) -> None:
    """Set a blob's data as a filler says.

    Parameters
    ----------
    blob : Blob
        Any shape; its data is overwritten.
    param : FillerParameter
        The type and its parameters.
    rng : RandomNumbers
        What random fillers draw from, at least one draw for each element.

    Raises
    ------
    UnsupportedError
        If there is no such filler.
    ShapeError
        If the filler cannot fill a blob of this shape, or with these parameters.
    """
    function = FILLERS.get(param.type)
    if function is None:
        known = ", ".join(sorted(FILLERS))
        raise UnsupportedError(f"filler type: expected one of {known}, got {param.type!r}")
    if param.sparse >= 0 and param.type != "gaussian":
        raise ShapeError(f"sparse: only the gaussian filler takes it, not {param.type}")
    if blob.count == 0:
        return
    values = np.asarray(function(blob, param, rng), blob.dtype)
    blob.set_data(blob.xp.asarray(values).reshape(blob.shape))


def _constant(blob: Blob, param: caffe_pb2.FillerParameter, rng: RandomNumbers) -> Array:
    return np.full(blob.count, param.value)


def _uniform(blob: Blob, param: caffe_pb2.FillerParameter, rng: RandomNumbers) -> Array:
    if param.min > param.max:
        raise ShapeError(f"min: expected at most max, got {param.min} and {param.max}")
    return rng.uniform(param.min, param.max, blob.count)


def _gaussian(blob: Blob, param: caffe_pb2.FillerParameter, rng: RandomNumbers) -> Array:
    values = rng.gaussian(param.mean, param.std, blob.count)
    if param.sparse >= 0:
        # Each input keeps a weight to so many outputs, on average.
        outputs = blob.shape[0] if blob.ndim else 1
        if param.sparse > outputs:
            raise ShapeError(
                f"sparse: expected at most the {outputs} outputs of {blob.shape}, "
                f"got {param.sparse}"
            )
        values *= rng.bernoulli(param.sparse / outputs, blob.count)
    return values


def _positive_unitball(blob: Blob, param: caffe_pb2.FillerParameter, rng: RandomNumbers) -> Array:
    """Return uniform numbers, those of each output summing to 1."""
    rows = rng.uniform(0, 1, blob.count).reshape(blob.shape[0] if blob.ndim else 1, -1)
    sums: Array = rows / rows.sum(axis=1, keepdims=True)
    return sums


def _xavier(blob: Blob, param: caffe_pb2.FillerParameter, rng: RandomNumbers) -> Array:
    """Return uniform numbers of variance 1 / n.

    Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", AISTATS 2010.
    """
    scale = np.sqrt(np.float32(3) / np.float32(_fan(blob, param)))
    return rng.uniform(-scale, scale, blob.count)


def _msra(blob: Blob, param: caffe_pb2.FillerParameter, rng: RandomNumbers) -> Array:
    """Return normal numbers of variance 2 / n.

    Source: He et al., "Delving Deep into Rectifiers", ICCV 2015.
    """
    return rng.gaussian(0, math.sqrt(2 / _fan(blob, param)), blob.count)


def _bilinear(blob: Blob, param: caffe_pb2.FillerParameter, rng: RandomNumbers) -> Array:
    """Return kernels that interpolate between the pixels of an upsampled image."""
    if blob.ndim != 4 or blob.shape[2] != blob.shape[3]:
        raise ShapeError(f"bilinear: expected a blob of shape (N, C, K, K), got {blob.shape}")
    size = blob.shape[3]
    factor = math.ceil(size / 2)
    centre = np.float32((size - 1) / (2 * factor))
    distance = np.arange(size, dtype=np.float32) / np.float32(factor) - centre
    line = 1 - np.abs(distance.astype(np.float64))
    return np.broadcast_to(np.outer(line, line), blob.shape)


def _fan(blob: Blob, param: caffe_pb2.FillerParameter) -> float:
    """Return n of variance_norm: inputs of an output, outputs of an input, or their mean."""
    fan_in = blob.count / (blob.shape[0] if blob.ndim else 1)
    fan_out = blob.count / blob.shape[1] if blob.ndim > 1 else blob.count
    if param.variance_norm == Filler.AVERAGE:
        return (fan_in + fan_out) / 2
    return fan_out if param.variance_norm == Filler.FAN_OUT else fan_in


FILLERS: dict[str, FillFunction] = {
    "bilinear": _bilinear,
    "constant": _constant,
    "gaussian": _gaussian,
    "msra": _msra,
    "positive_unitball": _positive_unitball,
    "uniform": _uniform,
    "xavier": _xavier,
}
