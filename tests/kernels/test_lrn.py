"""LRN in every layout: its formula in loops, and the same layers in float64."""

import numpy as np
import pytest

from sscaffe import _core
from tests.kernels.native import CHANNELS, check, native_layout, run

ACROSS = "type: 'LRN' lrn_param {{ local_size: {} alpha: {} beta: {} k: {} }}"
WITHIN = "type: 'LRN' lrn_param {{ norm_region: WITHIN_CHANNEL local_size: {} alpha: {} beta: {} }}"

# A handful of roundings of terms of order 1 that may cancel.
RTOL = 3e-6

# shape, size, alpha, beta, k
CASES = [
    ((2, 7, 3, 4), 5, 1.0, 0.75, 1.0),
    ((1, 3, 5), 5, 2.0, 0.75, 0.5),
    ((2, 4, 2, 2), 1, 1.0, 0.75, 2.0),
    ((2, 4, 2, 2), 9, 1.0, 0.5, 1.0),
    ((3, 6, 150), 3, 1.0, 0.75, 1.0),
    ((2, 5), 3, 1.0, 1.0, 1.0),
    ((70, 40), 7, 1.0, 0.75, 1.0),
    ((1, 6, 4), 4, 1.0, 0.6, 1.0),
    ((5, 6), 4, 1.0, 0.6, 1.0),
]


def reference(x, size, alpha, beta, k):
    """Return scale and y, in double precision, across channels."""
    x = x.astype(np.float64)
    scale = np.empty_like(x)
    before = (size - 1) // 2
    for c in range(x.shape[1]):
        window = x[:, max(0, c - before) : c - before + size]
        scale[:, c] = k + alpha / size * np.square(window).sum(axis=1)
    return scale, x * scale**-beta


def reference_gradient(x, dy, size, alpha, beta, k):
    x, scale = x.astype(np.float64), reference(x, size, alpha, beta, k)[0]
    ratio = dy * x * scale ** -(beta + 1)
    spread = np.zeros_like(x)
    before = (size - 1) // 2
    for c in range(x.shape[1]):
        spread[:, max(0, c - before) : c - before + size] += ratio[:, c : c + 1]
    return dy * scale**-beta - 2 * alpha * beta / size * x * spread


def test_value_by_hand():
    x = np.array([1, 2, 3], np.float32).reshape(1, 3, 1)
    scale, y = np.empty_like(x), np.empty_like(x)
    memories = [_core.Memory(array, array.shape) for array in (x, scale, y)]
    _core.lrn_across_forward(3, 3.0, 1.0, 1.0, *memories)
    np.testing.assert_allclose(scale.ravel(), [6, 15, 14], rtol=1e-6)
    np.testing.assert_allclose(y.ravel(), [1 / 6, 2 / 15, 3 / 14], rtol=1e-6)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.usefixtures("isa")
