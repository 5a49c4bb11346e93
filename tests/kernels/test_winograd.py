"""Winograd's convolution against plain sums in float64, and where it is used.

Errors are relative to the largest number of the result. With the points 0, 1, -1, 2, -2 and
infinity the largest seen over the shapes here were 5.1e-6 for outputs, 6.7e-6 for the gradient of
the bottom and 9.6e-6 for that of the weights; those of oneDNN's direct convolution 0.8e-6.
"""

import itertools

import numpy as np
import pytest

from sscaffe import TRAIN, Net, _core
from sscaffe.blob import Blob
from sscaffe.device import cpu
from sscaffe.geometry import ConvGeometry
from sscaffe.kernels import cpu_winograd
from tests.kernels.test_dense import convolve
from tests.reference import convolution

pytestmark = pytest.mark.skipif(not _core.has_onednn, reason="needs oneDNN")

OUTPUT, BOTTOM_DIFF, WEIGHTS_DIFF = 1e-5, 1.5e-5, 2e-5  # what is tolerated
ALL = cpu_winograd.Passes(True, True, True)


def geometry(channels_in, channels_out, image, kernel, pad):
    ones = (1, 1)
    pads = pad if isinstance(pad, tuple) else (pad, pad)
    return ConvGeometry(channels_in, channels_out, 1, image, (kernel, kernel), ones, pads, ones)


SHAPES = {
    "3x3": geometry(16, 16, (8, 8), 3, 1),
    "5x5": geometry(16, 32, (8, 8), 5, 2),
    "odd 3x3": geometry(32, 16, (7, 11), 3, 1),
    "odd 5x5": geometry(48, 16, (7, 9), 5, 2),
    "long 3x3": geometry(16, 16, (5, 41), 3, 1),
    "long 5x5": geometry(16, 16, (3, 37), 5, 2),
    "smaller than a tile": geometry(16, 16, (3, 1), 3, 1),
    "no channels of whole blocks": geometry(20, 50, (12, 12), 5, 0),
    "few channels": geometry(8, 12, (6, 7), 3, 1),
    "filled up blocks": geometry(44, 61, (6, 7), 3, 1),
    "blocks of more than a vector": geometry(48, 100, (6, 7), 3, 1),
    "two pads": geometry(16, 16, (6, 5), 5, (0, 3)),
    **{f"3x3 pad {p}": geometry(16, 16, (6, 9), 3, p) for p in range(3)},
    **{f"5x5 pad {p}": geometry(16, 16, (6, 9), 5, p) for p in range(5)},
}
BATCH = 3


def blob(values):
    made = Blob(values.shape)
    made.set_data(values)
    return made


def gradients(g, x, w, top_diff):
    """Return the diffs of bottom and weights, one place of the kernel at a time."""
    padded = np.pad(x.astype(np.float64), [(0, 0), (0, 0), *((p, p) for p in g.pad)])
    bottom_diff, weights_diff = np.zeros_like(padded), np.zeros(w.shape)
    height, width = g.output
    for y, x_ in itertools.product(*map(range, g.kernel)):
        window = (slice(None), slice(None), slice(y, y + height), slice(x_, x_ + width))
        weights_diff[:, :, y, x_] = np.einsum("nohw,nchw->oc", top_diff, padded[window])
        bottom_diff[window] += np.einsum("nohw,oc->nchw", top_diff, w[:, :, y, x_])
    inside = tuple(slice(p, p + n) for p, n in zip(g.pad, g.input, strict=True))
    return bottom_diff[(slice(None), slice(None), *inside)], weights_diff


def assert_near(found, expected, tolerance):
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * abs(expected).max())


@pytest.fixture
def everywhere(monkeypatch):
    monkeypatch.setattr(cpu_winograd, "passes", lambda g, batch: ALL)


def operator_of(g, batch=BATCH, train=True):
    return cpu().kernels.convolution(g, batch, np.float32, train)


def operands(g, rng, batch=BATCH):
    shapes = [
        (batch, g.in_channels, *g.input),
        (g.out_channels, g.in_channels, *g.kernel),
        (g.out_channels,),
        (batch, g.out_channels, *g.output),
    ]
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


