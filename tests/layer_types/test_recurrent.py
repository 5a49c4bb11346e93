"""RNN, LSTM and LSTMUnit: against plain loops, gradients, states, and what they refuse."""

import numpy as np
import pytest

from sscaffe.blob import Blob
from sscaffe.errors import PrototxtError, ShapeError, UnsupportedError
from sscaffe.layer import TRAIN
from sscaffe.testing import check_gradient
from tests.helpers import blob_of, make_layer, run_layer

FILLERS = "weight_filler { type: 'uniform' min: -1 max: 1 } bias_filler { type: 'uniform' min: -1 }"
STEPS, BATCH, HIDDEN = 4, 3, 2
CONT = np.array([[0, 0, 0], [1, 1, 1], [1, 0, 1], [1, 1, 0]], float)
STATES = {"RNN": 1, "LSTM": 2}


def recurrent(layer_type, text="", **options):
    size = "" if "num_output" in text else f"num_output: {HIDDEN}"
    settings = f"{size} {FILLERS} {text}"
    return make_layer(f"type: '{layer_type}' recurrent_param {{ {settings} }}", **options)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def step(layer_type, weights, x, cont, states):
    """Compute one step of one sequence; return output and states."""
    hidden = states[0] * cont
    if layer_type == "RNN":
        of_input, bias, of_hidden, of_output, output_bias = weights
        hidden = np.tanh(of_input @ x + bias + of_hidden @ hidden)
        return np.tanh(of_output @ hidden + output_bias), [hidden]
    of_input, bias, of_hidden = weights
    i, f, o, g = np.split(of_input @ x + bias + of_hidden @ hidden, 4)
    cell = cont * sigmoid(f) * states[1] + sigmoid(i) * np.tanh(g)
    hidden = sigmoid(o) * np.tanh(cell)
    return hidden, [hidden, cell]


@pytest.mark.parametrize("layer_type", STATES)
def test_matches_a_plain_loop(layer_type, rng):
    layer = recurrent(layer_type)
    x = rng.standard_normal((STEPS, BATCH, 3, 2))
    got = run_layer(layer, x, CONT)
    weights = [blob.host_data for blob in layer.blobs]
    for n in range(BATCH):
        states = [np.zeros(HIDDEN)] * STATES[layer_type]
        for t in range(STEPS):
            out, states = step(layer_type, weights, x[t, n].ravel(), CONT[t, n], states)
            np.testing.assert_allclose(got[t, n], out, rtol=1e-12)


def reset_first(layer):
    """Make each forward pass start from zeros, as finite differences need it."""
    forward = layer.forward

    def forward_from_zeros(bottom, top):
        layer.reset()
        forward(bottom, top)

    layer.forward = forward_from_zeros
    return layer


@pytest.mark.parametrize("cont", [CONT, np.ones_like(CONT)])
@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("exposed", [False, True])
@pytest.mark.parametrize("layer_type", STATES)
def test_gradient(layer_type, exposed, static, cont, rng):
    inputs = [rng.standard_normal((STEPS, BATCH, 3)), cont]
    wanted = [True, False]
    if static:
        inputs.append(rng.standard_normal((BATCH, 2, 2)))
        wanted.append(True)
    states = STATES[layer_type] if exposed else 0
    inputs += [rng.standard_normal((1, BATCH, HIDDEN)) for _ in range(states)]
    wanted += [True] * states
    text = "expose_hidden: true" if exposed else ""
    layer = reset_first(recurrent(layer_type, text, phase=TRAIN))
    check_gradient(layer, inputs, check_bottom=wanted, num_top=1 + states)
    blobs = {"RNN": 5, "LSTM": 3}[layer_type] + static
    assert len(layer.blobs) == blobs


@pytest.mark.parametrize("layer_type", STATES)
def test_a_pass_goes_on_where_the_last_one_ended(layer_type, rng):
    x, ones = rng.standard_normal((2 * STEPS, BATCH, 3)), np.ones((2 * STEPS, BATCH))
    layer = recurrent(layer_type)
    whole = run_layer(layer, x, ones)
    bottom, top = [blob_of(x[:STEPS]), blob_of(ones[:STEPS])], [Blob((), np.float64)]
    layer.setup(bottom, top)
    layer.reshape(bottom, top)
    layer.forward(bottom, top)
    np.testing.assert_allclose(top[0].host_data, whole[:STEPS], rtol=1e-12)
    bottom[0].set_data(x[STEPS:])
    layer.forward(bottom, top)
    np.testing.assert_allclose(top[0].host_data, whole[STEPS:], rtol=1e-12)
    layer.reset()
    layer.forward(bottom, top)
    assert not np.allclose(top[0].host_data, whole[STEPS:])


