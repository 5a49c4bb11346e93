"""ArgMax: places and values by hand, and against a plain loop."""

import numpy as np
import pytest

from sscaffe.errors import ShapeError, UnsupportedError
from tests.helpers import make_layer, run_layer, spread_out

X = [[5.0, 9.0, 1.0], [4.0, 2.0, 8.0]]


def argmax(text="", dtype=np.float64):
    return make_layer(f"type: 'ArgMax' argmax_param {{ {text} }}", dtype=dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [[[1]], [[2]]]),
        ("top_k: 2", [[[1, 0]], [[2, 0]]]),
        ("out_max_val: true", [[[1], [9]], [[2], [8]]]),
        ("out_max_val: true top_k: 2", [[[1, 0], [9, 5]], [[2, 0], [8, 4]]]),
        ("axis: 1", [[1], [2]]),
        ("axis: 0", [[0, 0, 1]]),
        ("axis: -1 top_k: 3", [[1, 0, 2], [2, 0, 1]]),
        ("axis: 1 top_k: 2 out_max_val: true", [[9, 5], [8, 4]]),
    ],
)
def test_by_hand(text, expected, dtype):
    y = run_layer(argmax(text, dtype), X)
    np.testing.assert_array_equal(y, np.asarray(expected), strict=False)
    assert y.shape == np.shape(expected)


@pytest.mark.parametrize("top_k", [1, 2])
@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_matches_a_plain_loop(axis, top_k, rng):
    x = spread_out((3, 4, 2), rng)
    places = np.argsort(-x, axis=axis).take(range(top_k), axis)
    text = f"axis: {axis} top_k: {top_k}"
    np.testing.assert_array_equal(run_layer(argmax(text), x), places)
    values = run_layer(argmax(f"{text} out_max_val: true"), x)
    np.testing.assert_array_equal(values, np.take_along_axis(x, places, axis))


@pytest.mark.parametrize(
    ("shape", "top_shape"),
    [((3,), (3, 1, 1)), ((2, 6), (2, 1, 1)), ((2, 3, 2, 1, 1), (2, 1, 1, 1, 1))],
)
def test_all_axes_but_the_first_are_seen_as_one(shape, top_shape, rng):
    x = spread_out(shape, rng)
    y = run_layer(argmax(), x)
    assert y.shape == top_shape
    np.testing.assert_array_equal(y.reshape(-1), x.reshape(shape[0], -1).argmax(axis=1))


def test_of_equal_values_the_larger_index_comes_first():
    for text in ("", "axis: 1"):
        x = [[3.0, 7.0, 7.0, 3.0]]
        assert run_layer(argmax(text), x).item() == 2
        y = run_layer(argmax(f"top_k: 4 {text}"), x)
        np.testing.assert_array_equal(y.reshape(-1), [2, 1, 3, 0])


def test_rejects():
    with pytest.raises(ShapeError, match=r"top_k: expected 1 to 3 for \(2, 3\), got 4"):
        run_layer(argmax("top_k: 4"), X)
    with pytest.raises(ShapeError, match=r"top_k: expected 1 to 2 for \(2, 3\), got 0"):
        run_layer(argmax("top_k: 0 axis: 0"), X)
    with pytest.raises(ShapeError, match="axis: expected -2 to 1 for 2 axes, got 2"):
        run_layer(argmax("axis: 2"), X)
    with pytest.raises(ShapeError, match="a bottom with an axis, got a single number"):
        run_layer(argmax(), 1.0)


def test_has_no_gradient():
    assert not argmax().allow_force_backward(0)
    argmax().backward([], [False], [])
    with pytest.raises(UnsupportedError, match="ArgMax has no gradient; set propagate_down: false"):
        argmax().backward([], [True], [])