@pytest.mark.usefixtures("isa", "threads", "everywhere")
@pytest.mark.parametrize("name", SHAPES)
def test_all_passes(name, rng):
    g = SHAPES[name]
    x, w, b, top_diff = operands(g, rng)
    bottom, weights, bias, top = blob(x), blob(w), blob(b), Blob(top_diff.shape)
    operator = operator_of(g)
    operator.forward(bottom, weights, bias, top)
    assert operator.description.startswith("Winograd F(")
    stored = top.data_tensor.memory(top.shape).values.copy()
    assert_near(top.const_data, convolution(x, w, b, g), OUTPUT)
    assert np.count_nonzero(stored) == np.count_nonzero(top.const_data)  # what fills up is 0

    top.set_diff(top_diff)
    operator.backward_weights(top, bottom, weights, bias)
    operator.backward_data(top, weights, bottom)
    bottom_diff, weights_diff = gradients(g, x, w, top_diff.astype(np.float64))
    assert_near(bottom.const_diff, bottom_diff, BOTTOM_DIFF)
    assert_near(weights.const_diff, weights_diff, WEIGHTS_DIFF)
    assert_near(bias.const_diff, top_diff.astype(np.float64).sum(axis=(0, 2, 3)), WEIGHTS_DIFF)

    operator.backward_weights(top, bottom, weights, bias)  # adds to what is there
    assert_near(weights.const_diff, 2 * weights_diff, WEIGHTS_DIFF)
    assert_near(bias.const_diff, 2 * top_diff.astype(np.float64).sum((0, 2, 3)), WEIGHTS_DIFF)


@pytest.mark.usefixtures("isa", "everywhere")
@pytest.mark.parametrize("name", ["odd 3x3", "odd 5x5", "filled up blocks"])
def test_what_follows_and_what_is_missing(name, rng):
    g = SHAPES[name]
    x, w, b, top_diff = operands(g, rng)
    for bias, relu in itertools.product((blob(b), None), (False, True)):
        operator, bottom, weights = operator_of(g), blob(x), blob(w)
        top = Blob(top_diff.shape)
        operator.forward(bottom, weights, bias, top, relu=relu)
        expected = convolution(x, w, None if bias is None else b, g)
        largest = abs(expected).max()
        expected = np.maximum(expected, 0) if relu else expected
        np.testing.assert_allclose(top.const_data, expected, rtol=0, atol=OUTPUT * largest)
        top.set_diff(top_diff)
        operator.backward_weights(top, bottom, weights, None)
        _, weights_diff = gradients(g, x, w, top_diff.astype(np.float64))
        assert_near(weights.const_diff, weights_diff, WEIGHTS_DIFF)


@pytest.mark.usefixtures("isa", "everywhere")
def test_what_is_not_finite_stays_where_it_is(rng):
    """Channels that fill up a vector, and images beside this one, are not read."""
    g = SHAPES["no channels of whole blocks"]
    x, w, b, top_diff = operands(g, rng)
    x[1], w[7] = np.inf, np.nan
    top = Blob(top_diff.shape)
    operator_of(g).forward(blob(x), blob(w), blob(b), top)
    finite = np.isfinite(top.const_data)
    assert finite[::2, np.arange(50) != 7].all()
    assert not finite[:, 7].any()
    assert not finite[1].any()


@pytest.mark.usefixtures("everywhere")
def test_same_bits(rng):
    """Whatever the number of threads, for outputs; for the same one, for gradients."""
    g = SHAPES["5x5"]
    x, w, b, top_diff = operands(g, rng, batch=9)
    before, runs = _core.get_num_threads(), {}
    for threads, batch in itertools.product((1, 2, 3), (4, 9, 9)):
        _core.set_num_threads(threads)
        operator = operator_of(g, batch)
        bottom, weights, bias, top = blob(x[:batch]), blob(w), blob(b), Blob((batch, 32, 8, 8))
        operator.forward(bottom, weights, bias, top)
        top.set_diff(top_diff[:batch])
        operator.backward_weights(top, bottom, weights, bias)
        operator.backward_data(top, weights, bottom)
        images = top.const_data[:4].tobytes(), bottom.const_diff[:4].tobytes()
        sums = weights.const_diff.tobytes(), bias.const_diff.tobytes()
        assert runs.setdefault("images", images) == images
        assert runs.setdefault((threads, batch), sums) == sums
    _core.set_num_threads(before)


