"""Fillers: values from the definitions, Caffe's draws, statistics where draws differ."""

import numpy as np
import pytest

from sscaffe import filler
from sscaffe.blob import Blob
from sscaffe.errors import ShapeError, UnsupportedError
from sscaffe.proto import caffe_pb2, text_format
from sscaffe.random_numbers import RandomNumbers

# The first numbers of a Mersenne twister of seed 5489, as its authors publish them.
RAW = [3499211612, 581869302, 3890346734, 3586334585]


def filled(text, shape, seed=5489, dtype=np.float32):
    """Return a blob's data after a filler, and the place in the stream behind it."""
    blob, rng = Blob(shape, dtype), RandomNumbers(seed)
    blob.set_data(-99)
    filler.fill(blob, text_format.Parse(text, caffe_pb2.FillerParameter()), rng)
    return blob.const_data.copy(), rng


def test_default_is_constant_zero():
    np.testing.assert_array_equal(filled("", (2, 3))[0], np.zeros((2, 3)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_constant(dtype):
    values, rng = filled("value: 0.25", (2, 3), dtype=dtype)
    np.testing.assert_array_equal(values, np.full((2, 3), 0.25))
    assert rng.raw(1) == RAW[0]


def test_uniform_is_a_draw_over_the_largest_draw():
    values, _ = filled("type: 'uniform' min: 0 max: 2", (4,))
    span = np.nextafter(np.float32(2), np.float32(3))
    expected = np.float32(RAW) / np.float32(4294967295) * span
    np.testing.assert_array_equal(values, expected)
    np.testing.assert_allclose(values[0], 2 * 0.814723686, rtol=1e-6)


@pytest.mark.parametrize("name", ["uniform", "xavier", "positive_unitball"])
def test_draws_one_number_for_each_element(name):
    _, rng = filled(f"type: '{name}'", (1, 3))
    assert rng.raw(1) == RAW[3]


@pytest.mark.parametrize(
    ("norm", "count"), [("FAN_IN", 4 * 25), ("FAN_OUT", 8 * 25), ("AVERAGE", 6 * 25)]
)
class TestVarianceNorm:
    def test_xavier_is_uniform_up_to_the_root_of_3_over_n(self, norm, count):
        values, _ = filled(f"type: 'xavier' variance_norm: {norm}", (8, 4, 5, 5))
        limit = np.sqrt(np.float32(3) / np.float32(count))
        span = np.nextafter(limit, np.float32(1)) + limit
        first = np.float32(RAW[0]) / np.float32(4294967295) * span - limit
        assert values.flat[0] == first
        assert abs(values).max() <= limit

    def test_msra_has_variance_2_over_n(self, norm, count):
        values, _ = filled(f"type: 'msra' variance_norm: {norm}", (8, 4, 5, 5))
        # 800 draws: the standard deviation is known to 2.5 %, three times that is allowed.
        np.testing.assert_allclose(values.std(), np.sqrt(2 / count), rtol=0.08)


@pytest.mark.parametrize("norm", ["FAN_IN", "FAN_OUT", "AVERAGE"])
@pytest.mark.parametrize("shape", [(), (5,), (5, 4), (2, 3, 4, 5, 6)], ids=str)
def test_fans_fit_any_number_of_axes(shape, norm):
    count = int(np.prod(shape))
    fan_in = count // (shape[0] if shape else 1)
    fan_out = count // shape[1] if len(shape) > 1 else count
    n = {"FAN_IN": fan_in, "FAN_OUT": fan_out, "AVERAGE": (fan_in + fan_out) / 2}[norm]
    values, _ = filled(f"type: 'xavier' variance_norm: {norm}", shape)
    limit = np.sqrt(3 / n)
    np.testing.assert_allclose(values.flat[0], (2 * 0.814723686 - 1) * limit, rtol=1e-6)


def test_gaussian_has_mean_and_std():
    values, _ = filled("type: 'gaussian' mean: 0.5 std: 2", (100, 100))
    np.testing.assert_allclose(values.mean(), 0.5, atol=0.08)
    np.testing.assert_allclose(values.std(), 2, rtol=0.03)


def test_sparse_gaussian_keeps_so_many_outputs_of_each_input():
    values, _ = filled("type: 'gaussian' sparse: 5", (20, 1000))
    np.testing.assert_allclose((values != 0).sum(axis=0).mean(), 5, atol=0.2)
    np.testing.assert_allclose(values[values != 0].std(), 1, rtol=0.05)


def test_sparse_0_leaves_nothing():
    assert not filled("type: 'gaussian' sparse: 0", (20, 10))[0].any()


def test_positive_unitball_sums_to_1_for_each_output():
    values, _ = filled("type: 'positive_unitball'", (2, 2))
    rows = np.array(RAW, dtype=np.float64).reshape(2, 2)
    np.testing.assert_allclose(values, rows / rows.sum(axis=1, keepdims=True), rtol=1e-6)


@pytest.mark.parametrize(
    ("size", "line"),
    [
        (1, [1]),
        (2, [0.5, 0.5]),
        (3, [0.5, 1, 0.5]),
        (4, [0.25, 0.75, 0.75, 0.25]),
        (5, [1 / 3, 2 / 3, 1, 2 / 3, 1 / 3]),
    ],
)
def test_bilinear_is_a_tent(size, line):
    values, _ = filled("type: 'bilinear'", (2, 3, size, size))
    # Size 1 has factor 1 and centre 0, size 2 factor 1 and centre 1/2, and so on.
    expected = np.broadcast_to(np.outer(line, line), values.shape)
    np.testing.assert_allclose(values, expected, rtol=1e-6)


@pytest.mark.parametrize("name", sorted(filler.FILLERS))
@pytest.mark.parametrize("text", ["", "sparse: 2"])
def test_drawing_part_by_part_changes_nothing(name, text, monkeypatch):
    if text and name != "gaussian":
        text = "value: 3 min: -1 max: 2 mean: 5 std: 0.5"
    text, shape = f"type: '{name}' {text}", (5, 3, 4, 4)
    whole, rng = filled(text, shape)
    monkeypatch.setattr(filler, "PART", 7)
    parts, other = filled(text, shape)
    np.testing.assert_array_equal(parts, whole)
    assert rng.get_state() == other.get_state()


def test_zeros_need_no_memory_before_they_are_read():
    blob = Blob((2, 3))
    blob.set_data(-99)
    filler.fill(blob, caffe_pb2.FillerParameter(), RandomNumbers(1))
    assert blob.data_tensor.is_zero
    np.testing.assert_array_equal(blob.const_data, np.zeros((2, 3)))


@pytest.mark.parametrize("name", sorted(filler.FILLERS))
def test_a_blob_without_elements_stays_empty(name):
    blob = Blob((0, 3, 2, 2))
    filler.fill(blob, caffe_pb2.FillerParameter(type=name), RandomNumbers(1))
    assert blob.count == 0


def test_names_the_known_fillers():
    known = "bilinear, constant, gaussian, msra, positive_unitball, uniform, xavier, got 'glorot'"
    with pytest.raises(UnsupportedError, match=f"filler type: expected one of {known}"):
        filled("type: 'glorot'", (2, 3))


@pytest.mark.parametrize(
    ("text", "shape", "message"),
    [
        ("type: 'uniform' min: 2 max: 1", (3,), r"min: expected at most max, got 2.0 and 1.0"),
        ("type: 'xavier' sparse: 3", (3,), r"sparse: only the gaussian filler .* not xavier"),
        (
            "type: 'gaussian' sparse: 4",
            (3, 2),
            r"sparse: expected at most the 3 outputs of \(3, 2\), got 4",
        ),
        ("type: 'bilinear'", (3, 4), r"bilinear: expected .* \(N, C, K, K\), got \(3, 4\)"),
        ("type: 'bilinear'", (1, 1, 3, 4), r"bilinear: .* got \(1, 1, 3, 4\)"),
    ],
)
def test_rejects_what_it_cannot_fill(text, shape, message):
    with pytest.raises(ShapeError, match=message):
        filled(text, shape)
