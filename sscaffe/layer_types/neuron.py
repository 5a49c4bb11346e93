"""Functions of each element: AbsVal, BNLL, Clip, ELU, Exp, Log, Power, Sigmoid and the like."""

import math
from types import ModuleType
from typing import ClassVar

import numpy as np

from sscaffe.blob import Array, Blob
from sscaffe.errors import ShapeError, UnsupportedError
from sscaffe.layer import Layer, register


class NeuronLayer(Layer):
    """``y = f(x)``, element by element.

    A subclass says what f and its derivative are. Each layer keeps what backward needs of what
    might be overwritten: x where it runs in place, y where the derivative follows from y.

    Bottom and top: any shape; the layer may run in place unless its description says otherwise.
    """

    num_bottom = 1
    num_top = 1
    may_run_in_place = True
    derives_from_top: ClassVar[bool] = False  # `_derivative` takes y, not x

    kept: Array | None  # x or y

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Give the top the bottom's shape."""
        top[0].reshape_like(bottom[0])
        keeps = self.derives_from_top or top[0] is bottom[0]
        self.kept = self.xp.empty(bottom[0].shape, self.dtype) if keeps else None

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Set ``y = f(x)``."""
        x, kept = bottom[0].const_data, self.kept
        # Numbers beyond the range become infinite or not a number, without a warning.
        with np.errstate(all="ignore"):
            if kept is None:
                self._value(x, top[0].new_data())
            elif self.derives_from_top:
                self._value(x, kept)
                top[0].set_data(kept)
            else:
                kept[...] = x
                self._value(kept, top[0].new_data())

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Set ``dx = f'(x) dy``."""
        if propagate_down[0]:
            kept = bottom[0].const_data if self.kept is None else self.kept
            with np.errstate(all="ignore"):
                bottom[0].set_diff(top[0].const_diff * self._derivative(kept))

    def _value(self, x: Array, out: Array) -> None:
        """Set `out`, which is not the same array as x, to f(x)."""
        raise NotImplementedError

    def _derivative(self, kept: Array) -> Array | float:
        """Return f'(x), given x, or y if `derives_from_top`."""
        raise NotImplementedError


@register("AbsVal")
class AbsValLayer(NeuronLayer):
    """``y = |x|``; not in place, as in Caffe."""

    may_run_in_place = False

    def _value(self, x: Array, out: Array) -> None:
        self.xp.abs(x, out=out)

    def _derivative(self, kept: Array) -> Array | float:
        signs: Array = self.xp.sign(kept)
        return signs


@register("BNLL")
class BNLLLayer(NeuronLayer):
    """Binomial negative log likelihood: ``y = log(1 + exp(x))``."""

    derives_from_top = True

    def _value(self, x: Array, out: Array) -> None:
        # log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)), which cannot overflow.
        xp = self.xp
        xp.abs(x, out=out)
        xp.negative(out, out=out)
        xp.exp(out, out=out)
        xp.log1p(out, out=out)
        out += xp.maximum(x, 0)

    def _derivative(self, kept: Array) -> Array | float:
        # The logistic function of x is 1 - exp(-y).
        slope: Array = -self.xp.expm1(-kept)
        return slope


@register("Clip")
class ClipLayer(NeuronLayer):
    """``y = min(max(x, clip_param.min), clip_param.max)``."""

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Read the bounds, both of which must be given."""
        param = self.layer_param.clip_param
        for name in ("min", "max"):
            if not param.HasField(name):
                raise ShapeError(f"{name}: expected a number in clip_param, got none")
        self.least, self.most = param.min, param.max
        if self.least > self.most:
            raise ShapeError(f"min: expected at most max, {self.most:g}, got {self.least:g}")

    def _value(self, x: Array, out: Array) -> None:
        self.xp.clip(x, self.least, self.most, out=out)

    def _derivative(self, kept: Array) -> Array | float:
        inside: Array = (kept >= self.least) & (kept <= self.most)
        return inside


@register("ReLU6")
class ReLU6Layer(NeuronLayer):
    """``y = min(max(x, 0), 6)``.

    Source: Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision
    Applications", 2017.
    """

    def _value(self, x: Array, out: Array) -> None:
        self.xp.clip(x, 0, 6, out=out)

    def _derivative(self, kept: Array) -> Array | float:
        inside: Array = (kept > 0) & (kept < 6)
        return inside


@register("ELU")
class ELULayer(NeuronLayer):
    """``y = x`` where ``x > 0``, and ``alpha (exp(x) - 1)`` elsewhere.

    Source: Clevert et al., "Fast and Accurate Deep Network Learning by Exponential Linear Units",
    ICLR 2016.
    """

    def _value(self, x: Array, out: Array) -> None:
        xp = self.xp
        xp.minimum(x, 0, out=out)
        xp.expm1(out, out=out)
        out *= self.layer_param.elu_param.alpha
        out += xp.maximum(x, 0)

    def _derivative(self, kept: Array) -> Array | float:
        xp = self.xp
        rising = kept > 0
        slope: Array = xp.exp(xp.minimum(kept, 0))
        # Products are several times faster than a choice by element.
        slope *= ~rising
        slope *= self.layer_param.elu_param.alpha
        slope += rising
        return slope


@register("Exp")
class ExpLayer(NeuronLayer):
    """``y = base ^ (shift + scale x)``, where a base of -1 stands for e."""

    derives_from_top = True

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Bring the power to base e."""
        param = self.layer_param.exp_param
        log_base = log_of_base(param.base)
        self.factor, self.outer = log_base * param.scale, math.exp(log_base * param.shift)

    def _value(self, x: Array, out: Array) -> None:
        self.xp.multiply(x, self.factor, out=out)
        self.xp.exp(out, out=out)
        if self.outer != 1:
            out *= self.outer

    def _derivative(self, kept: Array) -> Array | float:
        return kept * self.factor


