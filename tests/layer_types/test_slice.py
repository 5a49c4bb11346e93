"""Slice: against numpy.split, gradients by finite differences."""

import numpy as np
import pytest

from sscaffe.errors import ShapeError
from sscaffe.testing import check_gradient
from tests.helpers import make_layer, run_layer


def slice_layer(text="", dtype=np.float64):
    return make_layer(f"type: 'Slice' slice_param {{ {text} }}", dtype=dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cuts_at_the_points(dtype):
    x = [[1.0, 2.0, 3.0, 4.0]]
    layer = slice_layer("slice_point: 1 slice_point: 3", dtype)
    one, two, three = run_layer(layer, x, tops=3)
    np.testing.assert_array_equal(one, [[1]])
    np.testing.assert_array_equal(two, [[2, 3]])
    np.testing.assert_array_equal(three, [[4]])


@pytest.mark.parametrize("field", ["axis", "slice_dim"])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize(("points", "tops"), [((), 1), ((), 2), ((), 4), ((1,), 2), ((1, 3), 3)])
def test_value_and_gradient(points, tops, axis, field, rng):
    x = rng.standard_normal((4, 4, 4))
    text = f"{field}: {axis} " + " ".join(f"slice_point: {point}" for point in points)
    got = run_layer(slice_layer(text), x, tops=tops)
    wanted = np.split(x, points or tops, axis)
    for y, expected in zip([got] if tops == 1 else got, wanted, strict=True):
        np.testing.assert_array_equal(y, expected)
    check_gradient(slice_layer(text), [x], num_top=tops)


def test_the_axis_is_1_by_default_and_may_be_negative(rng):
    x = rng.standard_normal((4, 2, 6))
    assert [y.shape for y in run_layer(slice_layer(), x, tops=2)] == [(4, 1, 6)] * 2
    assert [y.shape for y in run_layer(slice_layer("axis: -1"), x, tops=2)] == [(4, 2, 3)] * 2


@pytest.mark.parametrize(
    ("text", "tops", "message"),
    [
        ("axis: 1 slice_dim: 1", 2, "slice_dim: expected either axis or slice_dim, got both"),
        ("slice_point: 1", 3, "slice_point: expected 2 for 3 tops, got 1"),
        ("slice_point: 1", 1, "slice_point: expected 0 for 1 tops, got 1"),
        ("", 3, r"slice_point: 4 of \(2, 4\) at axis 1 does not divide by 3 tops"),
        ("slice_point: 0", 2, r"slice_point: expected rising numbers between 0 and 4, got \[0\]"),
        ("slice_point: 4", 2, r"slice_point: expected rising numbers between 0 and 4, got \[4\]"),
        ("slice_point: 2 slice_point: 1", 3, r"expected rising numbers .*, got \[2, 1\]"),
        ("axis: 2", 2, "axis: expected -2 to 1 for 2 axes, got 2"),
        ("slice_dim: 3", 2, "slice_dim: expected -2 to 1 for 2 axes, got 3"),
    ],
)
def test_rejects(text, tops, message):
    with pytest.raises(ShapeError, match=message):
        run_layer(slice_layer(text), np.zeros((2, 4)), tops=tops)
