"""Random nets: fused, compact, sparse and replayed they give what their layers give one by one."""

import re

import numpy as np
import pytest

from sscaffe import memo
from sscaffe.layer import TEST
from sscaffe.net import Net
from sscaffe.net.ways import Ways
from sscaffe.prototxt import parse_net
from sscaffe.weighted import choice
from sscaffe.weighted.race import Race
from tests.net.random_nets import RandomNet, random_weights

NETS = 200
DENSE = {"Conv": "conv_mode: DIRECT_DCONV", "Inner": "gemm_mode: GEMM", "Deconv": ""}
NO_BACKWARD = re.compile("LOWERED_C|SCONV|SPMDM|CCNMM|stable_prod")  # or divide by zeros
TOLERANCE = 2e-4  # of the largest element: Softmax of large numbers makes roundings larger


@pytest.fixture(autouse=True)
def any_kernel_wins(monkeypatch):
    """Let AUTO choose at random, not by what happens to be fast."""
    rng = np.random.default_rng(1)
    monkeypatch.setattr(
        choice, "race", lambda kernels, *_: Race({k: rng.random() for k in kernels}, True)
    )
    monkeypatch.setattr(Ways, "_measure", lambda _, ways, *__: {w.name: rng.random() for w in ways})
    monkeypatch.setattr(memo, "recall", lambda key: None)
    monkeypatch.setattr(memo, "remember", lambda key, times: None)


class Pair:
    """A net, and the same one with dense kernels that runs layer by layer."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.made = RandomNet(self.rng).grow(int(self.rng.integers(3, 16)))
        dense = re.sub(r"(conv|gemm)_mode: \w+", "", self.made.text)
        dense = dense.replace("num_output", "MODE num_output")
        for kind, mode in DENSE.items():
            dense = re.sub(rf"(type: '{kind}.*)MODE", rf"\1{mode}", dense)
        self.net = Net(parse_net(self.made.text + "force_backward: true"), TEST)
        self.other = Net(parse_net(dense + "force_backward: true"), TEST)
        self.new_weights()
        self.new_inputs()

    def new_inputs(self, shape=None):
        for name in self.net.inputs:
            values = self.rng.normal(size=shape or self.net.blobs[name].shape)
            for net in (self.net, self.other):
                net.blobs[name].reshape(*values.shape)
                net.blobs[name].set_data(values)

    def new_weights(self, only=None):
        for name, layer in zip(self.net.layer_names, self.net.layers, strict=True):
            if only is not None and name != only:
                continue
            for i in range(len(layer.blobs)):
                values = self.weights(layer, i)
                for net in (self.net, self.other):
                    net.params[name][i].set_data(values)

    def weights(self, layer, i):
        shape = layer.blobs[i].shape
        if layer.type in ("BatchNorm", "Scale", "PReLU"):
            return self.rng.uniform(0.5, 1.5, shape)
        return random_weights(shape, self.rng)

    def wanted(self):
        for step in self.other._steps:
            step.forward()
        return {name: blob.const_data for name, blob in self.other.blobs.items()}

    def check(self, names):
        wanted = self.wanted()
        self.net.run_forward()
        for name in names:
            got = self.net.blobs[name].const_data
            assert got.shape == wanted[name].shape, name
            scale = max(1e-3, abs(wanted[name]).max(initial=0))
            np.testing.assert_allclose(
                got, wanted[name], rtol=0, atol=TOLERANCE * scale, err_msg=name
            )

    def check_backward(self):
        """Compare gradients, given those of the outputs."""
        self.wanted()
        self.net.run_forward()
        for name in self.net.outputs:
            gradient = self.rng.normal(size=self.net.blobs[name].shape)
            for net in (self.net, self.other):
                net.blobs[name].set_diff(gradient)
        for net in (self.net, self.other):
            net.clear_param_diffs()
        self.net.run_backward()
        for step in reversed(self.other._steps):
            step.backward()
        pairs = [(self.net.blobs[name], self.other.blobs[name]) for name in self.net.inputs]
        for name, blobs in self.net.params.items():
            pairs += zip(blobs, self.other.params[name], strict=True)
        largest = [abs(other.const_diff).max(initial=0) for _, other in pairs]
        for (blob, other), scale in zip(pairs, largest, strict=True):
            scale = max(scale, 0.1 * max(largest))  # a BatchNorm leaves a bias about 0
            np.testing.assert_allclose(
                blob.const_diff, other.const_diff, rtol=0, atol=TOLERANCE * scale
            )


@pytest.mark.parametrize("seed", range(NETS))
def test_a_net_gives_what_its_layers_give(seed):
    pair = Pair(seed)
    every = list(pair.net.blobs)
    pair.check(every)
    pair.new_inputs()
    pair.check(every)
    pair.new_inputs()
    if pair.net.params:
        pair.new_weights(only=str(pair.rng.choice(list(pair.net.params))))
        pair.check(every)
    pair.net.run_forward(0, int(pair.rng.integers(len(pair.net.layers))))
    pair.new_weights()
    pair.new_inputs()  # A layer that runs in place has changed them.
    pair.check(every)
    if not NO_BACKWARD.search(pair.made.text):
        pair.new_inputs()
        pair.check_backward()


@pytest.mark.parametrize("seed", range(NETS))
def test_a_compact_net_does_so_again_and_again(seed):
    pair = Pair(seed)
    keep = [name for name in pair.net.blobs if pair.rng.random() < 0.1]
    pair.net.compact(keep)
    read = [*pair.net.inputs, *pair.net.outputs, *keep]
    held = [pair.net.blobs[name].data for name in pair.net.outputs if pair.rng.random() < 0.3]
    for _ in range(4):
        pair.check(read)
        pair.new_inputs()
    for values in held:
        values[...] = -1
    pair.new_inputs()
    pair.check(read)
    del held
    pair.new_weights()  # all of them, as from a file: some were dropped
    for _ in range(4):
        pair.new_inputs()
        pair.check(read)


@pytest.mark.parametrize("seed", range(NETS))
def test_a_compact_net_takes_other_shapes_and_other_weights(seed):
    pair = Pair(seed)
    pair.net.compact()
    read = [*pair.net.inputs, *pair.net.outputs]
    batch = 2 if pair.made.has_fixed_batch else 3
    if pair.rng.random() < 0.3:
        pair.net.run_forward(0, 0)
    for shape in ((2, 8, 6, 6), (2, 8, 6, 6), (batch, 8, 6, 6), (2, 8, 6, 6)):
        for _ in range(3):
            pair.new_inputs(shape)
            if pair.rng.random() < 0.3:
                pair.net.reshape()
            pair.check(read)
    if not pair.made.has_fixed_image:
        for shape in ((2, 8, 18, 8), (2, 8, 9, 16), (2, 8, 16, 9)):
            pair.new_weights()
            for _ in range(4):
                pair.new_inputs(shape)
                pair.check(read)
    source = Net(pair.net.param, TEST)
    for layer in source.layers:
        for i, blob in enumerate(layer.blobs):
            blob.set_data(pair.weights(layer, i))
            pair.other.params[layer.name][i].set_data(blob.const_data)
    pair.net.share_with(source)
    for _ in range(4):
        pair.new_inputs()
        pair.check(read)
