"""Every conv_mode against a plain loop, over sizes and patterns of zeros.

Tolerance: 1e-5 of the largest output in float32, 1e-12 in float64.
"""

import itertools
import math

import numpy as np
import pytest

from sscaffe.blob import Blob
from sscaffe.conv import KERNELS, make_kernel
from sscaffe.errors import UnsupportedError
from sscaffe.geometry import ConvGeometry
from sscaffe.layer import TEST, TRAIN
from sscaffe.proto import caffe_pb2
from sscaffe.weighted.base import Propagate
from tests import reference
from tests.helpers import blob_of

MODE = caffe_pb2.ConvolutionParameter
SPARSE = [MODE.LOWERED_CSRMM, MODE.LOWERED_CCNMM, MODE.DIRECT_SCONV]
DENSE = [None, MODE.LOWERED_GEMM, MODE.DIRECT_DCONV, MODE.AUTO]
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}


def geometry(channels, filters, size, kernel, *, stride=1, pad=0, dilation=1, group=1):
    def for_each(value):
        return value if isinstance(value, tuple) else (value,) * len(size)

    sizes = [for_each(value) for value in (kernel, stride, pad, dilation)]
    return ConvGeometry(channels, filters, group, size, *sizes)


GEOMETRIES = {
    "3x3": geometry(3, 4, (6, 5), 3),
    "rect": geometry(3, 4, (6, 5), (2, 3), stride=(1, 2), pad=(2, 1)),
    "stride2": geometry(3, 4, (7, 6), 3, stride=2, pad=1),
    "dilation": geometry(3, 4, (7, 8), 3, dilation=(2, 3), pad=2),
    "group2": geometry(4, 6, (6, 5), 3, group=2, pad=1),
    "depthwise": geometry(4, 4, (6, 5), 3, group=4),
    "whole image": geometry(2, 4, (4, 3), (4, 3)),
    "1x1": geometry(5, 4, (6, 5), 1),
    "1x1 group2": geometry(6, 4, (3, 4), 1, group=2),
    "1x1 stride2": geometry(5, 4, (6, 5), 1, stride=2),
    "1x1 pad1": geometry(5, 4, (3, 4), 1, pad=1),
    "all at once": geometry(4, 4, (9, 11), (3, 2), stride=(2, 3), pad=(1, 3), dilation=2, group=2),
    "many channels": geometry(20, 33, (3, 7), 3, pad=1),
    "0-D": geometry(6, 4, (), (), group=2),
    "1-D": geometry(4, 4, (9,), 3, stride=2, pad=1, group=2),
    "3-D": geometry(2, 4, (4, 3, 5), (2, 3, 2), pad=(0, 1, 1), stride=(1, 1, 2)),
}


def zero_rows(matrix, g, rng):
    matrix[[0, -1]] = 0


def zero_columns(matrix, g, rng):
    # Not the same columns in each group.
    for i, part in enumerate(np.split(matrix, g.group)):
        part[:, i::2] = 0


def zero_rows_and_columns(matrix, g, rng):
    zero_rows(matrix, g, rng)
    zero_columns(matrix, g, rng)


def zero_group(matrix, g, rng):
    np.split(matrix, g.group)[0][...] = 0


def all_zero(matrix, g, rng):
    matrix[...] = 0


def unstructured(matrix, g, rng):
    matrix[rng.random(matrix.shape) < 0.7] = 0


def dense(matrix, g, rng):
    pass


PATTERNS = [
    dense,
    zero_rows,
    zero_columns,
    zero_rows_and_columns,
    zero_group,
    all_zero,
    unstructured,
]


def mode_name(mode):
    return "unset" if mode is None else MODE.ConvMode.Name(mode)


