"""Convolution by kept rows and columns, against a plain loop in float64.

Tolerance: 8 float32 roundings for each product of standard normals in a sum.
"""

import dataclasses
import itertools
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
from tests.kernels.native import layout_of, memory_of

CCNMM = caffe_pb2.ConvolutionParameter.LOWERED_CCNMM


def geometry(channels, filters, size, kernel, *, stride=1, pad=0, dilation=1, group=1):
    def both(value):
        return value if isinstance(value, tuple) else (value, value)

    return ConvGeometry(
        channels, filters, group, size, both(kernel), both(stride), both(pad), both(dilation)
    )


GEOMETRIES = {
    "one number": geometry(1, 1, (1, 1), 1),
    "1x1": geometry(5, 9, (6, 5), 1),
    "1x1 stride2": geometry(5, 9, (7, 6), 1, stride=2),
    "3x3 pad": geometry(3, 17, (13, 13), 3, pad=1),
    "rect": geometry(3, 4, (6, 9), (2, 3), stride=(1, 2), pad=(2, 1)),
    "5x5": geometry(4, 13, (12, 12), 5),
    "5x5 stride2 group2": geometry(4, 20, (15, 14), 5, stride=2, pad=2, group=2),
    "11x11 stride4": geometry(3, 10, (39, 41), 11, stride=4),
    "dilation": geometry(2, 5, (11, 12), 3, dilation=(2, 3), pad=2),
    "stride and dilation": geometry(2, 5, (11, 12), 3, stride=(3, 2), dilation=2, pad=(3, 1)),
    "depthwise": geometry(4, 4, (6, 19), 3, group=4, pad=1),
    "one column wide": geometry(2, 3, (40, 3), 3),
    "wide": geometry(2, 8, (2, 131), (1, 3)),
    "whole image": geometry(3, 9, (4, 3), (4, 3)),
    "pad down": geometry(2, 3, (5, 9), 3, pad=(1, 0)),
    "pad across": geometry(2, 3, (5, 9), 3, pad=(0, 2)),
    "all pad": geometry(2, 3, (1, 1), 3, pad=4),
}


def everything(kept, g, rng):
    kept[...] = True


def nothing(kept, g, rng):
    pass


def single_column(kept, g, rng):
    kept[:, -1] = True


def single_row(kept, g, rng):
    kept[-1] = True


def some(kept, g, rng):
    # Other rows and columns in each group.
    for part in np.split(kept, g.group):
        part[np.ix_(rng.random(part.shape[0]) < 0.6, rng.random(part.shape[1]) < 0.4)] = True


def whole_channels(kept, g, rng):
    kept.reshape(g.out_channels, -1, *g.kernel)[:, ::2] = True


PATTERNS = [everything, nothing, single_column, single_row, some, whole_channels]


def random_weights(g, pattern, rng):
    kept = np.zeros((g.out_channels, g.kernel_dim), bool)
    pattern(kept, g, rng)
    weights = np.where(kept, rng.standard_normal(kept.shape), 0).astype(np.float32)
    return weights.reshape(g.out_channels, g.in_channels // g.group, *g.kernel)


def implicit_gemm(g, weights):
    return _core.ImplicitGemm(
        weights, g.in_channels, g.group, g.input, g.kernel, g.stride, g.pad, g.dilation
    )


# Of the bottom and of the top.
LAYOUTS = [("plain", "plain"), ("plain", "last"), ("last", "last"), (16, 16), (8, "plain")]


def run(packed, g, x, bias, relu=False, layouts=("plain", "plain")):
    if not _core.has_onednn:
        layouts = ("plain", "plain")
    out = np.full((len(x), g.out_channels, *g.output), np.nan, np.float32)
    top = _core.Memory(out, out.shape)
    native = top if layouts[1] == "plain" else _core.Memory(layout_of(layouts[1], out.shape))
    packed.forward(memory_of(x, layouts[0]), bias, relu, native)
    if native is not top:
        native.copy_to(top)
    return out


def random_images(g, batch, rng):
    return rng.standard_normal((batch, g.in_channels, *g.input)).astype(np.float32)


def check(g, pattern, rng, batches=(1, 2, 5), layouts=LAYOUTS):
    weights = random_weights(g, pattern, rng)
    bias = rng.standard_normal(g.out_channels).astype(np.float32)
    x = random_images(g, max(batches), rng)
    expected = reference.convolution(x, weights, None, g)
    packed = implicit_gemm(g, weights)
    atol = 8 * np.finfo(np.float32).eps * (g.kernel_dim + 1)
    for batch, kinds in itertools.product(batches, layouts):
        got = run(packed, g, x[:batch], None, layouts=kinds)
        np.testing.assert_allclose(got, expected[:batch], rtol=0, atol=atol)
        got = run(packed, g, x[:batch], bias, layouts=kinds)
        shifted = expected[:batch] + bias.reshape(-1, 1, 1)
        np.testing.assert_allclose(got, shifted, rtol=0, atol=atol)
        got = run(packed, g, x[:batch], bias, relu=True, layouts=kinds)
        np.testing.assert_allclose(got, np.maximum(shifted, 0), rtol=0, atol=atol)


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda p: p.__name__)
@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.usefixtures("isa")
def test_forward(name, pattern, rng):
    check(GEOMETRIES[name], pattern, rng)


