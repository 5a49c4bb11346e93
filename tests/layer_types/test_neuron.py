"""Functions of each element: values by hand, derivatives by finite differences."""

import numpy as np
import pytest

from sscaffe.blob import Blob
from sscaffe.errors import ShapeError, UnsupportedError
from sscaffe.testing import check_gradient
from tests.helpers import blob_of, layer_param, make_layer, run_backward, run_layer

E = np.e
X = np.array([[-2.0, -0.5, 0.0, 1.0, 3.0]])
VALUES = [
    ("AbsVal", "", [2, 0.5, 0, 1, 3]),
    ("BNLL", "", np.log(1 + np.exp(X[0]))),
    ("Clip", "clip_param { min: -1 max: 1.5 }", [-1, -0.5, 0, 1, 1.5]),
    ("ELU", "", [E**-2 - 1, E**-0.5 - 1, 0, 1, 3]),
    ("ELU", "elu_param { alpha: 2 }", [2 * (E**-2 - 1), 2 * (E**-0.5 - 1), 0, 1, 3]),
    ("Exp", "", np.exp(X[0])),
    ("Exp", "exp_param { base: 2 }", [0.25, 2**-0.5, 1, 2, 8]),
    ("Exp", "exp_param { base: 2 scale: 2 shift: 1 }", [0.125, 1, 2, 8, 128]),
    ("Exp", "exp_param { scale: 0.5 shift: -1 }", np.exp(0.5 * X[0] - 1)),
    ("Log", "log_param { shift: 3 }", np.log([1, 2.5, 3, 4, 6])),
    ("Log", "log_param { base: 2 scale: 2 shift: 10 }", np.log2([6, 9, 10, 12, 16])),
    ("Power", "", X[0]),
    ("Power", "power_param { power: 2 }", [4, 0.25, 0, 1, 9]),
    ("Power", "power_param { power: 3 scale: 2 shift: 1 }", [-27, 0, 1, 27, 343]),
    ("Power", "power_param { power: 0.5 shift: 6 }", [2, 5.5**0.5, 6**0.5, 7**0.5, 3]),
    ("Power", "power_param { power: -1 shift: 4 }", [1 / 2, 1 / 3.5, 1 / 4, 1 / 5, 1 / 7]),
    ("Power", "power_param { power: 0 }", [1, 1, 1, 1, 1]),
    ("Power", "power_param { power: 2 scale: 0 shift: 3 }", [9, 9, 9, 9, 9]),
    ("Power", "power_param { scale: 2 shift: 1 }", [-3, 0, 1, 3, 7]),
    ("ReLU6", "", [0, 0, 0, 1, 3]),
    ("Sigmoid", "", 1 / (1 + np.exp(-X[0]))),
    ("Swish", "", X[0] / (1 + np.exp(-X[0]))),
    ("Swish", "swish_param { beta: 2 }", X[0] / (1 + np.exp(-2 * X[0]))),
    ("TanH", "", np.tanh(X[0])),
    ("Threshold", "", [0, 0, 0, 1, 1]),
    ("Threshold", "threshold_param { threshold: -0.5 }", [0, 0, 1, 1, 1]),
]
SMOOTH = [case[:2] for case in VALUES if case[0] != "Threshold"]


def neuron(name, text="", dtype=np.float64):
    return make_layer(f"type: '{name}' {text}", dtype=dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "text", "expected"), VALUES)
def test_values(name, text, expected, dtype):
    y = run_layer(neuron(name, text, dtype), X)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, [expected], rtol=1e-6 if dtype == np.float32 else 1e-14)


@pytest.mark.parametrize("shape", [(), (7,), (2, 3, 4)], ids=str)
@pytest.mark.parametrize(("name", "text"), SMOOTH)
def test_gradient(name, text, shape, rng):
    # From -2.9 to 2.9, 0.08 at least from 0 and from the bounds of Clip.
    tenths = rng.choice([i for i in range(-29, 30) if i not in (-10, 0, 15)], shape)
    check_gradient(neuron(name, text), [np.asarray(tenths) / 10 + 0.02])


def test_gradient_of_relu6_above_6():
    check_gradient(neuron("ReLU6"), [np.array([-1.0, 5.9, 6.1, 50.0])])


