"""Reduction: values by hand, gradients by finite differences."""

import numpy as np
import pytest

from sscaffe.errors import ShapeError
from sscaffe.testing import check_gradient
from tests.helpers import away_from_zero, make_layer, run_layer

X = [[1.0, -2.0, 3.0], [-4.0, 5.0, 6.0]]
OPERATIONS = {
    "SUM": np.sum,
    "ASUM": lambda x, axis: np.abs(x).sum(axis),
    "SUMSQ": lambda x, axis: (x**2).sum(axis),
    "MEAN": np.mean,
}


def reduction(text="", dtype=np.float64):
    return make_layer(f"type: 'Reduction' reduction_param {{ {text} }}", dtype=dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 9),
        ("operation: ASUM", 21),
        ("operation: SUMSQ", 91),
        ("operation: MEAN", 1.5),
        ("coeff: -2", -18),
        ("axis: 1", [2, 7]),
        ("axis: -1 operation: SUMSQ coeff: 0.5", [7, 38.5]),
        ("axis: 1 operation: MEAN coeff: 3", [2, 7]),
    ],
)
def test_by_hand(text, expected, dtype):
    y = run_layer(reduction(text, dtype), X)
    assert y.shape == np.shape(expected)
    np.testing.assert_allclose(y, expected, rtol=1e-6)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2])
def test_value_and_gradient(axis, operation, rng):
    x = away_from_zero((2, 3, 4), rng)
    text = f"operation: {operation} axis: {axis} coeff: 1.5"
    y = run_layer(reduction(text), x)
    expected = 1.5 * OPERATIONS[operation](x, tuple(range(axis % 3, 3)))
    assert y.shape == x.shape[: axis % 3]
    np.testing.assert_allclose(y, expected)
    check_gradient(reduction(text), [x])


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_single_number(operation):
    assert run_layer(reduction(f"operation: {operation}"), 1.0) == 1
    check_gradient(reduction(f"operation: {operation}"), [np.array(3.0)])


def test_rejects_an_axis_that_is_not_there():
    with pytest.raises(ShapeError, match="axis: expected -2 to 1 for 2 axes, got 2"):
        run_layer(reduction("axis: 2"), X)
