"""BatchNorm and Scale in every layout, against the same layers in float64."""

import numpy as np
import pytest

from sscaffe import _core
from tests.kernels.native import CHANNELS, check, native_layout, run

BATCH_NORM = "type: 'BatchNorm'"
GLOBAL = "type: 'BatchNorm' batch_norm_param { use_global_stats: true }"
SCALE = "type: 'Scale' scale_param { bias_term: true }"

# Sums that add up to little lose a few digits more.
RTOL = 1e-5


def random_input(shape, rng):
    return 3 + 2 * rng.standard_normal(shape)


@pytest.mark.parametrize("in_place", [False, True], ids=["apart", "in_place"])
@pytest.mark.parametrize("native", [False, True], ids=["plain", "native"])
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize(("batch", "height", "width"), [(1, 7, 5), (3, 4, 4), (2, 33, 31)])
@pytest.mark.usefixtures("isa")
def test_batch_norm(batch, channels, height, width, native, in_place, rng):
    shape = batch, channels, height, width
    layout = native_layout(shape) if native else None
    check(BATCH_NORM, [random_input(shape, rng)], rng, layout, in_place=in_place, rtol=RTOL)


@pytest.mark.parametrize("rectify", [False, True], ids=["", "rectified"])
@pytest.mark.parametrize("affine", ["", "factor", "factor and bias"])
@pytest.mark.parametrize("native", [False, True], ids=["plain", "native"])
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.usefixtures("isa")
def test_what_follows_batch_norm(channels, native, affine, rectify, rng):
    shape, eps = (3, channels, 7, 5), 1e-5
    layout = native_layout(shape) if native else _core.Layout(shape)
    x, dy = random_input(shape, rng), rng.standard_normal(shape)
    factor = rng.standard_normal(channels) if "factor" in affine else None
    bias = rng.standard_normal(channels) if "bias" in affine else None
    given = [None if a is None else a.astype(np.float32) for a in (factor, bias)]
    top, bottom_diff, factor_diff, bias_diff = norm_reference(x, dy, factor, bias, rectify, eps)

    mean, variance, inverse_std = (np.empty(channels, np.float32) for _ in range(3))
    x_memory, dy_memory = (memory_in(layout, array) for array in (x, dy))
    out = _core.Memory(layout)
    statistics = mean, variance, inverse_std
    _core.batch_norm_forward(eps, *given, rectify, x_memory, out, *statistics)
    np.testing.assert_allclose(array_of(out, shape), top, rtol=1e-5, atol=1e-5 * abs(top).max())
    # They are added to; and the diff may go where dy was.
    diffs = [np.full(channels, 2, np.float32), np.full(channels, 3, np.float32)]
    after = *given, rectify
    _core.batch_norm_backward(mean, inverse_std, *after, x_memory, dy_memory, *diffs, dy_memory)
    got = array_of(dy_memory, shape)
    np.testing.assert_allclose(got, bottom_diff, rtol=0, atol=2e-5 * abs(bottom_diff).max())
    np.testing.assert_allclose(diffs[0] - 2, factor_diff, rtol=1e-5, atol=5e-5)
    np.testing.assert_allclose(diffs[1] - 3, bias_diff, rtol=1e-5, atol=5e-5)


def norm_reference(x, dy, factor, bias, rectify, eps):
    """Return the top and all gradients, in float64, of layers that run one after the other."""
    channels, count = x.shape[1], x[:, 0].size

    def of_channels(array):
        return array.reshape(-1, 1, 1)

    factor = np.ones(channels) if factor is None else factor
    bias = np.zeros(channels) if bias is None else bias
    std = np.sqrt(x.var((0, 2, 3)) + eps)
    normalized = (x - of_channels(x.mean((0, 2, 3)))) / of_channels(std)
    top = normalized * of_channels(factor) + of_channels(bias)
    if rectify:
        dy, top = dy * (top > 0), np.maximum(top, 0)
    factor_diff, bias_diff = (normalized * dy).sum((0, 2, 3)), dy.sum((0, 2, 3))
    dn = dy * of_channels(factor)
    means = dn.sum((0, 2, 3)) / count, (dn * normalized).sum((0, 2, 3)) / count
    dx = (dn - of_channels(means[0]) - normalized * of_channels(means[1])) / of_channels(std)
    return top, dx, factor_diff, bias_diff


