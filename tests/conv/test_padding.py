"""Padding that is not the same on both sides: against padding by hand."""

import numpy as np
import pytest

from sscaffe.errors import ShapeError
from sscaffe.layer import TRAIN
from sscaffe.testing import check_gradient
from tests.helpers import make_layer, run_layer

FILLERS = "weight_filler { type: 'uniform' min: -1 max: 1 } bias_filler { type: 'uniform' }"


def conv(text, layer_type="Convolution", **options):
    settings = f"num_output: 4 kernel_size: 3 {FILLERS} {text}"
    return make_layer(f"type: '{layer_type}' convolution_param {{ {settings} }}", **options)


@pytest.mark.parametrize(
    ("text", "widths"),
    [
        ("pad_l: 1", ((0, 0), (1, 0))),
        ("pad_r: 2 pad_b: 1", ((0, 1), (0, 2))),
        ("pad_l: 1 pad_r: 2 pad_t: 3 pad_b: 0", ((3, 0), (1, 2))),
        ("pad_l: 1 pad_r: 1 pad_t: 1 pad_b: 1", ((1, 1), (1, 1))),
    ],
)
@pytest.mark.parametrize("more", ["", "stride: 2 group: 2", "conv_mode: LOWERED_CCNMM"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_is_as_if_the_zeros_were_there(text, widths, more, dtype, rng):
    x = rng.standard_normal((2, 4, 5, 6)).astype(dtype)
    layer, plain = conv(f"{text} {more}", dtype=dtype), conv(more, dtype=dtype)
    padded = np.pad(x, ((0, 0), (0, 0), *widths))
    expected = run_layer(plain, padded)
    np.testing.assert_allclose(run_layer(layer, x), expected, rtol=1e-6)


@pytest.mark.parametrize("text", ["pad_l: 1", "pad_r: 2 pad_t: 1 stride: 2"])
def test_gradient(text, rng):
    layer = conv(text, phase=TRAIN)
    check_gradient(layer, [rng.standard_normal((2, 2, 4, 5)) for _ in range(2)], num_top=2)


@pytest.mark.parametrize(
    ("text", "shape", "message"),
    [
        ("pad_l: 1 pad: 1", (1, 4, 5, 5), "pad_l: pad is set as well; use one of them"),
        ("pad_b: 1 pad_w: 1", (1, 4, 5, 5), "pad_b: pad_w is set as well"),
        ("pad_l: 1", (1, 4, 5), "pad_l: expected 2 spatial axes, got 1; use pad"),
    ],
)
def test_refuses(text, shape, message):
    with pytest.raises(ShapeError, match=message):
        run_layer(conv(text), np.zeros(shape))
