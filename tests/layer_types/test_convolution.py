"""Convolution: values by hand, gradients by finite differences, and what it refuses."""

import numpy as np
import pytest

from sscaffe.blob import Blob
from sscaffe.errors import ShapeError, UnsupportedError
from sscaffe.geometry import ConvGeometry
from sscaffe.layer import TRAIN
from sscaffe.testing import check_gradient
from tests import reference
from tests.helpers import ON_THE_CPU, blob_of, make_layer, run_layer

FILLERS = "weight_filler { type: 'uniform' min: -1 max: 1 } bias_filler { type: 'uniform' }"


def conv(text, device=None, **options):
    return make_layer(f"type: 'Convolution' convolution_param {{ {text} }}", device, **options)


def set_up(layer, *shapes):
    bottom = [Blob(shape, layer.dtype) for shape in shapes]
    top = [Blob((), layer.dtype) for _ in shapes]
    layer.setup(bottom, top)
    layer.reshape(bottom, top)
    return bottom, top


def test_values_by_hand(device):
    layer = conv("num_output: 2 kernel_size: 2 bias_filler { value: 10 }", device)
    bottom, top = set_up(layer, (1, 1, 2, 3))
    bottom[0].set_data([[[[1, 2, 3], [4, 5, 6]]]])
    layer.blobs[0].set_data([[[[1, 0], [0, 1]]], [[[0, -1], [2, 0]]]])
    layer.forward(bottom, top)
    np.testing.assert_array_equal(top[0].host_data, [[[[16, 18]], [[16, 17]]]])


def test_backward_by_hand(device):
    layer = conv("num_output: 1 kernel_size: 2 weight_filler { value: 3 }", device)
    bottom, top = set_up(layer, (1, 1, 2, 3))
    bottom[0].set_data([[[[1, 2, 3], [4, 5, 6]]]])
    layer.forward(bottom, top)
    top[0].set_diff([[[[1, 10]]]])
    layer.blobs[0].set_diff(100)
    layer.blobs[1].set_diff(1000)
    layer.backward(top, [True], bottom)
    np.testing.assert_array_equal(bottom[0].host_diff, [[[[3, 33, 30], [3, 33, 30]]]])
    np.testing.assert_array_equal(layer.blobs[0].host_diff, [[[[121, 132], [154, 165]]]])
    np.testing.assert_array_equal(layer.blobs[1].host_diff, [1011])