def random_weights(g, pattern, rng):
    matrix = rng.standard_normal((g.out_channels, g.kernel_dim)).astype(np.float32)
    pattern(matrix, g, rng)
    return matrix.reshape(g.out_channels, g.in_channels // g.group, *g.kernel)


RUNS = [
    pytest.param(mode, g, id=f"{mode_name(mode)}-{name}")
    for mode in KERNELS
    for name, g in GEOMETRIES.items()
    if mode != MODE.DIRECT_SCONV or len(g.input) == 2
]


def run(kernel, x, weights, bias):
    g = kernel.geometry
    top = Blob((len(x), g.out_channels, *g.output), kernel.dtype)
    top.set_data(np.nan)
    blobs = [array if array is None else blob_of(array, kernel.dtype) for array in (weights, bias)]
    kernel.forward(blob_of(x, kernel.dtype), *blobs, top)
    return top.const_data.copy()


def assert_close(got, expected, dtype):
    scale = max(1, abs(expected).max(initial=0))
    np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE[np.dtype(dtype).name] * scale)


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda p: p.__name__)
@pytest.mark.parametrize(("mode", "g"), RUNS)
def test_forward(mode, g, pattern, device, rng):
    weights = random_weights(g, pattern, rng)
    bias = rng.standard_normal(g.out_channels).astype(np.float32)
    x = rng.standard_normal((3, g.in_channels, *g.input)).astype(np.float32)
    expected = reference.convolution(x, weights, None, g)
    for batch, with_bias in itertools.product((1, 3), (True, False)):
        kernel = make_kernel(mode, g, batch, device, np.float32, TEST)
        shift = bias.reshape(-1, *[1] * len(g.output)) if with_bias else 0
        got = run(kernel, x[:batch], weights, bias if with_bias else None)
        assert_close(got, expected[:batch] + shift, np.float32)


@pytest.mark.parametrize(("mode", "g"), RUNS)
def test_forward_in_float64(mode, g, device, rng):
    weights = random_weights(g, unstructured, rng)
    bias = rng.standard_normal(g.out_channels)
    x = rng.standard_normal((2, g.in_channels, *g.input))
    kernel = make_kernel(mode, g, 2, device, np.float64, TEST)
    assert_close(
        run(kernel, x, weights, bias), reference.convolution(x, weights, bias, g), np.float64
    )


