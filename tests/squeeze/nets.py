"""Building, squeezing and comparing small nets."""

import numpy as np

from sscaffe.layer import TEST
from sscaffe.net import Net
from sscaffe.prototxt import parse_net
from sscaffe.squeeze import squeeze

INPUT = """layer { name: 'x' type: 'Input' top: 'x'
  input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }"""
TOLERANCE = 1e-5  # of the largest output


def layer(kind, bottoms, top, more="", name=None):
    """Return a layer's text; it is named like its top."""
    names = "".join(f" bottom: '{bottom}'" for bottom in bottoms.split())
    tops = "".join(f" top: '{one}'" for one in top.split())
    return f"\nlayer {{ name: '{name or top.split()[0]}' type: '{kind}'{names}{tops} {more} }}"


def conv(bottom, top, outputs=8, kernel=3, more=""):
    """Return a convolution's text."""
    more = f"convolution_param {{ num_output: {outputs} kernel_size: {kernel} {more} }}"
    return layer("Convolution", bottom, top, more)


def weights_of(net, rng):
    """Fill a net with random weights and return them, by layer."""
    for each in net.layers:
        for i, blob in enumerate(each.blobs):
            values = rng.normal(size=blob.shape) / 4
            if each.type in ("BatchNorm", "PReLU") or (each.type == "Scale" and i == 0):
                values = rng.uniform(0.5, 1.5, blob.shape)
            blob.set_data(values)
    return {name: [blob.data for blob in blobs] for name, blobs in net.params.items()}


def squeezed(text, edit, rng):
    """Squeeze a net whose weights `edit` has changed; check that it computes the same."""
    param = parse_net(text)
    net = Net(param, TEST)
    weights = weights_of(net, rng)
    edit(weights)
    small = squeeze(param, {name: [b.copy() for b in blobs] for name, blobs in weights.items()})
    assert_same(net, small, rng)
    return small


def assert_same(net, small, rng):
    """Check that both nets have the same outputs for random inputs."""
    other = Net(small.net, TEST)
    for name, blobs in other.params.items():
        for blob, array in zip(blobs, small.weights[name], strict=True):
            assert blob.shape == array.shape
            blob.set_data(array)
    for name in net.inputs:
        values = rng.normal(size=net.blobs[name].shape)
        for each in (net, other):
            each.blobs[name].set_data(values)
    wanted, got = net.forward(), other.forward()
    assert list(got) == list(wanted)
    for name, array in wanted.items():
        scale = max(abs(array).max(initial=0), 1e-6)
        np.testing.assert_allclose(got[name], array, rtol=0, atol=TOLERANCE * scale, err_msg=name)


def shape(small, name, blob=0):
    """Return the shape of a layer's weights in a squeezed net."""
    return small.weights[name][blob].shape