@pytest.mark.parametrize("layer_type", STATES)
def test_states_of_another_batch_are_forgotten(layer_type, rng):
    layer = recurrent(layer_type)
    bottom = [blob_of(rng.standard_normal((2, 3, 4))), blob_of(np.ones((2, 3)))]
    top = [Blob((), np.float64)]
    layer.setup(bottom, top)
    layer.reshape(bottom, top)
    layer.forward(bottom, top)
    first = top[0].host_data[:, :2].copy()
    for blob in bottom:
        values = blob.host_data[:, :2].copy()
        blob.reshape(*values.shape)
        blob.set_data(values)
    layer.reshape(bottom, top)
    layer.forward(bottom, top)
    np.testing.assert_allclose(top[0].host_data, first, rtol=1e-12)


def test_lstm_unit_by_hand():
    zero, big = [[[0.0]]], 100.0
    sums = [[[big, big, big, 1.0]]]
    layer = make_layer("type: 'LSTMUnit'")
    cell, hidden = run_layer(layer, np.add(zero, 2), sums, [[1.0]], tops=2)
    np.testing.assert_allclose(cell, [[[2 + np.tanh(1)]]])
    np.testing.assert_allclose(hidden, np.tanh(cell))
    cell, _ = run_layer(layer, np.add(zero, 2), sums, [[0.0]], tops=2)
    np.testing.assert_allclose(cell, [[[np.tanh(1)]]])


@pytest.mark.parametrize("cont", [[0, 1, 1], [1, 1, 1]])
def test_lstm_unit_gradient(cont, rng):
    inputs = [rng.standard_normal((1, 3, 2)), rng.standard_normal((1, 3, 8)), np.array([cont])]
    layer = make_layer("type: 'LSTMUnit'", phase=TRAIN)
    check_gradient(layer, inputs, check_bottom=[True, True, False])


def test_large_sums_do_not_overflow():
    sums = np.full((1, 1, 4), -1e4)
    with np.errstate(all="raise"):
        run_layer(make_layer("type: 'LSTMUnit'"), np.ones((1, 1, 1)), sums, np.ones((1, 1)), tops=2)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([(1, 3), (1, 3, 8), (1, 3)], r"bottom 0: expected a shape \(1, N, H\)"),
        ([(1, 3, 2), (1, 3, 6), (1, 3)], r"bottom 1: expected \(1, 3, 8\), got \(1, 3, 6\)"),
        ([(1, 3, 2), (1, 3, 8), (3, 1)], r"bottom 2: expected \(1, 3\), got \(3, 1\)"),
    ],
)
def test_lstm_unit_refuses(shapes, message):
    with pytest.raises(ShapeError, match=message):
        run_layer(make_layer("type: 'LSTMUnit'"), *map(np.zeros, shapes), tops=2)


X, C, H = (STEPS, BATCH, 3), (STEPS, BATCH), (1, BATCH, HIDDEN)


@pytest.mark.parametrize(
    ("text", "shapes", "tops", "error", "message"),
    [
        ("num_output: 0", [X, C], 1, ShapeError, "num_output: expected 1 or more, got 0"),
        ("", [X], 1, PrototxtError, "bottom: expected 2 or 3, got 1"),
        ("", [X, C], 3, PrototxtError, "top: expected 1, got 3"),
        ("expose_hidden: true", [X, C, H], 3, PrototxtError, "bottom: expected 4 or 5, got 3"),
        ("expose_hidden: true", [X, C, H, H], 1, PrototxtError, "top: expected 3, got 1"),
        ("expose_hidden: true", [X, C, H, X], 3, ShapeError, r"bottom 3: expected \(1, 3, 2\)"),
        ("", [X, (STEPS, 1)], 1, ShapeError, r"bottom 1: expected \(4, 3\), got \(4, 1\)"),
        ("", [X, C, (2, 5)], 1, ShapeError, r"bottom 2: expected a shape \(3, ...\)"),
        ("", [(4,), C], 1, ShapeError, r"bottom: expected a shape \(T, N, ...\)"),
    ],
)
def test_refuses(text, shapes, tops, error, message):
    with pytest.raises(error, match=message):
        run_layer(recurrent("LSTM", text), *map(np.zeros, shapes), tops=tops)


def test_the_marks_of_beginnings_have_no_gradient():
    layer = recurrent("RNN")
    bottom, top = [blob_of(np.ones(X)), blob_of(np.ones(C))], [Blob((), np.float64)]
    layer.setup(bottom, top)
    layer.reshape(bottom, top)
    layer.forward(bottom, top)
    assert not layer.allow_force_backward(1)
    with pytest.raises(UnsupportedError, match="propagate_down: bottom 1"):
        layer.backward(top, [True, True], bottom)