def test_the_core_refuses_what_it_has_no_tiles_for():
    sizes = {"batch": 1, "in_channels": 16, "out_channels": 16, "input": (8, 8), "output": (5, 5)}
    rest = {"group": 1, "bias": True, "train": True, "passes": (True, True, True)}
    with pytest.raises(ValueError, match="expected a kernel of 3 x 3 or 5 x 5"):
        _core.WinogradConvolution(**sizes, **rest, kernel=(4, 4), pad=(0, 0))


def convolution_of(channels_in, channels_out, side, kernel, group=1, stride=1):
    sides, strides = (side, side), (stride, stride)
    pads = (kernel // 2, kernel // 2)
    return ConvGeometry(
        channels_in, channels_out, group, sides, (kernel, kernel), strides, pads, (1, 1)
    )


RULE = {
    "conv1 of CIFAR-10 full": (convolution_of(3, 32, 32, 5), 100, (0, 0, 0)),
    "conv2 of CIFAR-10 full": (convolution_of(32, 32, 16, 5), 100, (1, 1, 1)),
    "conv3 of CIFAR-10 full": (convolution_of(32, 64, 8, 5), 100, (1, 1, 1)),
    "ResNet-20": (convolution_of(16, 16, 32, 3), 128, (1, 1, 1)),
    "ResNet-20, one image": (convolution_of(16, 16, 32, 3), 1, (0, 0, 0)),
    "conv3 of CaffeNet": (convolution_of(256, 384, 13, 3), 32, (1, 1, 0)),
    "few images": (convolution_of(256, 256, 8, 3), 4, (0, 0, 0)),
    "small images": (convolution_of(64, 64, 5, 3), 128, (0, 0, 0)),
    "few channels": (convolution_of(15, 64, 32, 3), 128, (0, 0, 0)),
    "too many weights": (convolution_of(512, 512, 14, 3), 128, (0, 0, 0)),
    "groups": (convolution_of(64, 64, 32, 3, group=2), 128, (0, 0, 0)),
    "strides": (convolution_of(64, 64, 32, 3, stride=2), 128, (0, 0, 0)),
    "1 x 1": (convolution_of(64, 64, 32, 1), 128, (0, 0, 0)),
}


@pytest.mark.parametrize("name", RULE)
def test_the_rule(name, monkeypatch):
    g, batch, expected = RULE[name]
    monkeypatch.delenv(cpu_winograd.SWITCH, raising=False)
    assert cpu_winograd.passes(g, batch) == expected
    monkeypatch.setenv(cpu_winograd.SWITCH, "0")
    assert cpu_winograd.passes(g, batch) == cpu_winograd.NONE


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("train", [False, True])
def test_where_it_runs(train, kernel, rng, monkeypatch):
    """With a kernel of 3 x 3 in TEST too; a backward pass there is oneDNN's."""
    monkeypatch.delenv(cpu_winograd.SWITCH, raising=False)
    g = convolution_of(64, 64, 8, kernel)
    x, w, b, top_diff = operands(g, rng, batch=4)
    bottom, weights, top = blob(x), blob(w), blob(top_diff)
    operator = operator_of(g, 4, train)
    operator.forward(bottom, weights, blob(b), top)
    assert ("Winograd" in operator.description) == (train or kernel == 3)
    top.set_diff(top_diff)
    operator.backward_data(top, weights, bottom)
    expected, tolerance = gradients(g, x, w, top_diff)[0], BOTTOM_DIFF if train else 2e-6
    assert_near(bottom.const_diff, expected, tolerance)


NET = """
layer { name: 'data' type: 'Input' top: 'data'
  input_param { shape { dim: 4 dim: 16 dim: 14 dim: 13 } } }
layer { name: 'a' type: 'Convolution' bottom: 'data' top: 'a'
  convolution_param { num_output: 32 kernel_size: 5 pad: 2 } }
layer { name: 'tanh' type: 'TanH' bottom: 'a' top: 'a' }
layer { name: 'b' type: 'Convolution' bottom: 'a' top: 'b'
  convolution_param { num_output: 16 kernel_size: 3 pad: 1 } }
"""


@pytest.mark.usefixtures("everywhere")
def test_gradients_of_a_net_by_finite_differences(tmp_path, rng):
    """By central differences in float64, in random directions of all weights, biases and data."""
    path = tmp_path / "net.prototxt"
    path.write_text("force_backward: true" + NET)
    net = Net(path, TRAIN)
    blobs = [net.blobs["data"], *net.params["a"], *net.params["b"]]
    for blob, size in zip(blobs, (1, 0.05, 0.1, 0.1, 0.1), strict=True):
        blob.set_data((size * rng.standard_normal(blob.shape)).astype(np.float32))
    net.forward()
    factors = rng.standard_normal(net.blobs["b"].shape).astype(np.float32)
    net.backward(b=factors)
    values = [blob.const_data.astype(np.float64) for blob in blobs]
    first, second = geometry(16, 32, (14, 13), 5, 2), geometry(32, 16, (14, 13), 3, 1)

    def objective(x, w_a, b_a, w_b, b_b):
        a = np.tanh(convolve(first, x, w_a, b_a))
        return (convolve(second, a, w_b, b_b) * factors).sum()

    for i, one in enumerate(blobs):
        direction = rng.standard_normal(values[i].shape)
        ends = []
        for step in (1e-6, -1e-6):
            moved = [v + step * direction if i == j else v for j, v in enumerate(values)]
            ends.append(objective(*moved))
        expected = (ends[0] - ends[1]) / 2e-6
        scale = np.linalg.norm(one.const_diff)  # of such sums, the directions being random
        assert abs((one.const_diff * direction).sum() - expected) < 1e-5 * scale


RESHAPED = """
layer {{ name: 'data' type: 'Input' top: 'data'
  input_param {{ shape {{ dim: 4 dim: 16 dim: 16 dim: 16 }} }} }}
layer {{ name: 'a' type: 'Convolution' bottom: 'data' top: 'a'
  convolution_param {{ num_output: 32 kernel_size: 3 pad: 1 {filler} }} }}
layer {{ name: 'r' type: 'Reshape' bottom: 'a' top: 'r' reshape_param {{ shape {{ {dims} }} }} }}
layer {{ name: 'b' type: '{kind}' bottom: 'r' top: 'b' {param} }}
layer {{ name: 's' type: 'Reshape' bottom: 'b' top: 's'
  reshape_param {{ shape {{ dim: 4 dim: -1 }} }} }}
"""
FILLER = "weight_filler { type: 'gaussian' std: 0.1 }"
CONVOLUTION = f"convolution_param {{ num_output: 16 kernel_size: %d pad: %d {FILLER} }}"
BEHIND = {
    "winograd": ("Convolution", CONVOLUTION % (3, 1)),
    "oneDNN": ("Convolution", CONVOLUTION % (1, 0)),
    "max": ("Pooling", "pooling_param { kernel_size: 2 stride: 2 }"),
    "average": ("Pooling", "pooling_param { pool: AVE kernel_size: 2 stride: 2 }"),
}


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("dims", [(4, 16, 32, 16), (4, 64, 8, 16), (4, 32, 8, 32), (8, 32, 8, 16)])
def test_behind_a_reshape(behind, dims, tmp_path, rng, monkeypatch):
    kind, param = BEHIND[behind]
    shape = " ".join(f"dim: {n}" for n in dims)
    text = RESHAPED.format(filler=FILLER, dims=shape, kind=kind, param=param)
    path = tmp_path / "net.prototxt"
    path.write_text("force_backward: true" + text)
    x = rng.standard_normal((4, 16, 16, 16)).astype(np.float32)
    found, weights = [], None
    for choice in (ALL, cpu_winograd.NONE):

        def passes(g, batch, one=choice):
            return one if g.kernel == (3, 3) else cpu_winograd.NONE

        monkeypatch.setattr(cpu_winograd, "passes", passes)
        net = Net(path, TRAIN)
        params = [blob for blobs in net.params.values() for blob in blobs]
        weights = weights or [p.const_data.copy() for p in params]
        for param_blob, values in zip(params, weights, strict=True):
            param_blob.set_data(values)
        net.blobs["data"].set_data(x)
        net.forward()
        net.backward(s=net.blobs["s"].const_data.copy())
        arrays = [net.blobs["s"].const_data, net.blobs["data"].const_diff]
        found.append([a.copy() for a in [*arrays, *(p.const_diff for p in params)]])
    for one, other in zip(*found, strict=True):
        assert_near(one, other, 5e-5)
