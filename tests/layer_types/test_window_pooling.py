"""Pooling by windows: any number of axes, sides, masks and STOCHASTIC, against plain loops."""

import itertools

import numpy as np
import pytest

from sscaffe.blob import Blob
from sscaffe.errors import PrototxtError, ShapeError
from sscaffe.layer import TEST, TRAIN
from sscaffe.random_numbers import RandomNumbers
from sscaffe.testing import check_gradient
from tests.helpers import blob_of, make_layer, run_layer, spread_out


def pooling(method, text, **options):
    return make_layer(f"type: 'Pooling' pooling_param {{ pool: {method} {text} }}", **options)


def windows(shape, kernel, stride, before, after, output):
    """Yield each output place, its slice of the image, and its size with the padding."""
    for place in itertools.product(*map(range, output)):
        axes = zip(place, shape, kernel, stride, before, after, strict=True)
        spans = [(i * s - b, min(i * s - b + k, n + a), n) for i, n, k, s, b, a in axes]
        part = tuple(slice(max(start, 0), min(stop, n)) for start, stop, n in spans)
        yield place, part, np.prod([stop - start for start, stop, _ in spans])


# Text, shape, kernel, stride, padding before and after, size of the top.
CASES = {
    "1-D": ("kernel_size: 3 stride: 2", (7,), (3,), (2,), (0,), (0,), (3,)),
    "1-D pad": ("kernel_size: 3 stride: 2 pad: 1", (6,), (3,), (2,), (1,), (1,), (4,)),
    "3-D": (
        "kernel_size: 2 stride: 2",
        (4, 3, 5),
        (2,) * 3,
        (2,) * 3,
        (0,) * 3,
        (0,) * 3,
        (2, 2, 3),
    ),
    "3-D global": (
        "global_pooling: true",
        (2, 3, 4),
        (2, 3, 4),
        (1,) * 3,
        (0,) * 3,
        (0,) * 3,
        (1,) * 3,
    ),
    "right and below": (
        "kernel_size: 3 stride: 2 pad_r: 1 pad_b: 2",
        (5, 6),
        (3, 3),
        (2, 2),
        (0, 0),
        (2, 1),
        (3, 3),
    ),
    "left and above": (
        "kernel_size: 2 pad_l: 1 pad_t: 1 stride: 2 round_mode: FLOOR",
        (5, 4),
        (2, 2),
        (2, 2),
        (1, 1),
        (0, 0),
        (3, 2),
    ),
}


@pytest.mark.parametrize("method", ["MAX", "AVE"])
@pytest.mark.parametrize("case", CASES)
def test_matches_a_plain_loop(case, method, rng):
    text, shape, *sizes, output = CASES[case]
    x = rng.standard_normal((2, 3, *shape))
    expected = np.empty((2, 3, *output))
    for place, part, size in windows(shape, *sizes, output):
        window = x[(..., *part)].reshape(2, 3, -1)
        value = window.max(axis=2) if method == "MAX" else window.sum(axis=2) / size
        expected[(..., *place)] = value
    np.testing.assert_allclose(run_layer(pooling(method, text), x), expected, rtol=1e-12)


@pytest.mark.parametrize("method", ["MAX", "AVE"])
@pytest.mark.parametrize("case", CASES)
def test_gradient(case, method, rng):
    text, shape, *_ = CASES[case]
    check_gradient(pooling(method, text), [spread_out((2, 2, *shape), rng)])


def test_the_same_pad_on_all_sides_is_pad(rng):
    x = rng.standard_normal((2, 3, 5, 6)).astype(np.float32)
    for method in ("MAX", "AVE"):
        one, four = (
            run_layer(pooling(method, f"kernel_size: 3 stride: 2 {pad}", dtype=np.float32), x)
            for pad in ("pad: 1", "pad_l: 1 pad_r: 1 pad_t: 1 pad_b: 1")
        )
        np.testing.assert_array_equal(one, four)


def test_a_mean_without_the_padding(rng):
    x = rng.standard_normal((1, 2, 4, 5))
    text = "kernel_size: 3 stride: 2 pad: 1 avg_include_pad: false"
    got = run_layer(pooling("AVE", text), x)
    for (i, j), part, _ in windows((4, 5), (3, 3), (2, 2), (1, 1), (1, 1), got.shape[2:]):
        np.testing.assert_allclose(got[..., i, j], x[(..., *part)].mean(axis=(2, 3)), rtol=1e-12)
    check_gradient(pooling("AVE", text), [x])


@pytest.mark.parametrize("pad", ["", "pad: 1"])
def test_a_second_top_says_where_the_maximum_is(pad, rng):
    x = spread_out((2, 3, 5, 6), rng)
    text = f"kernel_size: 3 stride: 2 {pad}"
    top, mask = run_layer(pooling("MAX", text), x, tops=2)
    np.testing.assert_array_equal(top, run_layer(pooling("MAX", text), x))
    flat = x.reshape(2, 3, -1)
    places = mask.reshape(2, 3, -1).astype(int)
    np.testing.assert_array_equal(np.take_along_axis(flat, places, 2).reshape(top.shape), top)


