"""Layers that run in one pass in TRAIN: BatchNorm with the Scale and the ReLU that follow in place.

Apart they read and write their array eleven times in a step, together five times, and what limits
them is memory. Whoever runs layers singly finds what they would have kept: see `NormStep.split`.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

from sscaffe.blob import Array, Blob
from sscaffe.kernels import AfterNorm
from sscaffe.layer import TRAIN, Fusion, Layer
from sscaffe.net.step import Step


@runtime_checkable
class Normalizing(Protocol):
    """A layer that normalizes, and can do what follows it."""

    @property
    def goes_on(self) -> bool:
        """Whether it can, with the bottom that it has now."""

    def forward_with(self, bottom: Blob, top: Blob, after: AfterNorm) -> None:
        """Set ``top.data`` to what the layers after it would make of it."""

    def backward_with(
        self, top: Blob, bottom: Blob, after: AfterNorm, diffs: tuple[Array | None, Array | None]
    ) -> None:
        """Set ``bottom.diff``; add to the diffs of factor and bias that are there."""

    def normalized(self, bottom: Blob) -> Any:
        """Return what the last forward pass normalized, as the kernels of the device hold it."""


@runtime_checkable
class Scaling(Protocol):
    """A layer that multiplies by a factor and adds a bias, which it learns."""

    def factor_and_bias(self) -> tuple[Array, Array | None]:
        """Return both, for each channel."""

    def diffs(self) -> tuple[Array | None, Array | None]:
        """Return those of factor and bias, to be added to; None for what is not to be learned."""

    def recall(self, bottom: Any) -> None:
        """Take this for the bottom that the last forward pass read."""


class NormStep:
    """BatchNorm and what follows it as one step.

    Parameters
    ----------
    steps : sequence of Step
        BatchNorm, then Scale or ReLU or both.
    """

    __slots__ = ("_has_run", "_norm", "_rectify", "_scale", "steps")

    needs_backward = True

    def __init__(self, steps: Sequence[Step]) -> None:
        layers = [step.layer for step in steps]
        assert isinstance(layers[0], Normalizing)
        self.steps = list(steps)
        self._norm = layers[0]
        self._scale = layers[1] if isinstance(layers[1], Scaling) else None
        self._rectify = layers[-1].fusion() is Fusion.RELU
        self._has_run = False

    @property
    def top(self) -> list[Blob]:
        """What the last of them makes."""
        return self.steps[-1].top

    @property
    def bottom(self) -> list[Blob]:
        """What they read."""
        return self.steps[0].bottom

    def forward(self) -> float:
        """Run the layers; none of them is part of the loss."""
        for step in self.steps:
            step.settle()
        self._norm.forward_with(self.bottom[0], self.top[0], self._after())
        self._has_run = True
        return 0.0

    def backward(self) -> None:
        """Run the layers backward."""
        diffs = self._scale.diffs() if self._scale else (None, None)
        self._norm.backward_with(self.top[0], self.bottom[0], self._after(), diffs)

    def split(self) -> None:
        """Give the layers what each keeps for backward when it runs by itself."""
        if self._scale and self._has_run:
            self._scale.recall(self._norm.normalized(self.bottom[0]))

    def _after(self) -> AfterNorm:
        factor, bias = self._scale.factor_and_bias() if self._scale else (None, None)
        return AfterNorm(factor, bias, self._rectify)


def find_norm_steps(steps: Sequence[Step]) -> Iterator[tuple[NormStep, tuple[int, ...]]]:
    """Yield what can run as one, in TRAIN, and the places of its layers."""
    place = 0
    while place < len(steps):
        end = _end(steps, place)
        if end > place + 1:
            yield NormStep(steps[place:end]), tuple(range(place, end))
        place = max(end, place + 1)


def _end(steps: Sequence[Step], first: int) -> int:
    """Return the place after the last layer that can run with the first; `first` for none."""
    step = steps[first]
    if not isinstance(step.layer, Normalizing) or not _is_alone(step) or not step.layer.goes_on:
        return first
    end = first + 1
    for test in (_scales, _rectifies):
        if end < len(steps) and _follows(step, steps[end]) and test(steps[end].layer):
            end += 1
    return end


def _is_alone(step: Step) -> bool:
    has_one = len(step.bottom) == len(step.top) == 1
    return has_one and not step.losses and step.layer.phase == TRAIN and all(step.propagate_down)


def _follows(step: Step, later: Step) -> bool:
    return _is_alone(later) and later.bottom[0] is later.top[0] is step.top[0]


def _scales(layer: Layer) -> bool:
    return isinstance(layer, Scaling) and layer.fusion() is Fusion.AFFINE


def _rectifies(layer: Layer) -> bool:
    return layer.fusion() is Fusion.RELU
