"""Deconvolution: values by hand, against a plain loop, gradients, and what it refuses."""

import itertools

import numpy as np
import pytest

from sscaffe.blob import Blob
from sscaffe.errors import ShapeError, UnsupportedError
from sscaffe.layer import TRAIN
from sscaffe.testing import check_gradient
from tests.helpers import blob_of, make_layer, run_layer

FILLERS = "weight_filler { type: 'uniform' min: -1 max: 1 } bias_filler { type: 'uniform' }"


def deconv(text, **options):
    return make_layer(f"type: 'Deconvolution' convolution_param {{ {text} }}", **options)


def by_loops(x, weights, bias, *, stride, pad, dilation, group, output):
    """Add each input value times its kernel, place by place."""
    batch, channels, *image = x.shape
    per_group = weights.shape[1]
    out = np.zeros((batch, per_group * group, *output))
    for c, place in itertools.product(range(channels), itertools.product(*map(range, image))):
        first = c // (channels // group) * per_group
        for tap in itertools.product(*map(range, weights.shape[2:])):
            axes = zip(place, tap, stride, pad, dilation, strict=True)
            at = tuple(p * s + k * d - q for p, k, s, q, d in axes)
            if all(0 <= i < n for i, n in zip(at, output, strict=True)):
                value = x[(slice(None), c, *place)][:, None] * weights[(c, slice(None), *tap)]
                out[(slice(None), slice(first, first + per_group), *at)] += value
    return out + bias.reshape(1, -1, *[1] * len(output))


CASES = {
    "plain": ("kernel_size: 3", (4, 3, 4), (3, 3), (1, 1), (0, 0), (1, 1), 1, (5, 6)),
    "x2": ("kernel_size: 4 stride: 2 pad: 1", (4, 3, 4), (4, 4), (2, 2), (1, 1), (1, 1), 1, (6, 8)),
    "rect": (
        "kernel_h: 2 kernel_w: 3 stride_h: 3 stride_w: 1 pad_h: 0 pad_w: 1",
        (2, 3, 4),
        (2, 3),
        (3, 1),
        (0, 1),
        (1, 1),
        1,
        (8, 4),
    ),
    "group": (
        "kernel_size: 2 stride: 2 group: 2",
        (4, 3, 2),
        (2, 2),
        (2, 2),
        (0, 0),
        (1, 1),
        2,
        (6, 4),
    ),
    "dilation": (
        "kernel_size: 2 dilation: 2 pad: 1",
        (2, 4, 3),
        (2, 2),
        (1, 1),
        (1, 1),
        (2, 2),
        1,
        (4, 3),
    ),
    "1x1": ("kernel_size: 1", (3, 2, 3), (1, 1), (1, 1), (0, 0), (1, 1), 1, (2, 3)),
    "1-D": ("kernel_size: 3 stride: 2 group: 2", (4, 5), (3,), (2,), (0,), (1,), 2, (11,)),
    "3-D": (
        "kernel_size: 2 stride: 2",
        (2, 2, 1, 3),
        (2,) * 3,
        (2,) * 3,
        (0,) * 3,
        (1,) * 3,
        1,
        (4, 2, 6),
    ),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_matches_a_plain_loop(case, dtype, rng):
    text, shape, kernel, stride, pad, dilation, group, output = CASES[case]
    layer = deconv(f"num_output: 4 {text} {FILLERS}", dtype=dtype)
    x = rng.standard_normal((3, *shape)).astype(dtype)
    got = run_layer(layer, x)
    weights, bias = (blob.host_data for blob in layer.blobs)
    assert weights.shape == (shape[0], 4 // group, *kernel)
    sizes = {"stride": stride, "pad": pad, "dilation": dilation}
    expected = by_loops(x, weights, bias, **sizes, group=group, output=output)
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("bias", ["", "bias_term: false"])
@pytest.mark.parametrize("case", CASES)
def test_gradient(case, bias, rng):
    text, shape, *_ = CASES[case]
    layer = deconv(f"num_output: 2 {text} {bias} {FILLERS}", phase=TRAIN)
    check_gradient(layer, [rng.standard_normal((2, *shape))])


def test_several_bottoms_share_the_weights(rng):
    layer = deconv(f"num_output: 2 kernel_size: 2 {FILLERS}", phase=TRAIN)
    check_gradient(layer, [rng.standard_normal((2, 3, 3, 2)) for _ in range(2)], num_top=2)


def test_values_by_hand():
    layer = deconv("num_output: 1 kernel_size: 2 bias_filler { value: 10 }")
    bottom, top = [blob_of([[[[1, 2]]]])], [Blob((), np.float64)]
    layer.setup(bottom, top)
    layer.reshape(bottom, top)
    layer.blobs[0].set_data([[[[1, 3], [0, 5]]]])
    layer.forward(bottom, top)
    np.testing.assert_array_equal(top[0].host_data, [[[[11, 15, 16], [10, 15, 20]]]])
    top[0].set_diff([[[[1, 10, 100], [0, 0, 1000]]]])
    layer.backward(top, [True], bottom)
    np.testing.assert_array_equal(bottom[0].host_diff, [[[[31, 5310]]]])
    np.testing.assert_array_equal(layer.blobs[0].host_diff, [[[[21, 210], [0, 2000]]]])
    np.testing.assert_array_equal(layer.blobs[1].host_diff, [1111])


def test_the_bilinear_filler_makes_an_image_larger():
    text = "num_output: 2 group: 2 kernel_size: 4 stride: 2 pad: 1 bias_term: false"
    layer = deconv(f"{text} weight_filler {{ type: 'bilinear' }}")
    x = np.tile(np.arange(6.0), (1, 2, 6, 1))
    got = run_layer(layer, x)
    assert got.shape == (1, 2, 12, 12)
    np.testing.assert_allclose(got[0, 1, 5, 1:-1], 0.25 + np.arange(10) / 2, rtol=1e-6)


def test_what_does_not_learn_is_left_alone(rng):
    layer = deconv(f"num_output: 2 kernel_size: 2 {FILLERS}", phase=TRAIN)
    bottom, top = [blob_of(rng.standard_normal((1, 2, 3, 3)))], [Blob((), np.float64)]
    layer.setup(bottom, top)
    layer.reshape(bottom, top)
    layer.forward(bottom, top)
    top[0].set_diff(1)
    layer.param_propagate_down = [False, False]
    layer.backward(top, [False], bottom)
    assert not layer.blobs[0].host_diff.any()
    assert not layer.blobs[1].host_diff.any()
    assert not bottom[0].host_diff.any()


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("num_output: 3 kernel_size: 2 group: 2", ShapeError, "group: 2 does not divide the 3"),
        ("num_output: 2 kernel_size: 2 pad: 4", ShapeError, "pad: .* leaves nothing of a top"),
        ("num_output: 2 kernel_size: 2 stride: 0", ShapeError, "stride: expected 1 or more"),
        ("num_output: 2", ShapeError, "kernel_size: expected one number"),
        (
            "num_output: 2 kernel_size: 2 conv_mode: LOWERED_CCNMM",
            UnsupportedError,
            "conv_mode: LOWERED_CCNMM is for Convolution; leave it out",
        ),
        ("num_output: 2 kernel_size: 2 pad_l: 1", UnsupportedError, "pad_l: Deconvolution pads"),
        ("num_output: 2 kernel_size: 2 relu: true", UnsupportedError, "relu: Deconvolution has no"),
    ],
)
def test_refuses(text, error, message):
    with pytest.raises(error, match=message):
        run_layer(deconv(text), np.zeros((1, 4, 3, 3)))