def test_against_loops(case, rng):
    shape, *constants = case
    x, dy = rng.standard_normal((2, *shape)).astype(np.float32)
    arrays = [x, np.full_like(x, np.nan), np.full_like(x, np.nan), dy, np.full_like(x, np.nan)]
    x_in, scale, y, dy_in, dx = (_core.Memory(array, shape) for array in arrays)
    _core.lrn_across_forward(*constants, x_in, scale, y)
    _core.lrn_across_backward(*constants[:3], x_in, scale, dy_in, dx)
    # 1e-6 is what the ancestor's own tests ask of floats.
    for got, expected in zip(arrays[1:3], reference(x, *constants), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-6)
    expected = reference_gradient(x, dy, *constants)
    np.testing.assert_allclose(arrays[4], expected, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("beta", [0.75, 0.1, 0.5, 1, 2.5, -1.5])
@pytest.mark.parametrize("sizes", [(1e-3, 30), (1e-18, 1e18), (1, 1)], ids=str)
@pytest.mark.usefixtures("isa")
def test_powers(sizes, beta):
    """Of scales from very small to very large: a window of 1 without a constant."""
    x = np.geomspace(*sizes, 5000, dtype=np.float32).reshape(1, 1, 5000)
    scale, y = np.empty_like(x), np.empty_like(x)
    memories = [_core.Memory(array, array.shape) for array in (x, scale, y)]
    _core.lrn_across_forward(1, 1.0, beta, 0.0, *memories)
    with np.errstate(over="ignore"):
        power = (scale.astype(np.float64) ** -np.float32(beta)).astype(np.float32)
        expected = x * power
    rtol = 1e-6 if sizes[1] < 1e3 else 4e-6  # the logarithm is rounded
    np.testing.assert_allclose(y, expected, rtol=rtol, atol=2e-38)


@pytest.mark.parametrize("native", [False, True], ids=["plain", "native"])
def test_nan_and_infinity(native, rng):
    shape = 1, 16, 4, 5
    x = rng.standard_normal(shape).astype(np.float32)
    x[0, 3, 1, 1], x[0, 8, 2, 2] = np.nan, 1e30
    layout = native_layout(shape) if native else None
    got = run(ACROSS.format(3, 1, 0.6, 1), [x], np.zeros_like(x), layout)
    with np.errstate(over="ignore"):
        expected = reference(x, 3, 1, np.float32(0.6), 1)[1]
    assert np.isnan(got.top[0, 2:5, 1, 1]).all()
    finite = np.isfinite(expected)
    finite[0, 7:10, 2, 2] = False  # the square overflows
    np.testing.assert_allclose(got.top[finite], expected[finite], rtol=1e-5)


@pytest.mark.parametrize("in_place", [False, True], ids=["apart", "in_place"])
@pytest.mark.parametrize("native", [False, True], ids=["plain", "native"])
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("constants", [(5, 1, 0.75, 1), (1, 1, 0.75, 2), (9, 2, 0.6, 1)], ids=str)
@pytest.mark.usefixtures("isa")
def test_across_channels(constants, channels, native, in_place, rng):
    shape = 2, channels, 9, 13
    layout = native_layout(shape) if native else None
    x = rng.standard_normal(shape)
    check(ACROSS.format(*constants), [x], rng, layout, in_place=in_place, rtol=RTOL)


@pytest.mark.parametrize("in_place", [False, True], ids=["apart", "in_place"])
@pytest.mark.parametrize("native", [False, True], ids=["plain", "native"])
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("constants", [(3, 1, 0.75), (1, 1, 0.75), (5, 2, 0.6)], ids=str)
@pytest.mark.parametrize("image", [(7, 5), (1, 9), (2, 2), (16, 17)], ids=str)
@pytest.mark.usefixtures("isa")
def test_within_channels(image, constants, channels, native, in_place, rng):
    shape = 2, channels, *image
    layout = native_layout(shape) if native else None
    x = rng.standard_normal(shape)
    check(WITHIN.format(*constants), [x], rng, layout, in_place=in_place, rtol=RTOL)


@pytest.mark.parametrize("shape", [(2, 3, 1, 1), (4, 20, 1, 1)], ids=str)
def test_an_image_of_one_position(shape, rng):
    check(WITHIN.format(3, 1, 0.75), [rng.standard_normal(shape)], rng, None, rtol=RTOL)


@pytest.mark.parametrize("native", [False, True], ids=["plain", "native"])
@pytest.mark.parametrize("text", [ACROSS.format(5, 1, 0.75, 1), WITHIN.format(3, 1, 0.75)])
def test_same_bits_for_any_number_of_threads(text, native, rng):
    shape = 5, 28, 33, 31
    x, top_diff = rng.standard_normal((2, *shape)).astype(np.float32)
    layout = native_layout(shape) if native else None
    before, runs = _core.get_num_threads(), []
    for threads in (1, 2, 3):
        _core.set_num_threads(threads)
        runs.append(run(text, [x], top_diff, layout))
    _core.set_num_threads(before)
    for other in runs[1:]:
        np.testing.assert_array_equal(other.top, runs[0].top)
        np.testing.assert_array_equal(other.bottom_diffs[0], runs[0].bottom_diffs[0])


def test_refuses():
    x, y, z = (_core.Memory(_core.Layout((2, 3, 4))) for _ in range(3))
    other = _core.Memory(_core.Layout((2, 4, 3)))
    with pytest.raises(ValueError, match="scale: expected a memory of x's layout"):
        _core.lrn_across_forward(3, 1, 1, 1, x, other, y)
    with pytest.raises(ValueError, match="y: expected other memory than x's"):
        _core.lrn_across_forward(3, 1, 1, 1, x, y, x)
    with pytest.raises(ValueError, match="size: expected 1 or more, got 0"):
        _core.lrn_across_forward(0, 1, 1, 1, x, y, z)
    with pytest.raises(ValueError, match="dy: expected a memory of x's layout"):
        _core.lrn_across_backward(3, 1, 1, x, y, other, z)
    with pytest.raises(ValueError, match="x: expected 4 axes, got 3"):
        _core.lrn_within_forward(3, 1, 1, 1, x, y, z)
    flat = _core.Memory(_core.Layout((6,)))
    with pytest.raises(ValueError, match="x: expected a layout by channels, with elements"):
        _core.lrn_across_forward(3, 1, 1, 1, flat, flat, flat)
    image, scale = (_core.Memory(_core.Layout((2, 3, 4, 4))) for _ in range(2))
    with pytest.raises(ValueError, match="size: expected an odd number"):
        _core.lrn_within_forward(2, 1, 1, 1, image, scale, scale)