def blobs_for_backward(g, batch, dtype, seed=1):
    rng = np.random.default_rng(seed)
    shapes = [
        (batch, g.out_channels, *g.output),
        (batch, g.in_channels, *g.input),
        (g.out_channels, g.in_channels // g.group, *g.kernel),
        (g.out_channels,),
    ]
    blobs = []
    for shape in shapes:
        blob = blob_of(rng.standard_normal(shape), dtype)
        blob.set_diff(rng.standard_normal(shape))
        blobs.append(blob)
    return blobs


FLAGS = list(itertools.product((True, False), repeat=3))


@pytest.mark.parametrize("flags", FLAGS, ids=str)
@pytest.mark.parametrize("name", ["all at once", "1x1 group2", "1-D", "3-D", "0-D"])
def test_backward_of_the_default_does_what_the_flags_say(name, flags, device):
    g = GEOMETRIES[name]
    top, bottom, weights, bias = blobs_for_backward(g, 3, np.float32)
    before = [blob.const_diff.copy() for blob in (bottom, weights, bias)]
    kernel = make_kernel(None, g, 3, device, np.float32, TRAIN)
    top_diff = top.const_diff.copy()
    kernel.forward(bottom, weights, bias, top)
    kernel.backward(top, bottom, weights, bias, Propagate(*flags))
    np.testing.assert_array_equal(top.const_diff, top_diff)

    slow = blobs_for_backward(g, 3, np.float64)
    make_kernel(MODE.LOWERED_GEMM, g, 3, device, np.float64, TRAIN).backward(
        *slow, Propagate(True, True, True)
    )
    for blob, other, old, flag in zip(
        (bottom, weights, bias), slow[1:], before, flags, strict=True
    ):
        if flag:
            assert_close(blob.const_diff, other.const_diff, np.float32)
        else:
            np.testing.assert_array_equal(blob.const_diff, old)


@pytest.mark.parametrize("mode", DENSE, ids=mode_name)
def test_backward_without_bias(mode, device):
    g = GEOMETRIES["all at once"]
    top, bottom, weights, _ = blobs_for_backward(g, 2, np.float32)
    before = weights.const_diff.copy()
    kernel = make_kernel(mode, g, 2, device, np.float32, TRAIN)
    kernel.forward(bottom, weights, None, top)
    kernel.backward(top, bottom, weights, None, Propagate(True, False, False))
    np.testing.assert_array_equal(weights.const_diff, before)
    slow = blobs_for_backward(g, 2, np.float64)
    lowered = make_kernel(MODE.LOWERED_GEMM, g, 2, device, np.float64, TRAIN)
    lowered.backward(*slow, Propagate(True, True, True))
    assert_close(bottom.const_diff, slow[1].const_diff, np.float32)
    kernel.backward(top, bottom, weights, None, Propagate(False, True, False))
    assert_close(weights.const_diff, slow[2].const_diff, np.float32)


@pytest.mark.parametrize("mode", KERNELS, ids=mode_name)
def test_sees_weights_that_change(mode, device, rng):
    g = GEOMETRIES["group2"]
    kernel = make_kernel(mode, g, 1, device, np.float32, TEST)
    bottom = blob_of(rng.standard_normal((1, g.in_channels, *g.input)), np.float32)
    weights = blob_of(random_weights(g, zero_columns, rng), np.float32)
    top = Blob((1, g.out_channels, *g.output))

    def check():
        kernel.forward(bottom, weights, None, top)
        expected = reference.convolution(bottom.const_data, weights.const_data, None, g)
        assert_close(top.const_data, expected, np.float32)

    check()
    held = weights.data  # as net surgery does
    held[...] = random_weights(g, zero_rows, rng)
    check()
    held[0] = 1
    check()
    other = blob_of(random_weights(g, unstructured, rng), np.float32)
    weights.share_data(other)  # as a test net does
    check()
    other.set_data(0)
    check()


@pytest.mark.parametrize("mode", SPARSE, ids=mode_name)
def test_sparse_modes_do_not_train(mode, device):
    g, name = GEOMETRIES["3x3"], mode_name(mode)
    message = f"^conv_mode: {name} cannot train; use LOWERED_GEMM in TRAIN and {name} in TEST$"
    with pytest.raises(UnsupportedError, match=message):
        make_kernel(mode, g, 2, device, np.float32, TRAIN)
    kernel = make_kernel(mode, g, 2, device, np.float32, TEST)
    top, bottom, weights, bias = blobs_for_backward(g, 2, np.float32)
    with pytest.raises(UnsupportedError, match=message):
        kernel.backward(top, bottom, weights, bias, Propagate(True, True, True))


@pytest.mark.parametrize("name", ["0-D", "1-D", "3-D"])
def test_direct_sparse_wants_two_spatial_axes(name, device):
    g = GEOMETRIES[name]
    message = f"conv_mode: DIRECT_SCONV expected 2 spatial axes, got {len(g.input)}; use LOWERED"
    with pytest.raises(UnsupportedError, match=message):
        make_kernel(MODE.DIRECT_SCONV, g, 1, device, np.float32, TEST)


def test_descriptions_say_what_runs(device):
    def description(mode, dtype=np.float32, name="3x3"):
        return make_kernel(mode, GEOMETRIES[name], 1, device, dtype, TEST).description

    assert description(MODE.LOWERED_GEMM) == "im2col + gemm"
    assert description(MODE.DIRECT_DCONV, np.float64) == "im2col + gemm: float64"
    assert description(MODE.DIRECT_DCONV, name="0-D") == (
        "im2col + gemm: no direct convolution of 0 spatial axes on cpu"
    )
    assert description(MODE.AUTO) == description(None)
    assert "AUTO" in description(None)
    sparse = {description(mode) for mode in SPARSE}
    assert len(sparse) == len(SPARSE)


@pytest.mark.parametrize("mode", KERNELS, ids=mode_name)
def test_a_batch_of_none(mode, device, rng):
    g = GEOMETRIES["3x3"]
    kernel = make_kernel(mode, g, 0, device, np.float32, TEST)
    got = run(kernel, np.zeros((0, g.in_channels, *g.input)), random_weights(g, dense, rng), None)
    assert got.shape == (0, g.out_channels, *g.output)
    assert math.prod(got.shape) == 0
