"""Fillers: the values that a parameter starts with, one function for each type."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from sscaffe.blob import Blob
from sscaffe.dialect import is_scnn
from sscaffe.errors import ShapeError, UnsupportedError
from sscaffe.proto import caffe_pb2
from sscaffe.random_numbers import RandomNumbers

Array = npt.NDArray[Any]
Filler = caffe_pb2.FillerParameter
# Returns the values, or one part after the other in row-major order.
FillFunction = Callable[[Blob, caffe_pb2.FillerParameter, RandomNumbers], Array | Iterator[Array]]

PART = 1 << 20  # elements drawn at once, so that what is drawn never takes much memory


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
    if param.type == "constant" and param.value == 0:
        blob.data_tensor.clear()  # No memory is touched until somebody looks.
        return
    values = function(blob, param, rng)
    target, start = blob.data_tensor.host_overwrite(), 0
    for part in (values,) if isinstance(values, np.ndarray) else values:
        target[start : start + part.size] = part.reshape(-1)
        start += part.size


def _in_parts(blob: Blob, draw: Callable[[int], Array]) -> Iterator[Array]:
    """Draw a value for each element; `draw` goes on where it left off."""
    return (draw(min(PART, blob.count - start)) for start in range(0, blob.count, PART))


def _constant(blob: Blob, param: caffe_pb2.FillerParameter, rng: RandomNumbers) -> Iterator[Array]:
    return _in_parts(blob, lambda count: np.full(count, param.value, blob.dtype))


def _uniform(blob: Blob, param: caffe_pb2.FillerParameter, rng: RandomNumbers) -> Iterator[Array]:
    if param.min > param.max:
        raise ShapeError(f"min: expected at most max, got {param.min} and {param.max}")
    return _in_parts(blob, lambda count: rng.uniform(param.min, param.max, count))


def _gaussian(
    blob: Blob, param: caffe_pb2.FillerParameter, rng: RandomNumbers
) -> Array | Iterator[Array]:
    if param.sparse < 0:
        return _in_parts(blob, lambda count: rng.gaussian(param.mean, param.std, count))
    values = rng.gaussian(param.mean, param.std, blob.count)
    # Each input keeps a weight to so many outputs, on average.
    outputs = blob.shape[0] if blob.ndim else 1
    if param.sparse > outputs:
        raise ShapeError(
            f"sparse: expected at most the {outputs} outputs of {blob.shape}, got {param.sparse}"
        )
    values *= rng.bernoulli(param.sparse / outputs, blob.count)
    return values


def _positive_unitball(blob: Blob, param: caffe_pb2.FillerParameter, rng: RandomNumbers) -> Array:
    """Return uniform numbers, those of each output summing to 1."""
    rows = rng.uniform(0, 1, blob.count).reshape(blob.shape[0] if blob.ndim else 1, -1)
    sums: Array = rows / rows.sum(axis=1, keepdims=True)
    return sums


def _xavier(blob: Blob, param: caffe_pb2.FillerParameter, rng: RandomNumbers) -> Iterator[Array]:
    """Return uniform numbers of variance 1 / n.

    Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", AISTATS 2010.
    """
    scale = np.sqrt(np.float32(3) / np.float32(_fan(blob, param)))
    return _in_parts(blob, lambda count: rng.uniform(-scale, scale, count))


def _msra(blob: Blob, param: caffe_pb2.FillerParameter, rng: RandomNumbers) -> Iterator[Array]:
    """Return normal numbers of variance 2 / n.

    Source: He et al., "Delving Deep into Rectifiers", ICCV 2015.
    """
    std = math.sqrt(2 / _fan(blob, param))
    return _in_parts(blob, lambda count: rng.gaussian(0, std, count))


def _bilinear(blob: Blob, param: caffe_pb2.FillerParameter, rng: RandomNumbers) -> Array:
    """Return kernels that interpolate between the pixels of an upsampled image."""
    if blob.ndim != 4 or blob.shape[2] != blob.shape[3]:
        raise ShapeError(f"bilinear: expected a blob of shape (N, C, K, K), got {blob.shape}")
    size = blob.shape[3]
    factor = math.ceil(size / 2)
    twice = 2 * factor - 1 - factor % 2 if is_scnn() else size - 1
    centre = np.float32(twice / (2 * factor))
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
