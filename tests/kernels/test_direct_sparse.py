"""Convolution by scattered weights, against a dense product in float64.

Tolerance: 1e-4 of the largest output.
"""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from sscaffe import _core
from sscaffe.blob import Blob
from sscaffe.conv import make_kernel
from sscaffe.geometry import ConvGeometry
from sscaffe.layer import TEST
from sscaffe.proto import caffe_pb2
from sscaffe.weighted.base import Epilogue
from tests import reference
from tests.helpers import blob_of

SCONV = caffe_pb2.ConvolutionParameter.DIRECT_SCONV
DENSITIES = [0, 0.02, 0.1, 0.5, 1]
BATCHES = [1, 2, 3, 15, 16, 17, 18, 33]


def geometry(channels, filters, size, kernel, *, stride=1, pad=0, dilation=1, group=1):
    both = [(value, value) for value in (kernel, stride, pad, dilation)]
    return ConvGeometry(channels, filters, group, size, *both)


def random_geometry(rng):
    group = int(rng.choice([1, 1, 1, 2, 3]))
    channels, filters = (group * int(n) for n in np.exp(rng.uniform(0, [3.7, 4])))
    kernel, stride, pad = (tuple(map(int, rng.integers(*r, 2))) for r in ((1, 8), (1, 4), (0, 4)))
    dilation = tuple(map(int, rng.choice([1, 1, 1, 2, 3], 2)))
    size = tuple(
        max(1, d * (k - 1) + 1 - 2 * p) + int(rng.integers(0, 20))
        for k, p, d in zip(kernel, pad, dilation, strict=True)
    )
    return ConvGeometry(channels, filters, group, size, kernel, stride, pad, dilation)


def random_case(rng):
    """Return a geometry and a batch that are not too slow for the reference."""
    while True:
        g, batch = random_geometry(rng), int(rng.choice(BATCHES))
        if batch * g.out_channels * g.kernel_dim * np.prod(g.output) < 6e6:
            return g, batch


