"""The six solver types: how gradients become updates."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from sscaffe.blob import Array, Blob, Param
from sscaffe.errors import PrototxtError, UnsupportedError
from sscaffe.kernels import UpdateStep
from sscaffe.proto import caffe_pb2


class UpdateRule(ABC):
    """What a solver type remembers of each parameter, and what it makes of a gradient.

    Parameters
    ----------
    settings : SolverParameter
        momentum, delta and so on.
    params : sequence of Param
        The parameters, in the order of the net.

    Attributes
    ----------
    history : list of Blob
        What it remembers, in the order of a .solverstate: one blob for each parameter, then the
        second blob of each where there are two.
    """

    slots: ClassVar[int] = 1
    """Blobs remembered of each parameter."""
    has_momentum: ClassVar[bool] = True
    counts_iterations: ClassVar[bool] = False
    """Whether `step` depends on the iteration, and not on the rate alone."""

    def __init__(self, settings: caffe_pb2.SolverParameter, params: Sequence[Param]) -> None:
        if settings.momentum and not self.has_momentum:
            raise UnsupportedError(
                f"momentum: {settings.type} has none, got {settings.momentum:g}; leave it out"
            )
        self.settings, self.params = settings, params
        self.history = [
            Blob(param.shape, param.blob.dtype, param.blob.device)
            for _ in range(self.slots)
            for param in params
        ]

    @abstractmethod
    def compute(self, index: int, rate: float, iteration: int) -> None:
        """Turn the gradient in a parameter's diff into the update, to be subtracted.

        Parameters
        ----------
        index : int
            Which parameter.
        rate : float
            Its learning rate, lr_mult included.
        iteration : int
            Iterations done.
        """

    def step(self, rate: float, iteration: int) -> UpdateStep | None:
        """Return what `compute` does as an `UpdateJob` takes it; None where it has no such rule.

        Parameters
        ----------
        rate, iteration
            As for `compute`.
        """
        return None

    def shrinkage(self) -> tuple[float, float]:
        """Return how PROXIMAL goes with the rule.

        Returns
        -------
        reach : float
            What the update multiplies the rate by for a gradient that is new.
        share : float
            How much of what is taken from the weights is added to the first history.
        """
        return 1.0, 0.0

    def history_of(self, index: int) -> list[Blob]:
        """Return what is remembered of a parameter."""
        return self.history[index :: len(self.params)]

    def _arrays(self, index: int) -> tuple[Array, ...]:
        """Return a parameter's diff and its history, flat, to be written to."""
        own = [blob.mutable_data.reshape(-1) for blob in self.history_of(index)]
        return self.params[index].mutable_diff.reshape(-1), *own


class SGD(UpdateRule):
    """Stochastic gradient descent: ``h = momentum h + rate g``; the update is h."""

    def compute(self, index: int, rate: float, iteration: int) -> None:
        """See `UpdateRule.compute`."""
        diff, history = self._arrays(index)
        diff *= rate
        history *= self.settings.momentum
        history += diff
        diff[...] = history

    def step(self, rate: float, iteration: int) -> UpdateStep:
        """See `UpdateRule.step`."""
        return UpdateStep("SGD", rate, self.settings.momentum)

    def shrinkage(self) -> tuple[float, float]:
        """See `UpdateRule.shrinkage`: the history is the step that was taken."""
        return 1.0, 1.0


class Nesterov(UpdateRule):
    """``h' = momentum h + rate g``; the update is ``(1 + momentum) h' - momentum h``.

    Source: Sutskever et al., "On the importance of initialization and momentum in deep learning",
    ICML 2013.
    """

    def compute(self, index: int, rate: float, iteration: int) -> None:
        """See `UpdateRule.compute`."""
        diff, history = self._arrays(index)
        momentum = self.settings.momentum
        before = momentum * history
        diff *= rate
        diff += before
        history[...] = diff
        diff *= 1 + momentum
        diff -= before

    def step(self, rate: float, iteration: int) -> UpdateStep:
        """See `UpdateRule.step`."""
        return UpdateStep("Nesterov", rate, self.settings.momentum)

    def shrinkage(self) -> tuple[float, float]:
        """See `UpdateRule.shrinkage`: at rest the history is 0, as the update has both parts."""
        reach = 1 + self.settings.momentum
        return reach, 1 / reach


class AdaGrad(UpdateRule):
    """``h += g^2``; the update is ``rate g / (sqrt(h) + delta)``.

    Source: Duchi et al., "Adaptive subgradient methods for online learning and stochastic
    optimization", JMLR 2011.
    """

    has_momentum = False

    def compute(self, index: int, rate: float, iteration: int) -> None:
        """See `UpdateRule.compute`."""
        diff, history = self._arrays(index)
        scratch = diff * diff
        history += scratch
        _divide_by_root(self.params[index], diff, history, scratch, self.settings.delta)
        diff *= rate