# Enough work that threads are used: shared by images for the large batch, else within an image.
LARGE = {
    "many tiles": geometry(12, 40, (20, 20), 5, pad=2, group=2),
    "few tiles": geometry(32, 100, (6, 6), 3, pad=1),
    "stride": geometry(16, 64, (25, 25), 5, stride=2),
    # More planes than are made at once.
    "bands": geometry(80, 6, (31, 31), 5, pad=2),
    "bands of a stride": geometry(60, 6, (47, 44), 7, stride=(2, 1), pad=3, dilation=(1, 2)),
}


@pytest.mark.parametrize("pattern", [everything, some], ids=lambda p: p.__name__)
@pytest.mark.parametrize("name", LARGE)
@pytest.mark.usefixtures("threads")
def test_any_number_of_threads(name, pattern, rng):
    check(LARGE[name], pattern, rng, (1, 2, 5))


@pytest.mark.parametrize("rows", range(1, 42))
@pytest.mark.usefixtures("isa")
def test_any_number_of_rows(rows, rng):
    check(geometry(2, rows, (4, 9), 3, pad=(0, 1)), everything, rng, (3,))


def test_changes_of_batch_and_threads_and_instruction_set(rng):
    g = LARGE["few tiles"]
    before, isa = _core.get_num_threads(), _core.cpu_features()
    weights, x = random_weights(g, some, rng), random_images(g, 6, rng)
    packed = implicit_gemm(g, weights)
    expected = reference.convolution(x, weights, None, g)
    try:
        for threads, batch, name in [(1, 6, isa), (2, 1, "portable"), (3, 6, isa), (1, 2, isa)]:
            _core.set_num_threads(threads)
            _core.set_isa(name)
            got = run(packed, g, x[:batch], None)
            np.testing.assert_allclose(got, expected[:batch], rtol=0, atol=1e-4)
    finally:
        _core.set_num_threads(before)
        _core.set_isa(isa)


def test_gives_the_same_bits_in_any_number_of_threads(rng):
    g, before = LARGE["many tiles"], _core.get_num_threads()
    packed, x = implicit_gemm(g, random_weights(g, some, rng)), random_images(g, 5, rng)
    try:
        _core.set_num_threads(1)
        alone = run(packed, g, x, None)
        _core.set_num_threads(2)
        np.testing.assert_array_equal(run(packed, g, x, None), alone)
    finally:
        _core.set_num_threads(before)


@pytest.mark.usefixtures("isa")
def test_reads_nothing_outside_of_the_images(rng):
    g = GEOMETRIES["3x3 pad"]
    weights, x = random_weights(g, everything, rng), random_images(g, 2, rng)
    room = np.full(x.size + 2048, np.float32(np.nan))
    room[1024:-1024] = x.reshape(-1)
    got, inside = np.empty((2, 17, 13, 13), np.float32), room[1024:-1024]
    bottom, top = _core.Memory(inside, x.shape), _core.Memory(got, got.shape)
    implicit_gemm(g, weights).forward(bottom, None, False, top)
    np.testing.assert_array_equal(got, run(implicit_gemm(g, weights), g, x, None))
    assert np.isfinite(got).all()


@pytest.mark.usefixtures("isa")
def test_relu_keeps_what_is_not_a_number(rng):
    g = geometry(1, 3, (5, 5), 3)
    weights = random_weights(g, everything, rng)
    weights[1] = 0
    x, bias = random_images(g, 1, rng), np.float32([np.nan, -2, np.nan])
    got = run(implicit_gemm(g, weights), g, x, bias, relu=True)[0]
    assert np.isnan(got[[0, 2]]).all()
    np.testing.assert_array_equal(got[1], 0)