def random_weights(g, density, rng):
    shape = (g.out_channels, g.in_channels // g.group, *g.kernel)
    weights = rng.standard_normal(shape) * (rng.random(shape) < density)
    return weights.astype(np.float32)


def random_images(g, batch, rng):
    return rng.standard_normal((batch, g.in_channels, *g.input)).astype(np.float32)


def dense(x, weights, g):
    """Multiply all windows by the weights, in float64."""
    x = np.pad(x.astype(np.float64), [(0, 0), (0, 0), *((p, p) for p in g.pad)])
    extents = [d * (k - 1) + 1 for k, d in zip(g.kernel, g.dilation, strict=True)]
    (sy, sx), (dy, dx) = g.stride, g.dilation
    windows = np.lib.stride_tricks.sliding_window_view(x, extents, axis=(2, 3))
    windows = windows[:, :, ::sy, ::sx, ::dy, ::dx]
    parts = [
        np.tensordot(part, w, axes=((1, 4, 5), (1, 2, 3)))
        for part, w in zip(
            np.split(windows, g.group, axis=1), np.split(weights, g.group), strict=True
        )
    ]
    return np.concatenate(parts, axis=3).transpose(0, 3, 1, 2)


def packed(g, weights):
    return _core.SparseConvolution(
        weights, g.in_channels, g.group, g.input, g.kernel, g.stride, g.pad, g.dilation
    )


ALL = 0  # a block of all channels


def memory_of(array, block):
    """Return a copy of an array in blocks of so many channels."""
    plain = _core.Memory(array, array.shape)
    layout = _core.Layout.with_channel_block(array.shape, block or array.shape[1])
    memory = _core.Memory(layout)
    plain.copy_to(memory)
    return memory


def run(sconv, g, x, bias, *, relu=False, block=1):
    out = np.full((len(x), g.out_channels, *g.output), np.nan, np.float32)
    if block == 1:
        sconv.forward(_core.Memory(x, x.shape), bias, relu, _core.Memory(out, out.shape))
        return out
    top = memory_of(out, block)
    sconv.forward(memory_of(x, block), bias, relu, top)
    top.copy_to(_core.Memory(out, out.shape))
    return out


def assert_close(got, expected, message=""):
    atol = 1e-4 * abs(expected).max(initial=1e-30)
    np.testing.assert_allclose(got, expected, rtol=0, atol=atol, err_msg=message)


@pytest.fixture(params=[1, 2])
def one_or_two_threads(request):
    before = _core.get_num_threads()
    _core.set_num_threads(request.param)
    yield
    _core.set_num_threads(before)


@pytest.mark.parametrize("seed", range(100))
@pytest.mark.usefixtures("isa", "one_or_two_threads")
def test_random_geometries(seed):
    rng = np.random.default_rng(seed)
    for _ in range(5):
        g, batch = random_case(rng)
        weights, x = random_weights(g, rng.choice(DENSITIES), rng), random_images(g, batch, rng)
        bias = rng.standard_normal(g.out_channels).astype(np.float32)
        expected = dense(x, weights, g)
        sconv = packed(g, weights)
        blocks = rng.choice([1, 8, 16, ALL], 2, replace=False)
        assert_close(run(sconv, g, x, None, block=int(blocks[0])), expected, f"{g} {batch}")
        expected = np.maximum(expected + bias.reshape(-1, 1, 1), 0)
        got = run(sconv, g, x, bias, relu=True, block=int(blocks[1]))
        assert_close(got, expected, f"{g} {batch}, with bias and ReLU")


# Enough work for several threads, and for several blocks of channels.
LARGE = {
    "conv5": geometry(192, 64, (13, 13), 3, pad=1, group=2),
    "large kernel": geometry(40, 50, (19, 23), 7, pad=3),
    "stride": geometry(64, 64, (25, 25), 3, stride=2, pad=1),
    "small image": geometry(96, 100, (4, 4), 3, pad=1),
    "long and narrow": geometry(40, 30, (61, 2), 3, pad=1),
    "long rows": geometry(1, 5, (3, 17000), 3, pad=1),
    "large image": geometry(4, 6, (200, 180), 2),
    "groups across the layout's blocks": geometry(60, 36, (9, 14), 3, pad=1, group=3),
}


@pytest.mark.parametrize("block", [1, 16, ALL])
@pytest.mark.parametrize("name", LARGE)
@pytest.mark.usefixtures("isa")
def test_one_result_whatever_the_lanes_and_threads(name, block, rng):
    # Each sum is made in one order, so that there is one answer to the last bit.
    g, before = LARGE[name], _core.get_num_threads()
    weights, x = random_weights(g, 0.1, rng), random_images(g, 19, rng)
    sconv, expected = packed(g, weights), dense(x, weights, g)
    try:
        _core.set_num_threads(1)
        alone = run(sconv, g, x, None, block=block)
        assert_close(alone, expected)
        for threads, batch in [(2, 19), (3, 1), (1, 2), (2, 5), (3, 16)]:
            _core.set_num_threads(threads)
            got = run(sconv, g, x[:batch], None, block=block)
            np.testing.assert_array_equal(got, alone[:batch])
    finally:
        _core.set_num_threads(before)


@pytest.mark.parametrize("block", [1, 8, 16, ALL])
@pytest.mark.usefixtures("isa", "one_or_two_threads")
def test_keeps_nothing_of_the_images_before(block, rng):
    # One in, then side by side, then a few: the room to work in is that of the batch before.
    g = geometry(48, 20, (10, 11), 3, pad=1, group=2)
    weights = random_weights(g, 0.3, rng)
    sconv = packed(g, weights)
    for batch in [1, 1, 16, 3, 3, 17, 1]:
        x = random_images(g, batch, rng)
        assert_close(run(sconv, g, x, None, block=block), dense(x, weights, g), f"{batch} images")


def test_the_reference_is_right(rng):
    for _ in range(10):
        g = dataclasses.replace(random_geometry(rng), in_channels=6, out_channels=6)
        weights, x = random_weights(g, 0.5, rng), random_images(g, 2, rng)
        expected = reference.convolution(x, weights, None, g)
        np.testing.assert_allclose(dense(x, weights, g), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("batch", [1, 3, 16, 19])
@pytest.mark.usefixtures("isa")
def test_touches_nothing_outside_of_the_output(batch, rng):
    g = geometry(3, 5, (7, 9), 3, pad=1)
    sconv, x = packed(g, random_weights(g, 0.5, rng)), random_images(g, batch, rng)
    room = np.full(batch * g.out_channels * 63 + 128, np.float32(7))
    top = _core.Memory(room[64:-64], (batch, g.out_channels, 7, 9))
    sconv.forward(_core.Memory(x, x.shape), None, False, top)
    np.testing.assert_array_equal(room[:64], 7)
    np.testing.assert_array_equal(room[-64:], 7)


@pytest.mark.parametrize("batch", [1, 16])
@pytest.mark.usefixtures("isa")
def test_weights_of_zero_read_nothing(batch, rng):
    g = geometry(3, 4, (6, 6), 3, pad=1)
    weights = random_weights(g, 1, rng)
    weights[:, 1] = 0
    x = random_images(g, batch, rng)
    expected = dense(x, weights, g)
    x[:, 1] = np.nan
    assert_close(run(packed(g, weights), g, x, None), expected)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("added", [False, True])
def test_means_the_same_as_the_plain_path(added, relu, device, rng):
    g = geometry(20, 33, (9, 11), 3, pad=1)
    kernels = SimpleNamespace(**vars(device.kernels))
    kernels.sparse_convolution = lambda geometry, dtype: None
    plain = dataclasses.replace(device, kernels=kernels)
    bottom = blob_of(random_images(g, 18, rng), np.float32)
    weights = blob_of(random_weights(g, 0.2, rng), np.float32)
    bias = blob_of(rng.standard_normal(33), np.float32)
    term = blob_of(rng.standard_normal((18, 33, 9, 11)), np.float32) if added else None
    tops, descriptions = [], []
    for place in (device, plain):
        top = Blob((18, 33, 9, 11))
        kernel = make_kernel(SCONV, g, 18, place, np.float32, TEST)
        kernel.forward(bottom, weights, bias, top, Epilogue(term, relu))
        tops.append(top.const_data)
        descriptions.append(kernel.description)
    assert_close(*tops)
    left = np.count_nonzero(weights.const_data)
    assert descriptions == [
        f"direct sparse convolution by {left} of {weights.count} weights",
        "direct sparse convolution, one image after the other",
    ]


def test_the_top_gets_the_kind_of_layout_of_the_bottom(device, rng):
    g = geometry(20, 33, (9, 11), 3)
    x, weights = random_images(g, 2, rng), random_weights(g, 0.2, rng)
    for block in [1, 8, 16, 20] if _core.has_onednn else [1]:
        bottom, top = blob_of(x, np.float32), Blob((2, 33, 7, 9))
        layout = _core.Layout.with_channel_block(x.shape, block)
        bottom.data_tensor.memory_as(layout, x.shape)
        kernel = make_kernel(SCONV, g, 2, device, np.float32, TEST)
        kernel.forward(bottom, blob_of(weights, np.float32), None, top)
        got = top.data_tensor.memory(top.shape).layout.image_block
        assert got == (33 if block == 20 else block)
        assert_close(top.const_data, dense(x, weights, g))


def test_kernels_too_large_take_the_plain_path(device, rng):
    g = geometry(1, 2, (100, 100), 100)
    assert device.kernels.sparse_convolution(g, np.float32) is None
    assert device.kernels.sparse_convolution(geometry(1, 2, (80, 80), 80), np.float32)
    for size in (80, 100):
        g = geometry(1, 2, (size, size), size)
        kernel = make_kernel(SCONV, g, 17, device, np.float32, TEST)
        x, weights = random_images(g, 17, rng), random_weights(g, 0.1, rng)
        top = Blob((17, 2, 1, 1))
        kernel.forward(blob_of(x, np.float32), blob_of(weights, np.float32), None, top)
        assert_close(top.const_data, dense(x, weights, g))


class TestRefuses:
    g = geometry(4, 6, (5, 5), 3, group=2)
    weights = np.ones((6, 2, 3, 3), np.float32)

    def memory(self, *shape):
        return _core.Memory(np.ones(shape, np.float32), shape)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"in_channels": 0}, "in_channels: expected 1 or more, got 0"),
            ({"group": 3}, "group: expected 4 or a divisor of it, got 3"),
            ({"group": 1}, "weights: expected 216 elements, got 108"),
            ({"input": (5,)}, "kernel: expected 1 axes, got 2"),
            ({"input": (100, 100), "kernel": (100, 100)}, "kernel: expected one that fits"),
        ],
        ids=str,
    )
    def test_weights_and_sizes(self, changes, message):
        names = ("in_channels", "group", "input", "kernel", "stride", "pad", "dilation")
        sizes = {name: getattr(self.g, name) for name in names}
        with pytest.raises(ValueError, match=message):
            _core.SparseConvolution(**{"weights": self.weights, **sizes, **changes})

    def test_images_and_outputs(self):
        sconv = packed(self.g, self.weights)
        bottom, top = self.memory(2, 4, 5, 5), self.memory(2, 6, 3, 3)
        with pytest.raises(ValueError, match="bottom: expected 100 elements, got 150"):
            sconv.forward(self.memory(150), None, False, top)
        with pytest.raises(ValueError, match="top: expected 108 elements, got 54"):
            sconv.forward(bottom, None, False, self.memory(1, 6, 3, 3))
        with pytest.raises(ValueError, match="bias: expected 6 elements, got 5"):
            sconv.forward(bottom, np.ones(5, np.float32), False, top)

    def test_layouts(self):
        with pytest.raises(ValueError, match="block: expected 1 or 8, 16 or all channels, got 4"):
            _core.Layout.with_channel_block((1, 2, 3, 4), 4)
        with pytest.raises(ValueError, match="dims: expected 4 axes, got 3"):
            _core.Layout.with_channel_block((1, 2, 3), 8)

    def test_other_dtypes(self):
        with pytest.raises(TypeError):
            packed(self.g, self.weights.astype(np.float64))