def memory_in(layout, array):
    memory = _core.Memory(layout)
    _core.Memory(array.astype(np.float32), array.shape).copy_to(memory)
    return memory


def array_of(memory, shape):
    array = np.empty(shape, np.float32)
    memory.copy_to(_core.Memory(array, shape))
    return array


@pytest.mark.parametrize("shape", [(5, 3), (64, 100), (4, 3, 7), (2, 3, 4, 2, 3), (6,)], ids=str)
@pytest.mark.usefixtures("isa")
def test_batch_norm_of_other_axes(shape, rng):
    check(BATCH_NORM, [random_input(shape, rng)], rng, None, rtol=RTOL)


@pytest.mark.parametrize("in_place", [False, True], ids=["apart", "in_place"])
@pytest.mark.parametrize("native", [False, True], ids=["plain", "native"])
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.usefixtures("isa")
def test_batch_norm_by_gathered_statistics(channels, native, in_place, rng):
    shape = 2, channels, 5, 6
    layout = native_layout(shape) if native else None
    blobs = [rng.standard_normal(channels), rng.uniform(1, 2, channels), [2.0]]
    blobs = [np.asarray(blob, np.float32) for blob in blobs]
    check(GLOBAL, [random_input(shape, rng)], rng, layout, in_place=in_place, blobs=blobs)


@pytest.mark.parametrize("in_place", [False, True], ids=["apart", "in_place"])
@pytest.mark.parametrize("native", [False, True], ids=["plain", "native"])
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize(("batch", "height", "width"), [(1, 7, 5), (3, 4, 4), (2, 33, 31)])
@pytest.mark.usefixtures("isa")
def test_scale(batch, channels, height, width, native, in_place, rng):
    shape = batch, channels, height, width
    layout = native_layout(shape) if native else None
    blobs = rng.standard_normal((2, channels)).astype(np.float32)
    x = random_input(shape, rng)
    check(SCALE, [x], rng, layout, in_place=in_place, blobs=blobs, rtol=RTOL)


@pytest.mark.parametrize(
    "param", ["axis: 0", "axis: 1 num_axes: 2", "axis: 2", "axis: -1", "num_axes: 0"]
)
def test_scale_of_other_axes_in_a_native_layout(param, rng):
    shape = 4, 16, 5, 6
    text = f"type: 'Scale' scale_param {{ {param} bias_term: true filler {{ value: 2 }} }}"
    layout = native_layout(shape)
    check(text, [random_input(shape, rng)], rng, layout, rtol=RTOL, may_change_layout=True)


def test_scale_by_a_bottom(rng):
    shape = 4, 16, 5, 6
    inputs = [random_input(shape, rng), rng.standard_normal(16)]
    check("type: 'Scale'", inputs, rng, None, rtol=RTOL)


