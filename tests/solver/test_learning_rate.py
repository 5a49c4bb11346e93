"""Learning rates, from the formulas in the schema."""

import math

import pytest

from sscaffe.errors import PrototxtError
from sscaffe.solver.learning_rate import POLICIES, check_policy, current_step, learning_rate
from tests.solver.nets import settings


def rates(text, count):
    """Return the rates of the first iterations, steps and all."""
    param, step, found = settings(text), 0, []
    check_policy(param)
    for i in range(count):
        step = current_step(param, i, step)
        found.append(learning_rate(param, i, step))
    return found


@pytest.mark.parametrize(
    ("text", "formula"),
    [
        ('lr_policy: "fixed"', lambda i: 1),
        ('lr_policy: "step" gamma: 0.5 stepsize: 3', lambda i: 0.5 ** (i // 3)),
        ('lr_policy: "exp" gamma: 0.75', lambda i: 0.75**i),
        ('lr_policy: "inv" gamma: 0.25 power: 0.75', lambda i: (1 + 0.25 * i) ** -0.75),
        ('lr_policy: "poly" power: 2 max_iter: 20', lambda i: (1 - i / 20) ** 2),
        (
            'lr_policy: "sigmoid" gamma: -0.5 stepsize: 4',
            lambda i: 1 / (1 + math.exp(0.5 * (i - 4))),
        ),
    ],
)
def test_rates_are_those_of_the_formula(text, formula):
    expected = [2 * formula(i) for i in range(20)]
    assert rates(f"base_lr: 2 {text}", 20) == pytest.approx(expected, rel=1e-12)


def test_multistep_goes_down_at_each_stepvalue():
    text = 'base_lr: 1 lr_policy: "multistep" gamma: 0.5 stepvalue: 2 stepvalue: 5'
    assert rates(text, 7) == [1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]


def test_multistep_goes_down_once_an_iteration():
    text = 'base_lr: 1 lr_policy: "multistep" gamma: 0.5 stepvalue: 2 stepvalue: 2'
    assert rates(text, 5) == [1, 1, 0.5, 0.25, 0.25]


def test_poly_stays_at_zero_after_max_iter():
    assert rates('base_lr: 1 lr_policy: "poly" power: 0.5 max_iter: 2', 5)[2:] == [0, 0, 0]


def test_sigmoid_does_not_overflow():
    text = 'base_lr: 1 lr_policy: "sigmoid" gamma: 100 stepsize: 50'
    assert rates(text, 101)[::50] == pytest.approx([0, 0.5, 1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('lr_policy: "cosine"', f"lr_policy: expected one of {', '.join(POLICIES)}, got 'cosine'"),
        ('lr_policy: ""', "lr_policy: expected one of fixed, .*, got nothing"),
        ('lr_policy: "step"', "stepsize: expected 1 or more for step, got 0"),
        ('lr_policy: "poly"', "max_iter: expected 1 or more for poly, got 0"),
        (
            'lr_policy: "multistep" stepvalue: 5 stepvalue: 2',
            r"stepvalue: expected rising numbers, got \[5, 2\]",
        ),
    ],
)
def test_policies_without_what_they_need_are_refused(text, message):
    with pytest.raises(PrototxtError, match=message):
        check_policy(settings(text))
