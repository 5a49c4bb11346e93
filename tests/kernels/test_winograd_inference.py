"""Winograd's convolution in TEST against plain sums in float64, and where it is used.

Errors are relative to the largest number of the result; what is tolerated is said in
test_winograd.py.
"""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from sscaffe import TEST, Net, _core
from sscaffe.blob import Blob
from sscaffe.kernels import cpu_winograd
from sscaffe.kernels.tape import Tape
from tests.kernels.test_winograd import (
    OUTPUT,
    SHAPES,
    assert_near,
    blob,
    convolution_of,
    geometry,
    operands,
    operator_of,
)
from tests.reference import convolution

pytestmark = pytest.mark.skipif(not _core.has_onednn, reason="needs oneDNN")

GROUPS = {
    "two groups": replace(geometry(32, 64, (7, 9), 3, 1), group=2),
    "four groups": replace(geometry(64, 64, (6, 5), 3, 1), group=4),
    "groups in no blocks of vectors": replace(geometry(32, 200, (6, 6), 3, 1), group=2),
    "groups of half blocks": replace(geometry(48, 48, (6, 6), 3, 0), group=2),
}
OURS = {name: g for name, g in (SHAPES | GROUPS).items() if g.kernel == (3, 3)}
FEW, MANY = 1, 3  # images: with the first the weights are kept


