"""The ways in which a compact net runs give the same, from less memory and with fewer copies."""

import logging

import numpy as np
import pytest

from sscaffe import _core, memo
from sscaffe.arena import Arena, Joined
from sscaffe.layer import TEST
from sscaffe.net import Net, ways as ways_module
from sscaffe.net.ways import Way, Ways
from sscaffe.prototxt import parse_net
from sscaffe.weighted import choice
from sscaffe.weighted.race import Race
from tests.squeeze.nets import layer

TAKE_PIECE = Joined.take_piece
TOLERANCE = 1e-5  # of the largest element: a kernel of another layout adds in another order
MODES = ("", "", "", "DIRECT_DCONV", "LOWERED_CCNMM", "DIRECT_SCONV", "LOWERED_GEMM")


@pytest.fixture(autouse=True)
def nothing_is_remembered(monkeypatch):
    monkeypatch.setattr(memo, "recall", lambda key: None)
    monkeypatch.setattr(memo, "remember", lambda key, times: None)


def choose(monkeypatch, batch, joined):
    """Let this way be the fastest where it is one."""

    def measure(self, ways, forward):
        best = Way(batch, joined) if Way(batch, joined) in ways else ways[0]
        return {way.name: 1.0 + (way != best) for way in ways}

    monkeypatch.setattr(Ways, "_measure", measure)


def conv(bottom, top, outputs, mode="", kernel=3):
    return layer(
        "Convolution",
        bottom,
        top,
        f"convolution_param {{ num_output: {outputs} kernel_size: {kernel} pad: {kernel // 2} "
        f"weight_filler {{ type: 'msra' }} {f'conv_mode: {mode}' if mode else ''} }}",
    )


def data(batch, channels=16):
    dims = " ".join(f"dim: {size}" for size in (batch, channels, 7, 5))
    return f"layer {{ name: 'x' type: 'Input' top: 'x' input_param {{ shape {{ {dims} }} }} }}\n"


def fire(bottom, top, outputs=(32, 16)):
    """Return a squeezing convolution, and those that read it and are joined."""
    text = conv(bottom, f"{top}s", 16, kernel=1) + layer("ReLU", f"{top}s", f"{top}s")
    for i, size in enumerate(outputs):
        text += conv(f"{top}s", f"{top}{i}", size, kernel=1 + 2 * i)
        text += layer("ReLU", f"{top}{i}", f"{top}{i}", name=f"r{top}{i}")
    return text + layer("Concat", " ".join(f"{top}{i}" for i in range(len(outputs))), top)


FIRES = fire("x", "a") + fire("a", "b", (16, 48)) + layer("Softmax", "b", "y")


class RandomConcats:
    """A net of convolutions, layers in place and Concats of whatever is there."""

    def __init__(self, rng, batch):
        self.rng, self.text, self.blobs, self.count = rng, data(batch), [("x", 16)], 0
        self.read = set()
        for _ in range(int(rng.integers(4, 14))):
            self.grow()

    def pick(self, choices):
        return choices[int(self.rng.integers(len(choices)))]

    def add(self, kind, names, channels, more=""):
        self.count += 1
        top = f"t{self.count}"
        self.text += layer(kind, " ".join(names), top, more)
        self.read.update(names)
        self.blobs.append((top, channels))

    def grow(self):
        kind = self.pick(("conv", "conv", "conv", "concat", "concat", "in place", "other"))
        name, channels = self.pick(self.blobs[-4:])
        if kind == "conv":
            self.count += 1
            top, outputs = f"t{self.count}", self.pick((16, 32, 48, 20, 3))
            self.text += conv(name, top, outputs, self.pick(MODES), self.pick((1, 3)))
            self.read.add(name)
            self.blobs.append((top, outputs))
        elif kind == "concat":
            parts = [self.pick(self.blobs[-5:]) for _ in range(self.pick((1, 2, 2, 3)))]
            axis = self.pick((1, 1, 1, 1, 1, -3))
            total = sum(part[1] for part in parts)
            self.add("Concat", [p[0] for p in parts], total, f"concat_param {{ axis: {axis} }}")
        elif kind == "in place" and name != "x" and name not in self.read:
            self.count += 1
            self.text += layer(self.pick(("ReLU", "Dropout")), name, name, name=f"p{self.count}")
        elif kind == "other":
            more = "pooling_param { kernel_size: 3 stride: 1 pad: 1 }"
            made = self.pick((("Pooling", more), ("Split", ""), ("ReLU", ""), ("Eltwise", "")))
            names = [name, name] if made[0] == "Eltwise" else [name]
            self.add(made[0], names, channels, made[1])
            if made[0] == "Split":
                self.read.add(self.blobs[-1][0])  # nothing may change it in place


