"""Convolutions for tests of the GPU's kernels, with what they have to give."""

import numpy as np

from sscaffe.blob import Blob
from sscaffe.device import Device
from sscaffe.geometry import ConvGeometry
from sscaffe.kernels.gpu_runtime import xp
from tests import reference

GPU = Device("gpu:0", xp, None)  # the kernels under test are called by their own names
TOLERANCE = {"float32": 1e-4, "float64": 1e-10}  # of the largest expected element

GEOMETRIES = {
    "3x3": ConvGeometry(3, 5, 1, (7, 9), (3, 3), (1, 1), (1, 1), (1, 1)),
    "group 2, strides": ConvGeometry(6, 10, 2, (11, 8), (3, 2), (2, 3), (1, 0), (1, 1)),
    "dilated, wide pad": ConvGeometry(4, 6, 2, (9, 9), (3, 3), (1, 2), (3, 2), (2, 3)),
    "1x1": ConvGeometry(5, 4, 1, (6, 5), (1, 1), (1, 1), (0, 0), (1, 1)),
    "1x1 group 3": ConvGeometry(6, 9, 3, (5, 5), (1, 1), (1, 1), (0, 0), (1, 1)),
    "whole image": ConvGeometry(2, 3, 1, (5, 4), (5, 4), (1, 1), (0, 0), (1, 1)),
    "1-D": ConvGeometry(4, 6, 2, (13,), (3,), (2,), (1,), (2,)),
    "3-D": ConvGeometry(2, 4, 2, (4, 5, 6), (2, 3, 2), (1, 2, 1), (1, 1, 0), (1, 1, 2)),
    "many columns": ConvGeometry(40, 3, 1, (5, 6), (3, 3), (2, 2), (1, 1), (1, 1)),
    "many rows": ConvGeometry(5, 140, 1, (9, 9), (3, 3), (1, 1), (1, 1), (1, 1)),
}
FLAT = {name: g for name, g in GEOMETRIES.items() if len(g.input) == 2}


def on_device(array, dtype):
    """Return a blob of the device with these values."""
    blob = Blob(array.shape, dtype, GPU)
    blob.data[...] = array
    return blob


class Case:
    """Blobs of a convolution and the top in float64, of what the blobs' dtype holds."""

    def __init__(self, g, dtype, batch=3, zeros=None, seed=1701, bias=True):
        rng = np.random.default_rng(seed)
        self.geometry, self.dtype, self.batch = g, np.dtype(dtype), batch
        weights = rng.standard_normal((g.out_channels, g.in_channels // g.group, *g.kernel))
        if zeros is not None:
            zeros(weights.reshape(g.group, -1, g.kernel_dim), rng)
        self.weights = weights.astype(dtype)
        self.images = rng.standard_normal((batch, g.in_channels, *g.input)).astype(dtype)
        self.bias = rng.standard_normal(g.out_channels).astype(dtype) if bias else None
        self.expected = reference.convolution(self.images, self.weights, self.bias, g)
        self.bottom = on_device(self.images, dtype)
        self.weights_blob = on_device(self.weights, dtype)
        self.bias_blob = on_device(self.bias, dtype) if bias else None
        self.top = self.new_top()

    def new_top(self):
        g = self.geometry
        return Blob((self.batch, g.out_channels, *g.output), self.dtype, GPU)

    def check(self, top, expected):
        check(top.host_data, expected, self.dtype)


def check(got, expected, dtype):
    """Compare within the tolerance of the dtype."""
    atol = TOLERANCE[np.dtype(dtype).name] * max(1, abs(expected).max())
    np.testing.assert_allclose(got, expected, rtol=0, atol=atol)


def structured(weights, rng):
    """Take out rows and columns of each group, not as many of each, and some single weights."""
    for part in weights:
        part[rng.random(part.shape[0]) < 0.4] = 0
        part[:, rng.random(part.shape[1]) < rng.random()] = 0
    weights[rng.random(weights.shape) < 0.2] = 0


def scattered(weights, rng):
    """Take out most weights, wherever they are."""
    weights[rng.random(weights.shape) < 0.7] = 0


def one_group_gone(weights, rng):
    """Leave nothing of the first group."""
    weights[0] = 0


def nothing_left(weights, rng):
    """Take out all weights."""
    weights[...] = 0


def nothing_gone(weights, rng):
    """Leave everything."""