@register("Log")
class LogLayer(NeuronLayer):
    """``y = log(shift + scale x)`` to `base`, where a base of -1 stands for e."""

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Bring the logarithm to base e."""
        param = self.layer_param.log_param
        if param.base == 1:
            raise ShapeError("base: there is no logarithm to base 1; use another number above 0")
        self.factor = 1 / log_of_base(param.base)
        self.scale, self.shift = param.scale, param.shift

    def _value(self, x: Array, out: Array) -> None:
        self.xp.multiply(x, self.scale, out=out)
        out += self.shift
        self.xp.log(out, out=out)
        out *= self.factor

    def _derivative(self, kept: Array) -> Array | float:
        return self.factor * self.scale / (self.scale * kept + self.shift)


def log_of_base(base: float) -> float:
    """Return the natural logarithm of a base as Exp and Log have it: -1 stands for e."""
    if base == -1:
        return 1.0
    if base <= 0:
        raise ShapeError(f"base: expected a number above 0, or -1 for e, got {base:g}")
    return math.log(base)


@register("Power")
class PowerLayer(NeuronLayer):
    """``y = (shift + scale x) ^ power``."""

    def _value(self, x: Array, out: Array) -> None:
        param = self.layer_param.power_param
        self.xp.multiply(x, param.scale, out=out)
        out += param.shift
        if param.power != 1:
            out **= param.power

    def _derivative(self, kept: Array) -> Array | float:
        param = self.layer_param.power_param
        factor = param.power * param.scale
        if factor == 0 or param.power == 1:
            return float(factor)
        return factor * (param.scale * kept + param.shift) ** (param.power - 1)


@register("Sigmoid")
class SigmoidLayer(NeuronLayer):
    """``y = 1 / (1 + exp(-x))``."""

    derives_from_top = True

    def _value(self, x: Array, out: Array) -> None:
        logistic(x, self.xp, out)

    def _derivative(self, kept: Array) -> Array | float:
        slope: Array = 1 - kept
        slope *= kept
        return slope


def logistic(x: Array, xp: ModuleType, out: Array | None = None) -> Array:
    """Return ``1 / (1 + exp(-x))``, in `out` if given."""
    # The same function as (tanh(x / 2) + 1) / 2, which cannot overflow.
    y: Array = xp.multiply(x, 0.5, out=out)
    y = xp.tanh(y, out=out)
    y *= 0.5
    y += 0.5
    return y


@register("Swish")
class SwishLayer(NeuronLayer):
    """``y = x / (1 + exp(-beta x))``.

    Source: Ramachandran et al., "Searching for Activation Functions", 2017.
    """

    def _value(self, x: Array, out: Array) -> None:
        out[...] = x
        out *= self._gate(x)

    def _derivative(self, kept: Array) -> Array | float:
        gate = self._gate(kept)
        slope: Array = (1 - gate) * kept
        slope *= self.layer_param.swish_param.beta
        slope += 1
        slope *= gate
        return slope

    def _gate(self, x: Array) -> Array:
        return logistic(x * self.layer_param.swish_param.beta, self.xp)


@register("TanH")
class TanHLayer(NeuronLayer):
    """``y = tanh(x)``."""

    derives_from_top = True

    def _value(self, x: Array, out: Array) -> None:
        self.xp.tanh(x, out=out)

    def _derivative(self, kept: Array) -> Array | float:
        return 1 - kept * kept


@register("Threshold")
class ThresholdLayer(NeuronLayer):
    """``y = 1`` where ``x > threshold``, and 0 elsewhere; there is no gradient."""

    def _value(self, x: Array, out: Array) -> None:
        out[...] = x > self.layer_param.threshold_param.threshold

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Refuse: a step has no gradient."""
        if propagate_down[0]:
            raise UnsupportedError(
                "propagate_down: Threshold has no gradient; set propagate_down: false in the layer"
            )

    def allow_force_backward(self, index: int) -> bool:
        """Tell that the bottom has no gradient."""
        return False
