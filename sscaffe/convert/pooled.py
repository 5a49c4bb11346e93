"""By what a mean over windows divides, in Caffe and in ONNX."""

from typing import Any

import numpy as np
import numpy.typing as npt

from sscaffe.geometry import PoolGeometry

Array = npt.NDArray[Any]


def divisors(geometry: PoolGeometry, *, count_padding: bool = True) -> Array:
    """Return how many elements of each window count, shape of the top's spatial axes.

    Parameters
    ----------
    geometry : PoolGeometry
        The pooling; what is beyond its padding never counts.
    count_padding : bool
        Whether the padding does.
    """
    g = geometry
    counts: Any = np.ones((), np.float64)
    axes = zip(g.input, g.kernel, g.stride, g.pad, g.end, g.output, strict=True)
    for size, kernel, stride, pad, end, pooled in axes:
        start = np.arange(pooled) * stride - pad
        stop = np.minimum(start + kernel, size + end)
        if not count_padding:
            start, stop = np.maximum(start, 0), np.minimum(stop, size)
        counts = np.multiply.outer(counts, stop - start)
    return np.asarray(counts)