def nets_of(text, count):
    """Return nets of the same weights."""
    nets = [Net(parse_net(text), TEST) for _ in range(count)]
    new_weights(nets, np.random.default_rng(5))
    return nets


def new_weights(nets, rng):
    """Give nets the same weights, some of them 0 in a third of the input channels."""
    for name, blobs in nets[0].params.items():
        for i, blob in enumerate(blobs):
            values = rng.standard_normal(blob.shape) / np.sqrt(np.prod(blob.shape[1:]) + 1)
            if i == 0:
                values[:, : values.shape[1] // 3] = 0
            for net in nets:
                net.params[name][i].set_data(values)


@pytest.mark.parametrize("seed", range(150))
def test_random_concats(monkeypatch, seed):
    rng = np.random.default_rng(seed)
    batch = int(rng.integers(1, 4))
    made = RandomConcats(rng, batch)
    plain, copied, joined = nets_of(made.text, 3)
    keep = [name for name, _ in made.blobs if name != "x" and rng.random() < 0.15]
    for net in (copied, joined):
        net.compact(keep)
    choose(monkeypatch, 1, joined=True)
    # AUTO may choose what is fast by accident, but the same for both.
    monkeypatch.setattr(
        choice, "race", lambda kernels, *_: Race({k: len(k) for k in kernels}, True)
    )
    names = [*joined.outputs, *keep]
    for shape in [(batch, 16, 7, 5)] * 5 + [(2, 16, 7, 5)] * 4 + [(1, 16, 8, 6)] * 5:
        x = rng.standard_normal(shape)
        if shape[2] != joined.blobs["x"].shape[2]:
            new_weights([plain, copied, joined], rng)  # those that were dropped fit one size
        if rng.random() < 0.2:
            joined.blobs["x"].reshape(*shape)
            joined.reshape()
            assert joined.blobs[names[0]].shape[0] == shape[0]
        results = []
        for net in (plain, copied, joined):
            if net is copied:
                # The same kernels, and no part is where its Concat wants it.
                monkeypatch.setattr(Joined, "take_piece", lambda s, _, n: s.take_elsewhere(n))
            net.blobs["x"].reshape(*shape)
            net.blobs["x"].set_data(x)
            net.forward()
            results.append([net.blobs[name].const_data.copy() for name in names])
            if net is copied:
                monkeypatch.setattr(Joined, "take_piece", TAKE_PIECE)
        for one, other, last in zip(*results, strict=True):
            np.testing.assert_array_equal(last, other)
            scale = abs(one).max(initial=1e-3)
            np.testing.assert_allclose(last, one, rtol=0, atol=TOLERANCE * scale)


def joins(net):
    """Run a net until it is recorded; return how many Concats are calls of their own."""
    for _ in range(5):
        net.blobs["x"].set_data(np.ones(net.blobs["x"].shape))
        net.forward()
    calls = net._ways.replay._tape._calls
    return sum(function.__name__ == "join_channels" for function, _ in calls)


@pytest.mark.skipif(not _core.has_onednn, reason="there is one layout without oneDNN")
@pytest.mark.parametrize("batch", [1, 3])
def test_nothing_is_copied(monkeypatch, batch):
    counts = []
    for joined in (False, True):
        choose(monkeypatch, 1, joined)
        net = Net(parse_net(data(batch) + FIRES), TEST)
        net.compact()
        counts.append(joins(net))
    assert counts == [2, 0]


def test_a_part_that_is_kept_is_copied(monkeypatch):
    choose(monkeypatch, 1, joined=True)
    net = Net(parse_net(data(1) + FIRES), TEST)
    net.compact("a1")
    assert joins(net) == 1


def test_inputs_outputs_and_kept_blobs_are_whole(monkeypatch, rng):
    choose(monkeypatch, 1, joined=False)
    text = data(4) + FIRES
    whole, parted = nets_of(text, 2)
    parted.compact("a")
    held = parted.blobs["y"].data
    for _ in range(5):
        x = rng.standard_normal((4, 16, 7, 5))
        wanted, got = whole.forward(x=x)["y"], parted.forward(x=x)["y"]
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-6)
        np.testing.assert_array_equal(held, got)
        np.testing.assert_array_equal(parted.blobs["x"].const_data, x.astype(np.float32))
        np.testing.assert_allclose(
            parted.blobs["a"].const_data, whole.blobs["a"].const_data, rtol=1e-5, atol=1e-5
        )
    assert parted._ways.replay._tape is not None