@pytest.mark.usefixtures("isa")
def test_touches_nothing_outside_of_the_output(rng):
    g = GEOMETRIES["3x3 pad"]
    packed, x = implicit_gemm(g, random_weights(g, everything, rng)), random_images(g, 2, rng)
    for kind in ("plain", "last", 16) if _core.has_onednn else ("plain",):
        layout = layout_of(kind, (2, g.out_channels, 13, 13))
        room = np.full(layout.stored + 128, np.float32(7))
        packed.forward(memory_of(x, kind), None, False, _core.Memory(layout, room[64:-64]))
        np.testing.assert_array_equal(room[:64], 7)
        np.testing.assert_array_equal(room[-64:], 7)


@pytest.mark.usefixtures("isa")
@pytest.mark.skipif(not _core.has_onednn, reason="built without oneDNN")
def test_fills_blocks_up_with_zeros(rng):
    g = GEOMETRIES["3x3 pad"]
    packed, bias = implicit_gemm(g, random_weights(g, everything, rng)), np.full(17, np.float32(3))
    layout = layout_of(16, (1, g.out_channels, 13, 13))
    room = np.empty(layout.stored, np.float32)
    top = _core.Memory(layout, room)
    room[...] = 7
    x = random_images(g, 1, rng)
    x[0, 0, 5, 5] = np.inf
    packed.forward(memory_of(x, "last"), bias, False, top)
    filled_up = room.reshape(2, 13, 13, 16)[1, ..., 1:]
    np.testing.assert_array_equal(filled_up, 0)


def test_kept_rows_and_columns_of_each_group():
    g = geometry(4, 6, (5, 5), 3, group=2)
    weights = np.zeros((6, 2, 3, 3), np.float32)
    weights[1, 0, 2, 2] = weights[2, 1, 0, 0] = 1
    weights[3, 0, 0, 0] = -0.0
    weights[5, 1] = np.nan
    assert implicit_gemm(g, weights).kept == [(2, 2), (1, 9)]


def test_reads_only_channels_that_are_kept(rng):
    g = geometry(3, 4, (6, 6), 3, pad=1)
    weights = random_weights(g, everything, rng)
    weights[:, 1] = 0
    x = random_images(g, 2, rng)
    expected = reference.convolution(x, weights, None, g)
    x[:, 1] = np.nan
    got = run(implicit_gemm(g, weights), g, x, None)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda p: p.__name__)
@pytest.mark.parametrize("name", ["5x5 stride2 group2", "dilation", "1x1"])
def test_means_the_same_as_the_plain_path(name, pattern, device, rng):
    g = GEOMETRIES[name]
    kernels = SimpleNamespace(**vars(device.kernels))
    kernels.concatenated_convolution = lambda geometry, dtype: None
    plain = dataclasses.replace(device, kernels=kernels)
    bottom, bias = (blob_of(a, np.float32) for a in (random_images(g, 2, rng), rng.random(99)))
    bias = blob_of(bias.const_data[: g.out_channels], np.float32)
    weights = blob_of(random_weights(g, pattern, rng), np.float32)
    tops, descriptions = [], []
    for place in (device, plain):
        top = Blob((2, g.out_channels, *g.output))
        kernel = make_kernel(CCNMM, g, 2, place, np.float32, TEST)
        kernel.forward(bottom, weights, bias, top)
        tops.append(top.const_data)
        descriptions.append(kernel.description)
    np.testing.assert_allclose(*tops, rtol=0, atol=1e-4)
    assert descriptions[0].startswith("implicit GEMM of ")
    assert descriptions[1] == "im2col of the non-zero columns + gemm of the non-zero rows"


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("add", [False, True])
def test_does_what_follows_the_convolution(add, relu, device, rng):
    g = GEOMETRIES["5x5 stride2 group2"]
    weights, images = random_weights(g, some, rng), random_images(g, 2, rng)
    bias, top = rng.standard_normal(g.out_channels), Blob((2, g.out_channels, *g.output))
    term = rng.standard_normal(top.shape)
    expected = reference.convolution(images, weights, bias, g) + term * add
    kernel = make_kernel(CCNMM, g, 2, device, np.float32, TEST)
    blobs = [blob_of(array, np.float32) for array in (images, weights, bias)]
    epilogue = Epilogue(blob_of(term, np.float32) if add else None, relu)
    kernel.forward(*blobs, top, epilogue)
    wanted = np.maximum(expected, 0) if relu else expected
    np.testing.assert_allclose(top.const_data.reshape(top.shape), wanted, rtol=0, atol=1e-4)


