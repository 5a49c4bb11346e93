"""How the learning rate falls with the iteration: one function for each lr_policy."""

import math
from collections.abc import Callable

from sscaffe.errors import PrototxtError
from sscaffe.proto import caffe_pb2

_Settings = caffe_pb2.SolverParameter


def _fixed(settings: _Settings, iteration: int, step: int) -> float:
    return float(settings.base_lr)


def _stepped(settings: _Settings, iteration: int, step: int) -> float:
    return float(settings.base_lr * settings.gamma**step)


def _exp(settings: _Settings, iteration: int, step: int) -> float:
    return float(settings.base_lr * settings.gamma**iteration)


def _inv(settings: _Settings, iteration: int, step: int) -> float:
    return float(settings.base_lr * (1 + settings.gamma * iteration) ** -settings.power)


def _poly(settings: _Settings, iteration: int, step: int) -> float:
    left = max(0.0, 1 - iteration / settings.max_iter)
    return float(settings.base_lr * left**settings.power)


def _sigmoid(settings: _Settings, iteration: int, step: int) -> float:
    exponent = settings.gamma * (iteration - settings.stepsize)
    # exp overflows beyond 709, where the rate is base_lr or 0 long since.
    return float(settings.base_lr / (1 + math.exp(min(-exponent, 700.0))))


POLICIES: dict[str, Callable[[_Settings, int, int], float]] = {
    "fixed": _fixed,
    "step": _stepped,
    "exp": _exp,
    "inv": _inv,
    "multistep": _stepped,
    "poly": _poly,
    "sigmoid": _sigmoid,
}


def learning_rate(settings: _Settings, iteration: int, step: int = 0) -> float:
    """Return the learning rate of an iteration, before any lr_mult.

    Parameters
    ----------
    settings : SolverParameter
        base_lr, lr_policy and the fields that go with it; the formulas stand there.
    iteration : int
        Iterations done.
    step : int
        Steps done, as `current_step` returns it; for ``step`` and ``multistep``.
    """
    return POLICIES[settings.lr_policy](settings, iteration, step)


def current_step(settings: _Settings, iteration: int, step: int) -> int:
    """Return how many steps the learning rate has come down.

    Parameters
    ----------
    settings : SolverParameter
        lr_policy, and stepsize or stepvalue.
    iteration : int
        Iterations done.
    step : int
        What this function returned one iteration ago; 0 at first.

    Notes
    -----
    ``multistep`` goes down one step an iteration at most, as in Caffe, so of two equal stepvalues
    the second takes effect one iteration late.
    """
    if settings.lr_policy == "step":
        return int(iteration // settings.stepsize)
    if settings.lr_policy == "multistep":
        values = settings.stepvalue
        return step + (step < len(values) and iteration >= values[step])
    return step


def check_policy(settings: _Settings) -> None:
    """Check that there is such a policy, and that it has what it needs.

    Raises
    ------
    PrototxtError
        If not.
    """
    policy = settings.lr_policy
    if policy not in POLICIES:
        got = repr(policy) if policy else "nothing"
        raise PrototxtError(f"lr_policy: expected one of {', '.join(POLICIES)}, got {got}")
    if policy == "step" and settings.stepsize < 1:
        raise PrototxtError(f"stepsize: expected 1 or more for step, got {settings.stepsize}")
    if policy == "poly" and settings.max_iter < 1:
        raise PrototxtError(f"max_iter: expected 1 or more for poly, got {settings.max_iter}")
    if list(settings.stepvalue) != sorted(settings.stepvalue):
        raise PrototxtError(f"stepvalue: expected rising numbers, got {list(settings.stepvalue)}")