@pytest.mark.parametrize(
    "more",
    [
        layer("InnerProduct", "y", "z", "inner_product_param { num_output: 3 }"),
        layer("Concat", "y y", "z", "concat_param { axis: 0 }"),
        layer("Softmax", "y", "z", "softmax_param { axis: 0 }"),
        layer("BatchNorm", "y", "z", "batch_norm_param { use_global_stats: false }"),
        layer("Reduction", "y", "z"),
    ],
)
def test_what_is_not_parted(monkeypatch, more):
    choose(monkeypatch, 1, joined=False)
    net = Net(parse_net(data(4) + conv("x", "y", 16) + more), TEST)
    net.compact()
    net.forward()
    assert net._ways._way == Way(0, joined=False)


def test_an_input_that_is_changed_is_not_parted(monkeypatch):
    choose(monkeypatch, 1, joined=False)
    net = Net(parse_net(data(4) + layer("ReLU", "x", "x") + conv("x", "y", 16)), TEST)
    net.compact()
    net.blobs["x"].data[...] = -1
    net.forward()
    assert net._ways._way == Way(0, joined=False)
    assert not net.blobs["x"].const_data.any()


def test_it_is_measured_once_and_told(monkeypatch, caplog):
    times, taken = {}, []

    def time_of(self, way, forward):
        taken.append(way)
        return way.batch * (2.0 if way.batch > 1 else 1.0)

    monkeypatch.setattr(Ways, "_time", time_of)
    monkeypatch.setattr(memo, "recall", times.get)
    monkeypatch.setattr(memo, "remember", times.__setitem__)
    with caplog.at_level(logging.INFO, "sscaffe"):
        for _ in range(2):
            net = Net(parse_net("name: 'fires'" + data(4) + FIRES), TEST)
            net.compact()
            net.forward()
    assert set(taken) == {Way(4, joined=False), Way(1, joined=False), Way(1, joined=True)}
    assert len(taken) == 3 * ways_module.ROUNDS
    assert net._ways._way == Way(1, joined=False)
    assert "fires: 4 images run 1 at once; 1 ms an image instead of 2" in caplog.text
    net.blobs["x"].reshape(20, 16, 7, 5)
    net.forward()
    assert max(way.batch for way in taken) == ways_module.LARGE


def test_measuring_leaves_the_inputs_and_the_result_alone(rng):
    plain, compact = nets_of(data(3) + FIRES, 2)
    compact.compact()
    x = rng.standard_normal((3, 16, 7, 5))
    np.testing.assert_allclose(compact.forward(x=x)["y"], plain.forward(x=x)["y"], atol=1e-6)


def test_memory_of_what_is_joined():
    """Pieces are of one buffer, which is free again when the last of them is given back."""
    arena = Arena()
    sizes = [32, 64]
    joined = Joined(arena, arena, lambda: list(sizes))
    assert joined.piece(0).take(32).base is not joined.take(96).base
    joined.is_on = True
    first, second = joined.piece(0).take(32), joined.piece(1).take(64)
    whole = joined.take(96)
    assert np.shares_memory(first, whole[:32])
    assert np.shares_memory(second, whole[32:])
    assert not np.shares_memory(joined.piece(0).take(32), whole)
    sizes[0] = 48
    assert not np.shares_memory(joined.piece(0).take(48), whole)
    for buffer in (first, second, whole):
        assert not arena._free
        joined.give_back(buffer)
    assert [buffer.size for buffer in arena._free] == [96]
    assert np.shares_memory(joined.piece(0).take(48), joined.take(112))