@pytest.mark.parametrize("native", [False, True], ids=["plain", "native"])
@pytest.mark.parametrize("text", [BATCH_NORM, SCALE])
def test_same_bits_for_any_number_of_threads(text, native, rng):
    shape = 32, 20, 33, 31
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
        for ours, theirs in zip(other.blob_diffs, runs[0].blob_diffs, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_mean_far_from_zero(rng):
    """Where float sums of squares would have lost everything."""
    shape = 8, 16, 9, 9
    x = (1e4 + rng.standard_normal(shape)).astype(np.float32)
    got = run(BATCH_NORM, [x], np.zeros(shape, np.float32), native_layout(shape))
    doubles = x.astype(np.float64)
    mean, std = doubles.mean((0, 2, 3)), doubles.std((0, 2, 3))
    expected = (doubles - mean[:, None, None]) / std[:, None, None]
    # The mean in float is off by up to half of 2^-10.
    np.testing.assert_allclose(got.top, expected, rtol=0, atol=6e-4)


def test_equal_elements_have_no_variance():
    x = np.full((4, 16, 6, 6), 0.1, np.float32)
    got = run(BATCH_NORM, [x], np.zeros(x.shape, np.float32), native_layout(x.shape))
    np.testing.assert_array_equal(got.top, np.zeros_like(x))


def test_nan_is_passed_on(rng):
    x = rng.standard_normal((2, 16, 6, 6)).astype(np.float32)
    x[1, 3, 2, 2] = np.nan
    got = run(BATCH_NORM, [x], np.zeros(x.shape, np.float32), native_layout(x.shape))
    assert np.isnan(got.top[:, 3]).all()
    assert np.isfinite(np.delete(got.top, 3, axis=1)).all()


def test_channels_that_fill_a_block_up_stay_zero(rng):
    shape = 2, 28, 5, 5
    layout = native_layout(shape)
    if layout.stored == layout.count:
        pytest.skip("oneDNN does not fill this layout up")
    x, y = _core.Memory(layout), _core.Memory(layout)
    values = (2 + rng.standard_normal(shape)).astype(np.float32)
    _core.Memory(values, shape).copy_to(x)
    statistics = [np.empty(28, np.float32) for _ in range(3)]
    _core.batch_norm_forward(1e-5, None, None, False, x, y, *statistics)
    ones = np.ones(28, np.float32)
    _core.channel_affine(ones, ones, ones, y, y)
    # A sum of squares over all that is stored sees what should be 0.
    out = np.empty(shape, np.float32)
    y.copy_to(_core.Memory(out, shape))
    expected = np.square(out, dtype=np.float64).sum()
    np.testing.assert_allclose(_core.memory_sum_of_squares(y), expected, rtol=1e-12)


def test_refuses():
    x = _core.Memory(_core.Layout((2, 3, 4)))
    other = _core.Memory(_core.Layout((2, 4, 3)))
    three, four = np.ones(3, np.float32), np.ones(4, np.float32)
    with pytest.raises(ValueError, match="y: expected a memory of the other's layout"):
        _core.channel_affine(None, three, None, x, other)
    with pytest.raises(ValueError, match="factor: expected 3 elements, got 4"):
        _core.channel_affine(None, four, None, x, x)
    with pytest.raises(ValueError, match="bias: expected 3 elements, got 4"):
        _core.channel_affine(None, three, four, x, x)
    with pytest.raises(TypeError):
        _core.channel_affine(None, np.ones(3), None, x, x)
    with pytest.raises(ValueError, match="mean: expected 3 elements, got 4"):
        _core.batch_norm_forward(0, None, None, False, x, x, four, three, three)
    with pytest.raises(ValueError, match="factor: expected 3 elements, got 4"):
        _core.batch_norm_forward(0, four, None, False, x, x, three, three, three)
    with pytest.raises(ValueError, match="inverse_std: expected 3 elements, got 4"):
        _core.batch_norm_backward(three, four, None, None, False, x, x, None, None, x)
    with pytest.raises(ValueError, match="bias_diff: expected 3 elements, got 4"):
        _core.batch_norm_backward(three, three, None, None, False, x, x, None, four, x)
    with pytest.raises(ValueError, match="x: expected a memory for factor_diff"):
        _core.channel_scale_backward(three, None, x, three, None, None)
    with pytest.raises(ValueError, match="bias_diff: expected 3 elements, got 4"):
        _core.channel_scale_backward(three, x, x, three, four, None)
    flat = _core.Memory(_core.Layout((6,)))
    with pytest.raises(ValueError, match="expected a layout by channels, with elements"):
        _core.channel_affine(None, three, None, flat, flat)
