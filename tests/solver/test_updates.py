"""The six update rules, against slow ones written number by number."""

import math

import numpy as np
import pytest

from sscaffe.errors import PrototxtError, UnsupportedError
from sscaffe.solver.updates import RULES, make_rule
from tests.solver.nets import make_param, settings

RATE = 0.25
ITERATIONS = 4


def sgd(s, g, h, t):
    h[0] = s.momentum * h[0] + RATE * g
    return h[0]


def nesterov(s, g, h, t):
    before, h[0] = h[0], s.momentum * h[0] + RATE * g
    return (1 + s.momentum) * h[0] - s.momentum * before


def adagrad(s, g, h, t):
    h[0] += g * g
    return RATE * g / (math.sqrt(h[0]) + s.delta)


def rmsprop(s, g, h, t):
    h[0] = s.rms_decay * h[0] + (1 - s.rms_decay) * g * g
    return RATE * g / (math.sqrt(h[0]) + s.delta)


def adadelta(s, g, h, t):
    h[0] = s.momentum * h[0] + (1 - s.momentum) * g * g
    u = g * math.sqrt((s.delta + h[1]) / (s.delta + h[0]))
    h[1] = s.momentum * h[1] + (1 - s.momentum) * u * u
    return RATE * u


def adam(s, g, h, t):
    h[0] = s.momentum * h[0] + (1 - s.momentum) * g
    h[1] = s.momentum2 * h[1] + (1 - s.momentum2) * g * g
    correction = math.sqrt(1 - s.momentum2**t) / (1 - s.momentum**t)
    return RATE * correction * h[0] / (math.sqrt(h[1]) + s.delta)


SLOW = {
    "SGD": (sgd, "momentum: 0.875"),
    "Nesterov": (nesterov, "momentum: 0.875"),
    "AdaGrad": (adagrad, "delta: 0.001"),
    "RMSProp": (rmsprop, "rms_decay: 0.75 delta: 0.001"),
    "AdaDelta": (adadelta, "momentum: 0.875 delta: 0.001"),
    "Adam": (adam, "momentum: 0.875 momentum2: 0.96875 delta: 0.001"),
}


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-9), (np.float32, 2e-5)])
@pytest.mark.parametrize("name", RULES)
def test_updates_and_history_are_those_of_the_slow_rule(name, dtype, rtol):
    slow, text = SLOW[name]
    rng = np.random.default_rng(1701)
    arrays = [rng.standard_normal(shape).astype(dtype) for shape in [(3, 4), (), (2, 1, 3, 2, 2)]]
    params = [make_param(array) for array in arrays]
    param = settings(f'type: "{name}" {text}')
    rule = make_rule(param, params)
    histories = [[[0.0] * rule.slots for _ in range(p.blob.count)] for p in params]
    for t in range(ITERATIONS):
        for i, p in enumerate(params):
            gradient = rng.standard_normal(p.shape).astype(dtype)
            p.blob.set_diff(gradient)
            rule.compute(i, RATE, t)
            pairs = zip(gradient.reshape(-1).tolist(), histories[i], strict=True)
            expected = np.array([slow(param, g, h, t + 1) for g, h in pairs]).reshape(p.shape)
            np.testing.assert_allclose(p.const_diff, expected, rtol, rtol * RATE)
    for slot in range(rule.slots):
        for i, p in enumerate(params):
            expected = np.array([h[slot] for h in histories[i]]).reshape(p.shape)
            got = rule.history[slot * len(params) + i]
            assert got.shape == p.shape
            np.testing.assert_allclose(got.const_data, expected, rtol, rtol)


@pytest.mark.parametrize(("name", "slots"), [("SGD", 1), ("AdaDelta", 2), ("Adam", 2)])
def test_history_has_the_first_blob_of_each_param_then_the_second(name, slots):
    params = [make_param(np.zeros(shape, np.float32)) for shape in [(2, 3), (4,)]]
    rule = make_rule(settings(f'type: "{name}"'), params)
    assert [blob.shape for blob in rule.history] == [(2, 3), (4,)] * slots


@pytest.mark.parametrize("name", ["AdaGrad", "RMSProp"])
def test_momentum_is_refused_where_there_is_none(name):
    message = f"momentum: {name} has none, got 0.9; leave it out"
    with pytest.raises(UnsupportedError, match=message):
        make_rule(settings(f'type: "{name}" momentum: 0.9'), [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('type: "Foo"', "type: expected one of SGD, Nesterov, .*, got 'Foo'"),
        ('type: "RMSProp" rms_decay: 1', "rms_decay: expected 0 or more and less than 1, got 1"),
        ('type: "Adam" momentum2: 1', "momentum2: expected 0 or more and less than 1, got 1"),
        ('type: "Adam" momentum: -1', "momentum: expected 0 or more and less than 1, got -1"),
    ],
)
def test_rules_that_cannot_be_are_refused(text, message):
    with pytest.raises(PrototxtError, match=message):
        make_rule(settings(text), [])
