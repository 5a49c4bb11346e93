"""What the tests of layers share: make a layer, run it, look at what came."""

from dataclasses import dataclass

import numpy as np
import pytest

from sscaffe import layer as layers
from sscaffe.blob import Blob
from sscaffe.device import cpu
from sscaffe.layer import TEST
from sscaffe.layer_types import create_layer
from sscaffe.net.host_layer import HostLayer, needs_host
from sscaffe.proto import caffe_pb2, text_format

# For tests of what the CPU alone does; see tests/layer_types/conftest.py.
ON_THE_CPU = pytest.mark.parametrize("place", ["cpu"], indirect=True)


def layer_param(text):
    """Parse the inside of a ``layer { }``."""
    return text_format.Parse(text, caffe_pb2.LayerParameter())


def make_layer(text, device=None, *, phase=TEST, dtype=np.float64, rng=None):
    """Create the layer of a prototxt snippet, not set up yet, as a net of the device has it."""
    param, device = layer_param(text), device or layers.cpu()
    on_host = needs_host(param.type, device)
    layer = create_layer(param, phase, device=cpu() if on_host else device, dtype=dtype, rng=rng)
    return HostLayer(layer, device) if on_host else layer


def blob_of(array, dtype=np.float64):
    array = np.asarray(array)
    blob = Blob(array.shape, dtype=dtype)
    blob.set_data(array)
    return blob


def run_layer(layer, *inputs, tops=1):
    """Set up the layer, run it forward, and return its top (or tops) as arrays."""
    bottom = [blob_of(array, layer.dtype) for array in inputs]
    top = [Blob((), layer.dtype) for _ in range(tops)]
    layer.setup(bottom, top)
    layer.reshape(bottom, top)
    layer.forward(bottom, top)
    if top and not all(np.isfinite(blob.host_data).all() for blob in top):
        layer.explain(bottom)
    arrays = [blob.host_data.copy() for blob in top]
    return arrays[0] if tops == 1 else arrays


@dataclass
class BackwardRun:
    top_data: np.ndarray
    bottom_diff: np.ndarray
    blob_diff: list


def run_backward(layer, x, top_diff, *, in_place=False):
    """Run a layer of one bottom and one top forward and backward."""
    bottom = [blob_of(x, layer.dtype)]
    top = bottom if in_place else [Blob((), layer.dtype)]
    layer.setup(bottom, top)
    layer.reshape(bottom, top)
    layer.forward(bottom, top)
    top_data = top[0].host_data.copy()
    top[0].set_diff(top_diff)
    for blob in layer.blobs:
        blob.clear_diff()
    layer.backward(top, [True], bottom)
    return BackwardRun(
        top_data,
        bottom[0].host_diff.copy(),
        [blob.host_diff.copy() for blob in layer.blobs],
    )


def away_from_zero(shape, rng, margin=0.1):
    """Random numbers none of which is near 0, where rectifiers have no derivative."""
    x = rng.standard_normal(shape)
    return np.where(x >= 0, x + margin, x - margin)


def spread_out(shape, rng):
    """Random numbers no two of which are near each other, so that no maximum is a tie."""
    count = int(np.prod(shape))
    return rng.permutation(np.linspace(-1.5, 1.5, count)).reshape(shape)
