"""Random nets of all shapes, with dead filters and channels: squeezed they compute the same."""

import re

import numpy as np

from sscaffe.layer import TEST
from sscaffe.net import Net
from sscaffe.prototxt import parse_net
from sscaffe.squeeze import squeeze
from tests.net.random_nets import RandomNet, random_weights
from tests.squeeze.nets import assert_same

NETS = 200


def weights(layer, index, shape, rng):
    """Return weights of a layer: dead filters, input channels or all; biases that are often 0."""
    if layer.type in ("BatchNorm", "Scale", "PReLU"):
        return rng.uniform(0.5, 1.5, shape)
    values = random_weights(shape, rng)
    if index:
        return values * (rng.random() < 0.5) * (rng.random(shape) < 0.7)
    if rng.random() < 0.7:
        values[rng.random(len(values)) < rng.random()] = 0
    if rng.random() < 0.3 and values.ndim > 1:
        values[:, rng.random(shape[1]) < rng.random()] = 0
    return values * (rng.random() > 0.1)


def test_random_nets_are_what_they_were():
    smaller = 0
    for seed in range(NETS):
        rng = np.random.default_rng(seed)
        text = RandomNet(rng).grow(int(rng.integers(3, 16))).text
        param = parse_net(re.sub(r"(conv|gemm)_mode: \w+", "", text))
        net = Net(param, TEST)
        for layer in net.layers:
            for i, blob in enumerate(layer.blobs):
                blob.set_data(weights(layer, i, blob.shape, rng))
        before = {name: [b.const_data.copy() for b in bs] for name, bs in net.params.items()}
        small = squeeze(param, before)
        assert_same(net, small, rng)
        counts = [sum(b.size for bs in w.values() for b in bs) for w in (before, small.weights)]
        assert counts[1] <= counts[0] + sum(1 for name in small.weights if name not in before) * 40
        smaller += counts[1] < counts[0]
    assert smaller > NETS / 5