@pytest.mark.parametrize(("name", "text"), [case for case in SMOOTH if case[0] != "AbsVal"])
def test_in_place_matches_out_of_place(name, text, rng):
    x, top_diff = rng.uniform(-2, 3, (2, 3, 4)), rng.standard_normal((2, 3, 4))
    separate = run_backward(neuron(name, text), x, top_diff)
    shared = run_backward(neuron(name, text), x, top_diff, in_place=True)
    np.testing.assert_array_equal(shared.top_data, separate.top_data)
    np.testing.assert_array_equal(shared.bottom_diff, separate.bottom_diff)


@pytest.mark.parametrize(("name", "text"), SMOOTH)
def test_a_layer_in_place_on_the_top_changes_no_gradient(name, text):
    layer, bottom, top = neuron(name, text), [blob_of(X)], [Blob((), np.float64)]
    layer.setup(bottom, top)
    layer.reshape(bottom, top)
    layer.forward(bottom, top)
    top[0].set_data(7)
    top[0].set_diff(np.ones_like(X))
    layer.backward(top, [True], bottom)
    np.testing.assert_array_equal(
        bottom[0].host_diff, run_backward(neuron(name, text), X, np.ones_like(X)).bottom_diff
    )


@pytest.mark.parametrize(
    ("name", "at_minus", "at_plus"),
    [("BNLL", 0, 1e4), ("Sigmoid", 0, 1), ("TanH", -1, 1), ("Swish", 0, 1e4), ("ELU", -1, 1e4)],
)
def test_large_numbers_neither_overflow_nor_warn(name, at_minus, at_plus):
    run = run_backward(neuron(name, "", np.float32), [-1e4, 1e4], np.ones(2))
    np.testing.assert_array_equal(run.top_data, [at_minus, at_plus])
    np.testing.assert_array_equal(run.bottom_diff, [0, at_plus > 1])


def test_numbers_beyond_the_range_are_infinite_without_a_warning():
    assert run_layer(neuron("Exp", "", np.float32), 1000.0) == np.inf
    np.testing.assert_array_equal(run_layer(neuron("Log"), [0.0, -1.0]), [-np.inf, np.nan])
    half = neuron("Power", "power_param { power: 0.5 }")
    np.testing.assert_array_equal(
        run_backward(half, [0.0, -1], [1, 1]).bottom_diff, [np.inf, np.nan]
    )


@pytest.mark.parametrize(("power", "slope"), [(3, 0), (2, 0), (1, 1), (0, 0)])
def test_power_has_a_derivative_at_0(power, slope):
    layer = neuron("Power", f"power_param {{ power: {power} }}")
    assert run_backward(layer, 0.0, 1.0).bottom_diff == slope


def test_clip_passes_the_gradient_at_its_bounds_and_relu6_does_not():
    clip = run_backward(neuron("Clip", "clip_param { min: 0 max: 6 }"), [0.0, 6.0], [1, 1])
    np.testing.assert_array_equal(clip.bottom_diff, [1, 1])
    np.testing.assert_array_equal(run_backward(neuron("ReLU6"), [0.0, 6.0], [1, 1]).bottom_diff, 0)


def test_diff_is_left_alone_where_it_is_not_wanted():
    layer, bottom, top = neuron("TanH"), [blob_of(X)], [Blob((), np.float64)]
    layer.setup(bottom, top)
    layer.reshape(bottom, top)
    layer.forward(bottom, top)
    top[0].set_diff(1)
    bottom[0].set_diff(5)
    layer.backward(top, [False], bottom)
    assert (bottom[0].host_diff == 5).all()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("Clip", "", "min: expected a number in clip_param, got none"),
        ("Clip", "clip_param { min: 1 }", "max: expected a number in clip_param, got none"),
        ("Clip", "clip_param { min: 2 max: 1 }", "min: expected at most max, 1, got 2"),
        ("Exp", "exp_param { base: 0 }", "base: expected a number above 0, or -1 for e, got 0"),
        ("Log", "log_param { base: -2 }", "base: expected a number above 0, or -1 for e, got -2"),
        ("Log", "log_param { base: 1 }", "base: there is no logarithm to base 1"),
    ],
)
def test_refuses(name, text, message):
    with pytest.raises(ShapeError, match=message):
        run_layer(neuron(name, text), X)


def test_threshold_has_no_gradient():
    assert not neuron("Threshold").allow_force_backward(0)
    with pytest.raises(UnsupportedError, match=r"Threshold has no gradient; set propagate_down: f"):
        run_backward(neuron("Threshold"), X, X)


def test_engines_are_accepted():
    for name in ("Sigmoid", "TanH"):
        assert layer_param(f"type: '{name}' {name.lower()}_param {{ engine: CUDNN }}")