class RMSProp(UpdateRule):
    """``h = rms_decay h + (1 - rms_decay) g^2``; the update is ``rate g / (sqrt(h) + delta)``.

    Source: Tieleman and Hinton, "RMSProp: divide the gradient by a running average of its recent
    magnitude", Coursera 2012.
    """

    has_momentum = False

    def __init__(self, settings: caffe_pb2.SolverParameter, params: Sequence[Param]) -> None:
        super().__init__(settings, params)
        _check_share(settings, "rms_decay")

    def compute(self, index: int, rate: float, iteration: int) -> None:
        """See `UpdateRule.compute`."""
        diff, history = self._arrays(index)
        decay = self.settings.rms_decay
        scratch = diff * diff
        _blend(history, scratch, decay)
        _divide_by_root(self.params[index], diff, history, scratch, self.settings.delta)
        diff *= rate


class AdaDelta(UpdateRule):
    """The update is ``rate u``, with ``u = g sqrt((delta + m) / (delta + h))``.

    h and m are running averages, kept by `momentum`, of g^2 and u^2.

    Source: Zeiler, "ADADELTA: an adaptive learning rate method", arXiv:1212.5701.
    """

    slots = 2

    def compute(self, index: int, rate: float, iteration: int) -> None:
        """See `UpdateRule.compute`."""
        diff, gradients, updates = self._arrays(index)
        xp, delta, momentum = self.params[index].xp, self.settings.delta, self.settings.momentum
        scratch = diff * diff
        _blend(gradients, scratch, momentum)
        xp.add(updates, delta, out=scratch)
        scratch /= gradients + delta
        xp.sqrt(scratch, out=scratch)
        diff *= scratch
        xp.multiply(diff, diff, out=scratch)
        _blend(updates, scratch, momentum)
        diff *= rate


class Adam(UpdateRule):
    """The update is ``rate c m / (sqrt(v) + delta)``.

    m and v are running averages of g and g^2, kept by b1, `momentum`, and b2, `momentum2`; at
    iteration t, counted from 1, ``c = sqrt(1 - b2^t) / (1 - b1^t)``.

    Source: Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015.
    """

    slots = 2
    counts_iterations = True

    def __init__(self, settings: caffe_pb2.SolverParameter, params: Sequence[Param]) -> None:
        super().__init__(settings, params)
        _check_share(settings, "momentum")
        _check_share(settings, "momentum2")

    def compute(self, index: int, rate: float, iteration: int) -> None:
        """See `UpdateRule.compute`."""
        diff, means, squares = self._arrays(index)
        b1, b2 = self.settings.momentum, self.settings.momentum2
        scratch = diff * diff
        _blend(squares, scratch, b2)
        _blend(means, diff, b1)
        diff[...] = means
        _divide_by_root(self.params[index], diff, squares, scratch, self.settings.delta)
        diff *= self._corrected(rate, iteration + 1)

    def step(self, rate: float, iteration: int) -> UpdateStep:
        """See `UpdateRule.step`."""
        b1, b2 = self.settings.momentum, self.settings.momentum2
        rate = self._corrected(rate, iteration + 1)
        return UpdateStep("Adam", rate, b1, b2, 1 - b1, 1 - b2, self.settings.delta)

    def _corrected(self, rate: float, t: int) -> float:
        b1, b2 = self.settings.momentum, self.settings.momentum2
        return float(rate * (1 - b2**t) ** 0.5 / (1 - b1**t))


RULES: dict[str, type[UpdateRule]] = {
    "SGD": SGD,
    "Nesterov": Nesterov,
    "AdaGrad": AdaGrad,
    "RMSProp": RMSProp,
    "AdaDelta": AdaDelta,
    "Adam": Adam,
}


def make_rule(settings: caffe_pb2.SolverParameter, params: Sequence[Param]) -> UpdateRule:
    """Return the rule of a solver type.

    Raises
    ------
    PrototxtError
        If there is no such type.
    UnsupportedError
        If it cannot use a setting.
    """
    rule = RULES.get(settings.type)
    if rule is None:
        raise PrototxtError(f"type: expected one of {', '.join(RULES)}, got {settings.type!r}")
    return rule(settings, params)


def _check_share(settings: caffe_pb2.SolverParameter, name: str) -> None:
    value = getattr(settings, name)
    if not 0 <= value < 1:
        raise PrototxtError(f"{name}: expected 0 or more and less than 1, got {value:g}")


def _blend(average: Array, new: Array, kept: float) -> None:
    """Set ``average = kept * average + (1 - kept) * new``; `new` is lost."""
    average *= kept
    new *= 1 - kept
    average += new


def _divide_by_root(
    param: Param, diff: Array, squares: Array, scratch: Array, delta: float
) -> None:
    param.xp.sqrt(squares, out=scratch)
    scratch += delta
    diff /= scratch
