"""Pooling: windows against a plain loop, gradients by differences, layouts against each other."""

import numpy as np
import pytest

from sscaffe import _core
from sscaffe.blob import Blob
from sscaffe.errors import ShapeError
from sscaffe.testing import check_gradient
from tests.helpers import ON_THE_CPU, blob_of, make_layer, run_layer, spread_out

WINDOWS = {
    "2x2/2": ("kernel_size: 2 stride: 2", (2, 2), (2, 2), (0, 0)),
    "3x3/2": ("kernel_size: 3 stride: 2", (3, 3), (2, 2), (0, 0)),
    "3x3/2 pad": ("kernel_size: 3 stride: 2 pad: 1", (3, 3), (2, 2), (1, 1)),
    "3x3/1 pad": ("kernel_size: 3 pad: 1", (3, 3), (1, 1), (1, 1)),
    "3x2/2x3": (
        "kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 3 pad_h: 1 pad_w: 0",
        (3, 2),
        (2, 3),
        (1, 0),
    ),
}
METHODS = ("MAX", "AVE")


def pooled_size(size, kernel, stride, pad, any_pad):
    pooled = int(np.ceil((size + 2 * pad - kernel) / stride)) + 1
    if any_pad and (pooled - 1) * stride >= size + pad:
        pooled -= 1
    return pooled


def pool_by_loops(x, method, kernel, stride, pad):
    n, c, h, w = x.shape
    out_h = pooled_size(h, kernel[0], stride[0], pad[0], any(pad))
    out_w = pooled_size(w, kernel[1], stride[1], pad[1], any(pad))
    out = np.zeros((n, c, out_h, out_w))
    for i in range(out_h):
        for j in range(out_w):
            top, left = i * stride[0] - pad[0], j * stride[1] - pad[1]
            bottom, right = min(top + kernel[0], h + pad[0]), min(left + kernel[1], w + pad[1])
            divisor = (bottom - top) * (right - left)
            window = x[:, :, max(top, 0) : min(bottom, h), max(left, 0) : min(right, w)]
            if method == "MAX":
                out[:, :, i, j] = window.max(axis=(2, 3))
            else:
                out[:, :, i, j] = window.sum(axis=(2, 3)) / divisor
    return out


def pooling(method, text, dtype=np.float64):
    return make_layer(f"type: 'Pooling' pooling_param {{ pool: {method} {text} }}", dtype=dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("window", WINDOWS)
def test_matches_a_plain_loop(window, method, dtype, rng):
    text, *sizes = WINDOWS[window]
    x = rng.standard_normal((2, 3, 7, 8)).astype(dtype)
    got = run_layer(pooling(method, text, dtype), x)
    np.testing.assert_allclose(got, pool_by_loops(x, method, *sizes), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("window", WINDOWS)
def test_gradient(window, method, rng):
    check_gradient(pooling(method, WINDOWS[window][0]), [spread_out((2, 2, 5, 6), rng)])


@pytest.mark.parametrize("method", METHODS)
def test_global_pooling_takes_the_whole_image(method, rng):
    x = spread_out((2, 3, 4, 5), rng)
    got = run_layer(pooling(method, "global_pooling: true"), x)
    expected = x.max(axis=(2, 3)) if method == "MAX" else x.mean(axis=(2, 3))
    np.testing.assert_allclose(got[:, :, 0, 0], expected, rtol=1e-12)
    check_gradient(pooling(method, "global_pooling: true"), [x])


@pytest.mark.parametrize("rounding", ["round_mode: FLOOR", "ceil_mode: false"])
def test_floor_drops_the_partial_window(rounding):
    x = np.arange(25.0).reshape(1, 1, 5, 5)
    text = f"kernel_size: 2 stride: 2 {rounding}"
    np.testing.assert_array_equal(run_layer(pooling("MAX", text), x)[0, 0], [[6, 8], [16, 18]])


@pytest.mark.parametrize("rounding", ["", "round_mode: CEIL", "ceil_mode: true"])
def test_ceil_keeps_the_partial_window(rounding):
    x = np.arange(9.0).reshape(1, 1, 3, 3)
    text = f"kernel_size: 2 stride: 2 {rounding}"
    np.testing.assert_array_equal(run_layer(pooling("MAX", text), x)[0, 0], [[4, 5], [7, 8]])


@pytest.mark.skipif(not _core.has_onednn, reason="needs oneDNN layouts")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("window", WINDOWS)
@ON_THE_CPU
def test_native_layout_gives_the_same_as_the_plain_one(window, method, rng):
    x = rng.integers(-3, 4, (2, 20, 7, 8)).astype(np.float32)  # with ties
    results = []
    for native in (False, True):
        layer = pooling(method, WINDOWS[window][0], np.float32)
        bottom, top = [blob_of(x, np.float32)], [Blob()]
        layer.setup(bottom, top)
        layer.reshape(bottom, top)
        if native:
            layout = convolution_output_layout(x.shape)
            bottom[0].data_tensor.memory_in(layout, x.shape)
        layer.forward(bottom, top)
        weights = np.random.default_rng(5).standard_normal(top[0].shape)
        top[0].set_diff(weights)
        layer.backward(top, [True], bottom)
        results.append((top[0].host_data.copy(), bottom[0].host_diff.copy()))
    np.testing.assert_allclose(results[1][0], results[0][0], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(results[1][1], results[0][1], rtol=1e-6, atol=1e-6)


def convolution_output_layout(shape):
    layout = _core.Convolution(
        batch=shape[0],
        in_channels=32,
        out_channels=shape[1],
        group=1,
        input=shape[2:],
        output=shape[2:],
        kernel=(1, 1),
        stride=(1, 1),
        pad=(0, 0),
        dilation=(1, 1),
        bias=False,
        train=True,
    ).top_layout
    assert not layout.is_plain
    return layout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kernel_size: 3 kernel_h: 3", "expected either kernel_size or kernel_h and kernel_w"),
        ("kernel_h: 3", "kernel_h, kernel_w: expected both or neither"),
        ("", "kernel_size: expected a size, got none"),
        ("kernel_size: 3 pad: 3", "pad: expected less than the kernel"),
        ("kernel_size: 9", "does not fit into a bottom"),
        ("kernel_size: 2 stride: 0", "stride: expected 1 or more"),
        (
            "kernel_size: 2 ceil_mode: true round_mode: CEIL",
            "ceil_mode: expected either ceil_mode or round_mode, got both",
        ),
        ("global_pooling: true kernel_size: 2", "global_pooling takes the whole image"),
        ("global_pooling: true pad: 1", "expected stride 1 and pad 0"),
    ],
)
def test_refuses(text, message):
    with pytest.raises(ShapeError, match=message):
        run_layer(pooling("MAX", text), np.zeros((1, 1, 4, 4)))


def test_refuses_bottoms_without_an_image():
    with pytest.raises(ShapeError, match=r"shape \(N, C, H, W\), got \(2, 3\)"):
        run_layer(pooling("MAX", "kernel_size: 2"), np.zeros((2, 3)))