def weights_of(g, rng):
    shape = (g.out_channels, g.in_channels // g.group, *g.kernel)
    return rng.standard_normal(shape).astype(np.float32)


@pytest.fixture
def everywhere(monkeypatch):
    monkeypatch.setattr(cpu_winograd, "infers", lambda g, batch: g.kernel == (3, 3))
    monkeypatch.setattr(cpu_winograd, "keeps_weights", lambda g, batch: batch == FEW)


@pytest.mark.usefixtures("isa", "threads", "everywhere")
@pytest.mark.parametrize("batch", [FEW, MANY])
@pytest.mark.parametrize("name", OURS)
def test_all_that_a_layer_does(name, batch, rng):
    g = OURS[name]
    x, _, b, other = operands(replace(g, group=1), rng, batch)
    w = weights_of(g, rng)
    plain = convolution(x, w, None, g)
    largest = abs(plain).max()
    for bias, add, relu in itertools.product((b, None), (other, None), (False, True)):
        operator, top = operator_of(g, batch, train=False), Blob(other.shape)
        weights = blob(w)
        operator.forward(
            blob(x),
            weights,
            None if bias is None else blob(bias),
            top,
            None if add is None else blob(add),
            relu,
        )
        stored = top.data_tensor.memory(top.shape).values.copy()
        # oneDNN parts the channels of a group where its layout is of blocks.
        is_known = name not in ("groups of half blocks", "groups in no blocks of vectors")
        assert operator.description == "Winograd F(4x4, 3x3)" or not is_known
        expected = plain + (0 if bias is None else b.reshape(-1, 1, 1))
        expected = expected + (0 if add is None else add)
        expected = np.maximum(expected, 0) if relu else expected
        np.testing.assert_allclose(top.const_data, expected, rtol=0, atol=OUTPUT * largest)
        assert np.count_nonzero(stored) == np.count_nonzero(top.const_data)  # what fills up is 0
        np.testing.assert_array_equal(weights.const_data, w)


@pytest.mark.usefixtures("isa", "everywhere")
def test_a_sum_in_place(rng):
    g = SHAPES["odd 3x3"]
    x, w, b, added = operands(g, rng)
    top = blob(added)
    operator_of(g, train=False).forward(blob(x), blob(w), blob(b), top, top, True)
    assert_near(top.const_data, np.maximum(convolution(x, w, b, g) + added, 0), OUTPUT)


@pytest.mark.usefixtures("isa", "everywhere")
def test_many_channels(rng):
    """Their sums are made of several."""
    g = geometry(520, 48, (5, 5), 3, 1)
    x, w, b, _ = operands(g, rng, FEW)
    top = Blob((FEW, 48, 5, 5))
    operator_of(g, FEW, train=False).forward(blob(x), blob(w), blob(b), top)
    assert_near(top.const_data, convolution(x, w, b, g), OUTPUT)


PARTED = {  # large enough for all threads: filters in parts, tiles in blocks, groups of both
    "filters": convolution_of(64, 256, 13, 3),
    "blocks": convolution_of(32, 32, 60, 3),
    "groups": convolution_of(128, 256, 13, 3, group=2),
}


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("name", PARTED)
def test_same_bits(name, rng, set_num_threads):
    """Whatever the number of threads and images."""
    g = PARTED[name]
    x, _, b, _ = operands(replace(g, group=1), rng, batch=MANY)
    w, found = weights_of(g, rng), []
    for threads, batch in itertools.product((1, 2, 3, 4), (FEW, MANY)):
        set_num_threads(threads)
        top = Blob((batch, g.out_channels, *g.output))
        operator_of(g, batch, train=False).forward(blob(x[:batch]), blob(w), blob(b), top)
        found.append(top.const_data[:FEW].copy())
    assert all(one.tobytes() == found[0].tobytes() for one in found)
    assert_near(found[0], convolution(x[:FEW], w, b, g), OUTPUT)


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("batch", [FEW, MANY])
def test_other_weights(batch, rng):
    """They are prepared anew: whether written in place, shared, or of another instruction set."""
    g = SHAPES["odd 3x3"]
    x, w, b, _ = operands(g, rng, batch)
    operator, top, weights = operator_of(g, batch, train=False), Blob((batch, 16, 7, 11)), blob(w)
    for factor in (1, -2, -2):
        weights.data[...] = factor * w
        operator.forward(blob(x), weights, blob(b), top)
        assert_near(top.const_data, convolution(x, factor * w, b, g), OUTPUT)
    operator.forward(blob(x), blob(3 * w), blob(b), top)
    assert_near(top.const_data, convolution(x, 3 * w, b, g), OUTPUT)


@pytest.mark.usefixtures("isa", "everywhere")
@pytest.mark.parametrize("batch", [FEW, MANY])
def test_weights_for_another_instruction_set(batch, rng):
    g = SHAPES["odd 3x3"]
    x, w, b, _ = operands(g, rng, batch)
    operator, top, weights = operator_of(g, batch, train=False), Blob((batch, 16, 7, 11)), blob(w)
    expected = convolution(x, w, b, g)
    for name in (_core.cpu_features(), "portable", _core.cpu_features()):
        _core.set_isa(name)
        operator.forward(blob(x), weights, blob(b), top)
        assert_near(top.const_data, expected, OUTPUT)


@pytest.mark.usefixtures("everywhere")
def test_a_tape_repeats_it_without_python(rng):
    g = SHAPES["3x3"]
    x, w, b, _ = operands(g, rng, FEW)
    operator, top = operator_of(g, FEW, train=False), Blob((FEW, 16, 8, 8))
    arguments = blob(x), blob(w), blob(b), top
    operator.forward(*arguments)
    with Tape() as tape:
        operator.forward(*arguments)
    assert len(tape) == 1
    assert len(tape._joined) == 1
    expected = top.const_data.copy()
    top.data_tensor.memory_in(top.data_tensor.memory(top.shape).layout, top.shape)
    tape.replay()
    np.testing.assert_array_equal(top.const_data, expected)


RULE = {
    "SqueezeNet": (convolution_of(16, 64, 55, 3), 1, True, True),
    "SqueezeNet, the smallest images": (convolution_of(64, 256, 13, 3), 1, True, True),
    "ResNet-20": (convolution_of(64, 64, 8, 3), 1, True, True),
    "conv4 of CaffeNet": (convolution_of(384, 384, 13, 3, group=2), 32, True, False),
    "conv4 of CaffeNet, one image": (convolution_of(384, 384, 13, 3, group=2), 1, True, True),
    "conv4 of CaffeNet, few images": (convolution_of(384, 384, 13, 3, group=2), 4, False, False),
    "conv3 of VGG-16": (convolution_of(256, 256, 56, 3), 1, True, False),
    "conv4 of VGG-16": (convolution_of(512, 512, 28, 3), 1, True, True),
    "conv4 of VGG-16, many images": (convolution_of(512, 512, 28, 3), 32, True, False),
    "conv5 of VGG-16": (convolution_of(512, 512, 14, 3), 1, False, True),
    "small images": (convolution_of(64, 64, 5, 3), 32, False, True),
    "few channels": (convolution_of(15, 64, 32, 3), 32, False, True),
    "few channels of a group": (convolution_of(64, 64, 32, 3, group=8), 32, False, True),
    "strides": (convolution_of(64, 64, 32, 3, stride=2), 32, False, True),
    "5 x 5": (convolution_of(32, 32, 16, 5), 32, False, True),
}


@pytest.mark.parametrize("name", RULE)
def test_the_rule(name, monkeypatch):
    g, batch, infers, keeps = RULE[name]
    monkeypatch.delenv(cpu_winograd.SWITCH, raising=False)
    assert cpu_winograd.infers(g, batch) == infers
    assert cpu_winograd.keeps_weights(g, batch) == keeps
    place = cpu_winograd.place()
    monkeypatch.setenv(cpu_winograd.SWITCH, "0")
    assert not cpu_winograd.infers(g, batch)
    assert cpu_winograd.place() != place


def test_the_core_refuses_memory_of_other_sizes(rng):
    sizes = {"batch": 1, "in_channels": 16, "out_channels": 16, "group": 1, "bias": False}
    square = {"input": (8, 8), "output": (8, 8), "kernel": (3, 3), "pad": (1, 1), "train": False}
    primitive = _core.WinogradConvolution(**sizes, **square, passes=(True, False, False))
    x, w = blob(np.zeros((1, 16, 8, 8), np.float32)), blob(np.zeros((16, 16, 3, 3), np.float32))
    bottom, weights = x.data_tensor.memory(x.shape), w.data_tensor.memory(w.shape)
    with pytest.raises(ValueError, match="expected memory of prepared_layout"):
        primitive.prepare(weights, _core.Memory(_core.Layout((16, 16, 3, 3))))
    with pytest.raises(ValueError, match="expected a top of the layer's shape"):
        primitive.forward(bottom, weights, None, _core.Memory(_core.Layout((1, 16, 8, 9))))
    with pytest.raises(ValueError, match="one group for backward passes"):
        _core.WinogradConvolution(**sizes | {"group": 2}, **square, passes=(True, True, True))


CONV = "type: 'Convolution' convolution_param { num_output: %d kernel_size: %d pad: %d %s }"
FILL = "weight_filler { type: 'xavier' } bias_filler { type: 'gaussian' std: 0.1 }"
NET = f"""
layer {{ name: 'data' type: 'Input' top: 'data'
  input_param {{ shape {{ dim: %d dim: 16 dim: 14 dim: 14 }} }} }}
layer {{ name: 'squeeze' bottom: 'data' top: 's' {CONV % (16, 1, 0, FILL)} }}
layer {{ name: 'one' bottom: 's' top: 'one' {CONV % (32, 1, 0, FILL)} }}
layer {{ name: 'three' bottom: 's' top: 'three' {CONV % (32, 3, 1, FILL)} }}
layer {{ name: 'relu' type: 'ReLU' bottom: 'three' top: 'three' }}
layer {{ name: 'concat' type: 'Concat' bottom: 'one' bottom: 'three' top: 'c' }}
layer {{ name: 'a' bottom: 'c' top: 'a' {CONV % (64, 3, 1, FILL)} }}
layer {{ name: 'sum' type: 'Eltwise' bottom: 'a' bottom: 'c' top: 'sum' }}
layer {{ name: 'relu2' type: 'ReLU' bottom: 'sum' top: 'sum' }}
layer {{ name: 'reshape' type: 'Reshape' bottom: 'sum' top: 'r'
  reshape_param {{ shape {{ dim: 0 dim: 32 dim: 28 dim: 14 }} }} }}
layer {{ name: 'last' bottom: 'r' top: 'last' {CONV % (16, 3, 1, FILL)} }}
"""


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("batch", [FEW, MANY])
def test_a_net(batch, tmp_path, rng, monkeypatch):
    """Concat, sum, ReLU and Reshape around it; as it is and compact, where calls are repeated."""
    path, weights = tmp_path / "net.prototxt", tmp_path / "weights.caffemodel"
    path.write_text(NET % batch)
    Net(path, TEST).save(weights)
    images = rng.standard_normal((5, batch, 16, 14, 14)).astype(np.float32)

    def run(compact):
        net = Net(path, TEST, weights=weights)
        if compact:
            net.compact(["last"])
        for x in images:
            net.blobs["data"].set_data(x)
            net.forward()
            yield net.blobs["last"].const_data.copy()

    found = [list(run(compact)) for compact in (False, True)]
    monkeypatch.setattr(cpu_winograd, "infers", lambda g, batch: False)
    for one, other, plain in zip(*found, run(False), strict=True):
        assert_near(one, plain, OUTPUT)
        assert_near(other, plain, OUTPUT)
        assert one.tobytes() != plain.tobytes() != other.tobytes()
