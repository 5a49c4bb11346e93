"""BatchNorm on a GPU, against the same layer in float64 on the CPU."""

import numpy as np
import pytest

from sscaffe.layer import TEST
from tests.gpu.by_layer import check, part_of_a_gpu, run
from tests.helpers import make_layer

pytestmark = pytest.mark.gpu

TEXT = "type: 'BatchNorm'"
GLOBAL = "type: 'BatchNorm' batch_norm_param { use_global_stats: true }"
# Rows read by four elements and by one, channels in one chunk and in several, no places at all.
SHAPES = [
    (6,),
    (5, 3),
    (64, 10),
    (2, 3, 4),
    (3, 2, 7, 5),
    (2, 4, 33, 31),
    (9, 3, 32, 32),
    (1, 1, 1),
]


@pytest.fixture(params=[np.float32, np.float64])
def dtype(request):
    return request.param


def inputs_of(shape, rng):
    return 3 + 2 * rng.standard_normal(shape), rng.standard_normal(shape)


@pytest.mark.parametrize("in_place", [False, True], ids=["apart", "in_place"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_by_the_batch(shape, in_place, dtype, rng):
    x, top_diff = inputs_of(shape, rng)
    text = f"{TEXT} batch_norm_param {{ moving_average_fraction: 0.75 }}"
    check(text, [x], top_diff, dtype, in_place=in_place)


@pytest.mark.parametrize("weight", [0, 2.5])
@pytest.mark.parametrize("in_place", [False, True], ids=["apart", "in_place"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_by_gathered_statistics(shape, in_place, weight, dtype, rng):
    x, top_diff = inputs_of(shape, rng)
    channels = shape[1] if len(shape) > 1 else 1
    blobs = [rng.standard_normal(channels), rng.uniform(1, 2, channels), [weight]]
    blobs = [np.asarray(blob, np.float32) for blob in blobs]
    # Without a weight all is divided by the root of eps, 1e-5.
    rtol = 1e-4 if weight == 0 and dtype == np.float32 else None
    check(GLOBAL, [x], top_diff, dtype, in_place=in_place, blobs=blobs, rtol=rtol)


def test_many_chunks_of_a_channel(dtype, rng):
    """More than a block has threads, where each of them adds parts up."""
    x, top_diff = inputs_of((1, 1, 300, 3000), rng)
    check(TEXT, [x], top_diff, dtype, rtol=3e-5 if dtype == np.float32 else None)


@pytest.mark.parametrize("outlier", [False, True])
def test_mean_far_from_zero(outlier, rng):
    """Where float sums of squares would lose everything, wherever a channel begins."""
    shape = 4, 3, 20, 20
    x = (1e4 + rng.standard_normal(shape)).astype(np.float32)
    if outlier:
        x[0, :, 0, 0] = 0
    got = run(part_of_a_gpu(), TEXT, [x], np.zeros(shape), np.float32).tops[0]
    doubles = x.astype(np.float64)
    mean, std = doubles.mean((0, 2, 3)), doubles.std((0, 2, 3))
    expected = (doubles - mean[:, None, None]) / std[:, None, None]
    # The mean in float is off by up to half of 2^-10.
    np.testing.assert_allclose(got, expected, rtol=2e-6, atol=6e-4 / std.min())


def test_equal_elements_have_no_variance():
    x = np.full((4, 6, 6, 6), 0.1, np.float32)
    got = run(part_of_a_gpu(), TEXT, [x], np.zeros(x.shape), np.float32)
    np.testing.assert_array_equal(got.tops[0], np.zeros_like(x))


def test_nan_is_passed_on(rng):
    x = rng.standard_normal((2, 5, 6, 6)).astype(np.float32)
    x[1, 3, 2, 2] = np.nan
    got = run(part_of_a_gpu(), TEXT, [x], np.zeros(x.shape), np.float32).tops[0]
    assert np.isnan(got[:, 3]).all()
    assert np.isfinite(np.delete(got, 3, axis=1)).all()


def test_same_bits_every_time(rng):
    x, top_diff = inputs_of((7, 3, 40, 40), rng)
    x, top_diff = x.astype(np.float32), top_diff.astype(np.float32)
    first, second = (run(part_of_a_gpu(), TEXT, [x], top_diff, np.float32) for _ in range(2))
    np.testing.assert_array_equal(first.tops[0], second.tops[0])
    np.testing.assert_array_equal(first.bottom_diffs[0], second.bottom_diffs[0])


def test_the_phase_test_uses_the_sums(rng):
    x, top_diff = inputs_of((3, 2, 4), rng)
    blobs = [np.array([1.0, 2.0]), np.array([4.0, 9.0]), np.array([1.0])]
    check(TEXT, [x], top_diff, np.float32, phase=TEST, blobs=blobs)


@pytest.mark.parametrize("text", [TEXT, GLOBAL])
def test_factor_and_summand_of_each_channel(text, rng):
    layers = []
    for device in (None, part_of_a_gpu()):
        layer = make_layer(text, device, dtype=np.float32)
        for values in ([1, 2, 3], [4, 5, 6], [2]):
            layer.add_param((len(values),)).set_data(np.array(values, np.float32))
        layer.fraction, layer.eps, layer.per_channel = np.float32(1), np.float32(1e-5), 2
        layers.append(layer.channel_affine())
    for ours, theirs in zip(*layers, strict=True):
        np.testing.assert_allclose(theirs.get(), ours, rtol=1e-6)
