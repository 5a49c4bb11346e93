"""LRN: both regions against a plain loop, gradients by finite differences."""

import numpy as np
import pytest

from sscaffe.blob import Blob
from sscaffe.errors import ShapeError
from sscaffe.testing import check_gradient
from tests.helpers import blob_of, make_layer, run_backward, run_layer

REGIONS = ("ACROSS_CHANNELS", "WITHIN_CHANNEL")
STRONG = "alpha: 2.5 beta: 0.6 k: 1.5"


def lrn(region, size, rest=STRONG, dtype=np.float64):
    text = f"norm_region: {region} local_size: {size} {rest}"
    return make_layer(f"type: 'LRN' lrn_param {{ {text} }}", dtype=dtype)


def across_by_loops(x, size, alpha, beta, k):
    y = np.empty_like(x)
    for n, c, h, w in np.ndindex(x.shape):
        window = x[n, max(c - size // 2, 0) : c + size // 2 + 1, h, w]
        y[n, c, h, w] = x[n, c, h, w] * (k + alpha / size * (window**2).sum()) ** -beta
    return y


def within_by_loops(x, size, alpha, beta):
    y, half = np.empty_like(x), size // 2
    height, width = x.shape[2:]
    for n, c, h, w in np.ndindex(x.shape):
        window = x[n, c, max(h - half, 0) : h + half + 1, max(w - half, 0) : w + half + 1]
        # Average pooling counts the padding on every side that the window reaches.
        rows = min(h + half + 1, height + half) - (h - half)
        columns = min(w + half + 1, width + half) - (w - half)
        mean = (window**2).sum() / (rows * columns)
        y[n, c, h, w] = x[n, c, h, w] * (1 + alpha * mean) ** -beta
    return y


def test_across_two_channels_by_hand():
    # scale = 1 + 3 / 3 * (1 + 4) = 6 in both channels.
    x = np.array([1.0, 2.0]).reshape(1, 2, 1, 1)
    y = run_layer(lrn("ACROSS_CHANNELS", 3, "alpha: 3 beta: 1"), x)
    np.testing.assert_allclose(y.ravel(), [1 / 6, 2 / 6], rtol=1e-12)


def test_within_a_channel_of_one_place_by_hand():
    # The square of 9 places holds one 6: scale = 1 + 0.5 * 36 / 9 = 3.
    y = run_layer(lrn("WITHIN_CHANNEL", 3, "alpha: 0.5 beta: 1"), np.full((1, 2, 1, 1), 6.0))
    np.testing.assert_allclose(y.ravel(), [2.0, 2.0], rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 3, 5, 9])
@pytest.mark.parametrize("region", REGIONS)
def test_matches_a_plain_loop(region, size, dtype, rng):
    x = rng.standard_normal((2, 7, 4, 5))
    alpha, beta, k = (float(np.float32(value)) for value in (2.5, 0.6, 1.5))
    if region == "ACROSS_CHANNELS":
        expected = across_by_loops(x, size, alpha, beta, k)
    else:
        expected = within_by_loops(x, size, alpha, beta)
    y = run_layer(lrn(region, size, dtype=dtype), x)
    np.testing.assert_allclose(y, expected, rtol=1e-12 if dtype == np.float64 else 2e-6)


@pytest.mark.parametrize("rest", ["", STRONG])
@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("shape", [(2, 1, 3, 4), (1, 6, 2, 3)], ids=str)
@pytest.mark.parametrize("region", REGIONS)
def test_gradient(region, shape, size, rest, rng):
    check_gradient(lrn(region, size, rest), [rng.standard_normal(shape)])


@pytest.mark.parametrize("region", REGIONS)
def test_in_place_matches_out_of_place(region, rng):
    x, top_diff = rng.standard_normal((2, 2, 5, 3, 4))
    separate = run_backward(lrn(region, 3), x, top_diff)
    shared = run_backward(lrn(region, 3), x, top_diff, in_place=True)
    np.testing.assert_array_equal(shared.top_data, separate.top_data)
    np.testing.assert_array_equal(shared.bottom_diff, separate.bottom_diff)


def test_rejects_an_even_window():
    with pytest.raises(ShapeError, match=r"local_size: expected an odd number, got 4"):
        run_layer(lrn("ACROSS_CHANNELS", 4), np.zeros((1, 2, 3, 3)))


def test_rejects_a_bottom_that_is_no_image():
    with pytest.raises(ShapeError, match=r"shape \(N, C, H, W\), got \(2, 3\)"):
        run_layer(lrn("ACROSS_CHANNELS", 3), np.zeros((2, 3)))


@pytest.mark.parametrize("region", REGIONS)
def test_gradient_does_not_need_the_top(region):
    """A layer that runs in place on the top overwrites it before the backward pass."""
    text = f"type: 'LRN' lrn_param {{ local_size: 3 alpha: 2 norm_region: {region} }}"
    diffs = []
    for overwrite in (False, True):
        layer, bottom, top = (
            make_layer(text),
            [blob_of(np.ones((2, 4, 3, 3)))],
            [Blob((), np.float64)],
        )
        bottom[0].set_data(np.arange(72).reshape(2, 4, 3, 3) / 72)
        layer.setup(bottom, top)
        layer.reshape(bottom, top)
        layer.forward(bottom, top)
        if overwrite:
            top[0].set_data(0)
        top[0].set_diff(np.random.default_rng(3).standard_normal(top[0].shape))
        layer.backward(top, [True], bottom)
        diffs.append(bottom[0].host_diff.copy())
    np.testing.assert_array_equal(*diffs)