@pytest.mark.parametrize(
    ("text", "shape", "top_shape", "weights_shape"),
    [
        ("kernel_size: 3", (2, 3, 6, 5), (2, 4, 4, 3), (4, 3, 3, 3)),
        ("kernel_size: 3 pad: 1 stride: 2", (2, 3, 6, 5), (2, 4, 3, 3), (4, 3, 3, 3)),
        ("kernel_size: 3 dilation: 2", (2, 3, 6, 5), (2, 4, 2, 1), (4, 3, 3, 3)),
        ("kernel_h: 2 kernel_w: 3", (2, 3, 6, 5), (2, 4, 5, 3), (4, 3, 2, 3)),
        (
            "kernel_size: 2 kernel_size: 3 stride: 1 stride: 2 pad: 0 pad: 1",
            (2, 3, 6, 5),
            (2, 4, 5, 3),
            (4, 3, 2, 3),
        ),
        (
            "kernel_size: 3 pad_h: 1 pad_w: 2 stride_h: 2 stride_w: 1",
            (2, 3, 6, 5),
            (2, 4, 3, 7),
            (4, 3, 3, 3),
        ),
        ("kernel_size: 3 pad_w: 1", (2, 3, 6, 5), (2, 4, 4, 5), (4, 3, 3, 3)),
        ("kernel_size: 3 group: 2", (2, 6, 5, 5), (2, 4, 3, 3), (4, 3, 3, 3)),
        ("kernel_size: 2", (2, 3, 6), (2, 4, 5), (4, 3, 2)),
        ("kernel_size: 2", (2, 3, 4, 5, 6), (2, 4, 3, 4, 5), (4, 3, 2, 2, 2)),
        ("kernel_size: 3 axis: 2", (2, 5, 3, 6, 5), (2, 5, 4, 4, 3), (4, 3, 3, 3)),
        ("kernel_size: 3 axis: -3", (3, 6, 5), (4, 4, 3), (4, 3, 3, 3)),
        ("kernel_size: 1 axis: -1", (2, 5, 3), (2, 5, 4), (4, 3)),
        ("axis: 2", (2, 5, 3), (2, 5, 4), (4, 3)),
        ("kernel_size: 3 force_nd_im2col: true engine: CUDNN", (2, 3, 6, 5), (2, 4, 4, 3), None),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shapes(text, shape, top_shape, weights_shape, dtype, device, rng):
    layer = conv(f"num_output: 4 {text} {FILLERS}", device, dtype=dtype)
    x = rng.standard_normal(shape).astype(dtype)
    y = run_layer(layer, x)
    assert y.shape == top_shape
    weights, bias = (blob.host_data for blob in layer.blobs)
    assert weights.shape == (weights_shape or weights.shape)
    assert bias.shape == (4,)
    geometry = layer.kernel.geometry
    images = x.reshape(-1, geometry.in_channels, *geometry.input)
    expected = reference.convolution(images, weights, bias, geometry).reshape(top_shape)
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(y, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("kernel_size: 3", (2, 3, 5, 4)),
        ("kernel_size: 3 bias_term: false", (2, 2, 4, 4)),
        ("kernel_h: 2 kernel_w: 3 pad_h: 1 pad_w: 2 stride_h: 2 stride_w: 1", (2, 3, 4, 5)),
        ("kernel_size: 2 dilation: 2 pad: 1", (2, 2, 5, 4)),
        ("kernel_size: 3 group: 2 stride: 2 pad: 1", (2, 4, 5, 4)),
        ("kernel_size: 1 group: 2", (2, 4, 3, 2)),
        ("kernel_size: 1 stride: 2 pad: 1", (2, 2, 3, 2)),
        ("kernel_size: 2 stride: 2 pad: 1", (3, 2, 5)),
        ("kernel_size: 2 pad: 1", (2, 2, 2, 3, 2)),
        ("kernel_size: 2 axis: 2", (2, 2, 3, 3, 2)),
        ("axis: 2", (2, 3, 4)),
        ("kernel_size: 3 conv_mode: LOWERED_GEMM", (2, 2, 4, 4)),
        ("kernel_size: 3 conv_mode: DIRECT_DCONV", (2, 2, 4, 4)),
        ("kernel_size: 3 conv_mode: AUTO", (2, 2, 4, 4)),
    ],
)
def test_gradient(text, shape, device, rng):
    layer = conv(f"num_output: 2 {text} {FILLERS}", device, phase=TRAIN)
    check_gradient(layer, [rng.standard_normal(shape)])


def test_gradient_of_two_bottoms(device, rng):
    layer = conv(f"num_output: 2 kernel_size: 2 {FILLERS}", device)
    check_gradient(layer, [rng.standard_normal((2, 2, 3, 4)) for _ in range(2)], num_top=2)


def test_two_bottoms_in_float32_agree_with_float64(device):
    diffs = {}
    for dtype in (np.float32, np.float64):
        layer = conv(f"num_output: 3 kernel_size: 3 {FILLERS}", device, dtype=dtype)
        bottom, top = set_up(layer, (2, 4, 5, 6), (2, 4, 5, 6))
        rng = np.random.default_rng(5)
        for blob in bottom:
            blob.set_data(rng.standard_normal(blob.shape))
        layer.forward(bottom, top)
        for blob in top:
            blob.set_diff(rng.standard_normal(blob.shape))
        for blob in layer.blobs:
            blob.clear_diff()
        layer.backward(top, [True, True], bottom)
        diffs[dtype] = [blob.host_diff.copy() for blob in [*bottom, *layer.blobs]]
    for got, expected in zip(diffs[np.float32], diffs[np.float64], strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_two_bottoms_share_the_weights(device, rng):
    layer = conv(f"num_output: 2 kernel_size: 2 {FILLERS}", device, dtype=np.float32)
    x = rng.standard_normal((2, 1, 2, 3, 4))
    first, second = run_layer(layer, *x, tops=2)
    again = [blob_of(x[1], np.float32)], [Blob()]
    layer.reshape(*again)
    layer.forward(*again)
    np.testing.assert_array_equal(again[1][0].host_data, second)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(
    "flags", [(False, True, False), (False, False, True), (True, False, False)]
)
def test_diffs_of_frozen_blobs_stay(flags, device, rng):
    layer = conv(f"num_output: 2 kernel_size: 2 {FILLERS}", device)
    bottom, top = set_up(layer, (1, 2, 3, 3))
    bottom[0].set_data(rng.standard_normal(bottom[0].shape))
    layer.forward(bottom, top)
    top[0].set_diff(rng.standard_normal(top[0].shape))
    blobs = [*bottom, *layer.blobs]
    for blob in blobs:
        blob.set_diff(7)
    layer.param_propagate_down[:] = flags[1:]
    layer.backward(top, [flags[0]], bottom)
    assert tuple((blob.host_diff != 7).all() for blob in blobs) == flags


@pytest.mark.parametrize("mode", ["", "conv_mode: LOWERED_CCNMM", "conv_mode: DIRECT_SCONV"])
def test_follows_a_bottom_that_is_reshaped(mode, device, rng):
    layer = conv(f"num_output: 2 kernel_size: 2 {mode} {FILLERS}", device, dtype=np.float32)
    bottom, top = set_up(layer, (2, 3, 4, 4))
    for shape in ((1, 3, 5, 6), (4, 3, 2, 2)):
        bottom[0].reshape(*shape)
        bottom[0].set_data(rng.standard_normal(shape))
        layer.reshape(bottom, top)
        layer.forward(bottom, top)
        weights, bias = (blob.host_data for blob in layer.blobs)
        geometry = ConvGeometry(3, 2, 1, shape[2:], (2, 2), (1, 1), (0, 0), (1, 1))
        expected = reference.convolution(bottom[0].host_data, weights, bias, geometry)
        np.testing.assert_allclose(top[0].host_data, expected, rtol=1e-5, atol=1e-5)


def test_counts_multiply_adds(device):
    layer = conv("num_output: 4 kernel_size: 3 group: 2", device)
    set_up(layer, (5, 6, 4, 6))
    positions, bottoms = 2 * 4, 1
    assert layer.macs() == 4 * 27 * positions * 5 * bottoms
    assert layer.kept_macs() == 0
    weights = layer.blobs[0].data
    weights[...] = 1
    assert layer.kept_macs() == layer.macs()
    weights[1] = 0
    weights[2:, 1] = 0
    assert layer.kept_macs() == (27 + 2 * 18) * positions * 5


def test_counts_multiply_adds_of_all_bottoms(device):
    layer = conv("num_output: 4 kernel_size: 3 weight_filler { value: 1 }", device)
    set_up(layer, (5, 6, 4, 6), (5, 6, 4, 6))
    assert layer.macs() == layer.kept_macs() == 2 * 5 * 8 * 4 * 54


@ON_THE_CPU
def test_says_which_kernel_runs(device):
    layer = conv("num_output: 4 kernel_size: 3 conv_mode: DIRECT_DCONV", device)
    set_up(layer, (1, 2, 4, 4))
    assert layer.kernel_description == "im2col + gemm: float64"


@pytest.mark.parametrize(
    ("text", "shape", "message"),
    [
        (
            "num_output: 6 kernel_size: 3 group: 5",
            (2, 96, 5, 5),
            ("^group: 5 does not divide the 96 channels of the bottom; use a divisor of 96$"),
        ),
        (
            "num_output: 3 kernel_size: 3 group: 2",
            (2, 4, 5, 5),
            ("^group: 2 does not divide the 3 of num_output; use a divisor of 3$"),
        ),
        (
            "num_output: 4 kernel_size: 3 group: 0",
            (2, 4, 5, 5),
            "^group: expected 1 or more, got 0",
        ),
        ("kernel_size: 3", (2, 4, 5, 5), "^num_output: expected 1 or more, got 0$"),
        ("num_output: 4", (2, 4, 5, 5), "^kernel_size: expected one number, or kernel_h and kerne"),
        ("num_output: 4 kernel_size: 0", (2, 4, 5, 5), r"^kernel_size: expected 1 or .* \(0, 0\)"),
        ("num_output: 4 kernel_w: 3", (2, 4, 5, 5), r"^kernel_size: expected 1 or .* \(0, 3\)"),
        ("num_output: 4 kernel_size: 3 stride: 0", (2, 4, 5, 5), r"^stride: .* got \(0, 0\)"),
        ("num_output: 4 kernel_size: 3 stride_h: 2", (2, 4, 5, 5), r"^stride: .* got \(2, 0\)"),
        ("num_output: 4 kernel_size: 6", (2, 4, 5, 5), r"^kernel_size: \(6, 6\) .* not fit into"),
        (
            "num_output: 4 kernel_size: 3 kernel_h: 3 kernel_w: 3",
            (2, 4, 5, 5),
            ("^kernel_h: kernel_size is set as well; use one of them$"),
        ),
        (
            "num_output: 4 kernel_h: 3 kernel_w: 3",
            (2, 4, 5),
            ("^kernel_h: expected 2 spatial axes, got 1; use kernel_size$"),
        ),
        (
            "num_output: 4 kernel_size: 3 pad: [1, 1, 1]",
            (2, 4, 5, 5),
            (r"^pad: expected 1 number, or 2 for 2 spatial axes, got \[1, 1, 1\]$"),
        ),
        ("num_output: 4 kernel_size: 3 axis: 4", (2, 4, 5, 5), "^axis: expected -4 to 3 .*, got 4"),
    ],
)
def test_refuses_sizes(text, shape, message, device):
    with pytest.raises(ShapeError, match=message):
        set_up(conv(text, device), shape)


def test_refuses_bottoms_of_different_shapes(device):
    layer = conv("num_output: 4 kernel_size: 3", device)
    message = r"^bottom 1: expected the shape \(2, 4, 5, 5\) of bottom 0, got \(2, 4, 5, 6\)$"
    with pytest.raises(ShapeError, match=message):
        set_up(layer, (2, 4, 5, 5), (2, 4, 5, 6))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 5, 5, 5), r"^bottom: expected 4 channels as at setup, got \(2, 5, 5, 5\)"),
        ((2, 4, 5), r"^bottom: expected 4 axes as at setup, got \(2, 4, 5\)$"),
    ],
)
def test_refuses_a_bottom_that_the_weights_do_not_fit(shape, message, device):
    layer = conv("num_output: 4 kernel_size: 3", device)
    bottom, top = set_up(layer, (2, 4, 5, 5))
    bottom[0].reshape(*shape)
    with pytest.raises(ShapeError, match=message):
        layer.reshape(bottom, top)


@pytest.mark.parametrize("mode", ["LOWERED_CSRMM", "LOWERED_CCNMM", "DIRECT_SCONV"])
def test_refuses_a_sparse_mode_in_train_at_setup(mode, device):
    layer = conv(f"num_output: 4 kernel_size: 3 conv_mode: {mode}", device, phase=TRAIN)
    bottom = [Blob((2, 4, 5, 5))]
    with pytest.raises(
        UnsupportedError, match=f"^conv_mode: {mode} cannot train; use LOWERED_GEMM"
    ):
        layer.setup(bottom, [Blob()])


def test_refuses_a_merged_rectifier(device):
    with pytest.raises(UnsupportedError, match=r"^relu: .* put a ReLU layer after it$"):
        set_up(conv("num_output: 4 kernel_size: 3 relu: true", device), (2, 4, 5, 5))
