"""Sparsify: values by hand, gradients by finite differences."""

import logging

import numpy as np
import pytest

from sscaffe.errors import PrototxtError
from sscaffe.testing import check_gradient
from tests.helpers import make_layer, run_backward, run_layer


def sparsify(text="", more=""):
    return make_layer(f"name: 's' type: 'Sparsify' sparsify_param {{ {text} }} {more}")


X = np.array([[-2.0, -0.5, 0.25, 0.0, 0.5, 3.0]])


def test_values():
    np.testing.assert_array_equal(run_layer(sparsify("thre: 0.5"), X), [[-1.5, 0, 0, 0, 0, 2.5]])
    np.testing.assert_array_equal(run_layer(sparsify(), X), X)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # The gradient of the penalty is its weight, in the direction of the sign.
        ("coef: 0.5", [[0.5, 0.5, 1.5, 1, 1.5, 1.5]]),
        ("coef: 0.5 thre: 0.5", [[0.5, 0, 0, 0, 0, 1.5]]),
        ("thre: 0.5", [[1, 0, 0, 0, 0, 1]]),
    ],
)
def test_the_penalty_is_in_the_gradient(text, expected):
    run = run_backward(sparsify(text), X, np.ones_like(X))
    np.testing.assert_array_equal(run.bottom_diff, expected)


@pytest.mark.parametrize("thre", [0, 0.5])
@pytest.mark.parametrize("shape", [(4,), (2, 3, 4, 5)], ids=str)
def test_gradient(shape, thre, rng):
    check_gradient(sparsify(f"thre: {thre}"), [rng.choice([-2, -0.8, -0.3, 0.1, 0.7, 3], shape)])


@pytest.mark.parametrize("thre", [0, 0.5])
def test_in_place_matches_out_of_place(thre, rng):
    text, (x, top_diff) = f"thre: {thre} coef: 0.1", rng.standard_normal((2, 3, 4))
    separate = run_backward(sparsify(text), x, top_diff)
    shared = run_backward(sparsify(text), x, top_diff, in_place=True)
    np.testing.assert_array_equal(shared.top_data, separate.top_data)
    np.testing.assert_array_equal(shared.bottom_diff, separate.bottom_diff)


def test_what_becomes_zero_is_logged_where_it_is_asked_for(caplog):
    caplog.set_level(logging.INFO, "sscaffe")
    run_layer(sparsify("thre: 0.5"), X)
    assert not caplog.records
    run_layer(sparsify("thre: 0.5", "display: true"), X)
    assert caplog.messages == ["Sparsity of output of layer s = 0.666667"]


@pytest.mark.parametrize("name", ["thre", "coef"])
def test_negative_settings_are_refused(name):
    with pytest.raises(PrototxtError, match=f"{name}: expected 0 or more, got -1"):
        run_layer(sparsify(f"{name}: -1"), X)