def test_description_follows_the_weights(device, rng):
    g = geometry(4, 6, (5, 5), 3, group=2)
    kernel = make_kernel(CCNMM, g, 1, device, np.float32, TEST)
    assert kernel.description == "implicit GEMM of the non-zero rows and columns"
    weights = blob_of(random_weights(g, everything, rng), np.float32)
    bottom, top = blob_of(random_images(g, 1, rng), np.float32), Blob((1, 6, 3, 3))
    kernel.forward(bottom, weights, None, top)
    assert kernel.description == "implicit GEMM of 6 x 36 of 6 x 36, 2 groups"
    weights.data[2] = 0
    weights.data[:, 0, 0, 0] = 0
    kernel.forward(bottom, weights, None, top)
    assert kernel.description == "implicit GEMM of 5 x 34 of 6 x 36, 2 groups"
    for dtype, axes in ((np.float64, 2), (np.float32, 1)):
        g = ConvGeometry(4, 6, 1, *([n] * axes for n in (5, 3, 1, 0, 1)))
        assert "im2col" in make_kernel(CCNMM, g, 1, device, dtype, TEST).description


class TestRefuses:
    g = geometry(4, 6, (5, 5), 3, group=2)
    weights = np.ones((6, 2, 3, 3), np.float32)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"in_channels": 0}, "in_channels: expected 1 or more, got 0"),
            ({"group": 3}, "group: expected 4 or a divisor of it, got 3"),
            ({"group": 0}, "group: expected 4 or a divisor of it, got 0"),
            ({"group": 4}, "weights: expected 4 groups of equal rows, got 6"),
            ({"group": 1}, "weights: expected 216 elements, got 108"),
            ({"input": (5,)}, "input: expected 2 axes, got 1"),
            ({"input": (5, 2)}, "input: expected 3 or more with its padding, got 2"),
            ({"stride": (0, 1)}, "stride: expected 1 or more on each axis, got 0"),
            ({"pad": (0, -1)}, "pad: expected 0 or more on each axis, got -1"),
            ({"weights": np.ones(0, np.float32)}, "weights: expected 2 groups of equal rows"),
        ],
        ids=str,
    )
    def test_weights_and_sizes(self, changes, message):
        names = ("in_channels", "group", "input", "kernel", "stride", "pad", "dilation")
        sizes = {name: getattr(self.g, name) for name in names}
        with pytest.raises(ValueError, match=message):
            _core.ImplicitGemm(**{"weights": self.weights, **sizes, **changes})

    def memory(self, *shape):
        return _core.Memory(np.ones(shape, np.float32), shape)

    def test_images_and_outputs(self):
        packed = implicit_gemm(self.g, self.weights)
        bottom, top = self.memory(2, 4, 5, 5), self.memory(2, 6, 3, 3)
        with pytest.raises(ValueError, match="bottom: expected 100 elements, got 150"):
            packed.forward(self.memory(150), None, False, top)
        with pytest.raises(ValueError, match="top: expected 108 elements, got 54"):
            packed.forward(bottom, None, False, self.memory(1, 6, 3, 3))
        with pytest.raises(ValueError, match="bias: expected 6 elements, got 5"):
            packed.forward(bottom, np.ones(5, np.float32), False, top)

    @pytest.mark.skipif(not _core.has_onednn, reason="built without oneDNN")
    def test_layouts(self):
        packed, top = implicit_gemm(self.g, self.weights), self.memory(2, 6, 3, 3)
        with pytest.raises(ValueError, match="dims: expected 4 axes, got 3"):
            _core.Layout.with_channels_last((1, 2, 3))
        other = memory_of(np.ones((2, 5, 5, 4), np.float32), "last")
        with pytest.raises(ValueError, match="bottom: expected 200 elements in its shape"):
            packed.forward(other, None, False, top)

    def test_other_dtypes(self):
        with pytest.raises(TypeError):
            implicit_gemm(self.g, self.weights.astype(np.float64))
        with pytest.raises(TypeError):
            implicit_gemm(self.g, self.weights[:, :, ::-1])