def test_the_first_of_equal_elements_is_the_maximum():
    _, mask = run_layer(pooling("MAX", "kernel_size: 2 stride: 2"), np.ones((1, 1, 4, 4)), tops=2)
    np.testing.assert_array_equal(mask[0, 0], [[0, 2], [8, 10]])


def test_gradient_with_a_mask(rng):
    # The mask is a whole number; a step that changes none does not change it.
    layer = pooling("MAX", "kernel_size: 2 stride: 2")
    check_gradient(layer, [spread_out((2, 2, 4, 4), rng)], num_top=2)


def test_stochastic_pooling_in_test_is_the_mean_weighted_by_the_values():
    x = np.array([[[[1.0, 3, 0, 0], [0, 4, 0, 0]]]])
    got = run_layer(pooling("STOCHASTIC", "kernel_size: 2 stride: 2"), x)
    np.testing.assert_allclose(got, [[[[(1 + 9 + 16) / 8, 0]]]])


def test_gradient_of_the_weighted_mean(rng):
    layer = pooling("STOCHASTIC", "kernel_size: 3 stride: 2")
    check_gradient(layer, [rng.uniform(0.5, 1.5, (2, 2, 6, 5))])


def test_stochastic_pooling_takes_what_its_random_number_falls_on():
    x = np.array([[[[1.0, 2], [3, 2]]]])
    running = np.cumsum([1, 2, 3, 2]) / 8
    draws = RandomNumbers(7).uniform(0, 1, 50)
    layer = pooling("STOCHASTIC", "kernel_size: 2", phase=TRAIN, rng=RandomNumbers(7))
    bottom, top = [blob_of(x)], [Blob((), np.float64)]
    layer.setup(bottom, top)
    layer.reshape(bottom, top)
    for draw in draws:
        layer.forward(bottom, top)
        chosen = np.searchsorted(running, draw)
        assert top[0].host_data.item() == x.ravel()[chosen]
        top[0].set_diff(5)
        layer.backward(top, [True], bottom)
        expected = np.zeros(4)
        expected[chosen] = 5
        np.testing.assert_array_equal(bottom[0].host_diff.ravel(), expected)


def test_stochastic_pooling_takes_each_value_in_proportion(rng):
    x = rng.uniform(0, 1, (1, 1, 2, 3))
    big = np.tile(x, (4000, 5, 1, 1))
    layer = pooling("STOCHASTIC", "kernel_h: 2 kernel_w: 3", phase=TRAIN, rng=RandomNumbers(3))
    taken = run_layer(layer, big).ravel()
    for value in x.ravel():
        share = value / x.sum()
        error = np.sqrt(share * (1 - share) / taken.size)
        assert abs((taken == value).mean() - share) < 5 * error


def test_stochastic_pooling_of_partial_windows_stays_in_the_image(rng):
    x = np.zeros((1, 1, 3, 3))
    x[..., 2, 2] = 0  # a last window of one zero
    layer = pooling("STOCHASTIC", "kernel_size: 2 stride: 2", phase=TRAIN)
    bottom, top = [blob_of(x)], [Blob((), np.float64)]
    layer.setup(bottom, top)
    layer.reshape(bottom, top)
    layer.forward(bottom, top)
    top[0].set_diff(1)
    layer.backward(top, [True], bottom)
    assert bottom[0].host_diff.sum() == 4


@pytest.mark.parametrize(
    ("method", "text", "shape", "error", "message"),
    [
        (
            "AVE",
            "kernel_size: 2",
            (1, 1, 4, 4),
            PrototxtError,
            "top: expected 1 for pool: AVE, got 2",
        ),
        (
            "STOCHASTIC",
            "kernel_size: 2 pad: 1",
            (1, 1, 4, 4),
            ShapeError,
            "pad: expected 0 for pool",
        ),
        ("MAX", "kernel_size: 2 pad: 1 pad_l: 1", (1, 1, 4, 4), ShapeError, "pad_l: pad is set as"),
        (
            "MAX",
            "kernel_size: 2 pad_h: 1 pad_b: 1",
            (1, 1, 4, 4),
            ShapeError,
            "pad_b: pad_h is set",
        ),
        ("MAX", "kernel_size: 2 pad_r: 2", (1, 1, 4, 4), ShapeError, "pad: expected less than"),
        (
            "MAX",
            "kernel_h: 2 kernel_w: 3",
            (1, 1, 4),
            ShapeError,
            "kernel_h: expected 2 spatial axes",
        ),
        ("MAX", "kernel_size: 2 pad_l: 1", (1, 1, 4), ShapeError, "pad_h: expected 2 spatial axes"),
        ("MAX", "global_pooling: true pad_l: 1", (1, 1, 4, 4), ShapeError, "pad 0, got stride"),
    ],
)
def test_refuses(method, text, shape, error, message):
    with pytest.raises(error, match=message):
        run_layer(pooling(method, text, phase=TEST), np.zeros(shape), tops=1 + (method == "AVE"))
