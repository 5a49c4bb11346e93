"""Layers that run in one pass: a convolution or inner product with what follows it, in TEST.

What follows may be affine for each channel (BatchNorm of gathered statistics, Scale, Bias): that is
folded into the weights. Then come a sum with another blob and a rectifier, which the kernel does
before it stores its result.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

from sscaffe.blob import Blob
from sscaffe.layer import TEST, Fusion, Layer
from sscaffe.net.step import Step
from sscaffe.tensor import Tensor
from sscaffe.weighted.base import Epilogue


@runtime_checkable
class Absorbing(Protocol):
    """A layer that can do what follows it."""

    blobs: list[Blob]
    absorbs: ClassVar[bool]  # False for a class that inherits all of this and computes otherwise

    @property
    def may_fold(self) -> bool:
        """Whether row i of its weights makes channel i of its top."""

    @property
    def holds_weights(self) -> bool:
        """Whether it has the weights in a form of its own and needs their blob no more."""

    def forward_with(
        self, bottom: Blob, weights: Blob, bias: Blob | None, top: Blob, epilogue: Epilogue
    ) -> None:
        """Set ``top.data`` by these weights."""


@dataclass(frozen=True)
class Chain:
    """Steps that run as one, by their places in the net."""

    places: tuple[int, ...]
    add: Blob | None  # the other bottom of a sum


class FusedStep:
    """A chain of layers as one step.

    Parameters
    ----------
    steps : sequence of Step
        The convolution or inner product, and what follows it.
    add : Blob, optional
        What a sum among them adds.
    """

    __slots__ = ("_bias", "_layer", "_made_from", "_weights", "affine", "epilogue", "steps")

    def __init__(self, steps: Sequence[Step], add: Blob | None) -> None:
        assert isinstance(steps[0].layer, Absorbing)
        self.steps = list(steps)
        self._layer = steps[0].layer
        kinds = [step.layer.fusion() for step in steps[1:]]
        pairs = zip(steps[1:], kinds, strict=True)
        self.affine = [step.layer for step, kind in pairs if kind is Fusion.AFFINE]
        self.epilogue = Epilogue(add, Fusion.RELU in kinds)
        self._weights: Blob | None = None
        self._bias: Blob | None = None
        self._made_from: list[tuple[Tensor, int]] = []

    @property
    def top(self) -> list[Blob]:
        """What the last of them makes."""
        return self.steps[-1].top

    @property
    def bottom(self) -> list[Blob]:
        """What they read."""
        add = self.epilogue.add
        return [*self.steps[0].bottom, *([] if add is None else [add])]

    def forward(self) -> float:
        """Run the layers; none of them is part of the loss."""
        for step in self.steps:
            step.settle()
        weights, bias = self.weights()
        self._layer.forward_with(self.steps[0].bottom[0], weights, bias, self.top[0], self.epilogue)
        return 0.0

    @property
    def needs_backward(self) -> bool:
        """Whether anything needs it to run backward."""
        return any(step.needs_backward for step in self.steps)

    def backward(self) -> None:
        """Run the layers backward, each by itself, as far as they need it."""
        for step in reversed(self.steps):
            step.backward()

    def take_sum(self, dying: Collection[int], sharing: "Sharing") -> None:
        """Let the top have the memory of what is added, if that is among the dying arrays."""
        add, bottom = self.epilogue.add, self.steps[0].bottom[0]
        if add is None:
            return
        if sharing.of(add) in dying and sharing.of(add) != sharing.of(bottom):
            self.epilogue = self.epilogue._replace(takes=True)

    def weights(self) -> tuple[Blob, Blob | None]:
        """Return weights and bias with what is affine folded into them."""
        own = self._layer.blobs
        if not self.affine:
            return own[0], own[1] if len(own) > 1 else None
        sources = [*own, *(blob for layer in self.affine for blob in layer.blobs)]
        made_from = [(blob.data_tensor, blob.data_version) for blob in sources]
        if made_from != self._made_from:
            self._fold(own)
            self._made_from = made_from
        assert self._weights is not None
        return self._weights, self._bias

    def _fold(self, own: Sequence[Blob]) -> None:
        xp, weights = own[0].xp, own[0].const_data
        rows = weights.shape[0]
        factor = xp.ones(rows, weights.dtype)
        shift = own[1].const_data if len(own) > 1 else xp.zeros(rows, weights.dtype)
        for layer in self.affine:
            times, plus = layer.channel_affine()
            factor, shift = factor * times, shift * times + plus
        if self._weights is None or self._bias is None:
            self._weights = Blob(own[0].shape, own[0].dtype, own[0].device)
            self._bias = Blob((rows,), own[0].dtype, own[0].device)
        self._weights.set_data(weights * factor.reshape(-1, *[1] * (weights.ndim - 1)))
        self._bias.set_data(shift)


class Sharing:
    """Which blobs of a net hold one array: those that Split, Reshape and the like make of one."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._parent: dict[int, int] = {}
        for step in steps:
            if step.layer.shares_data and step.bottom:
                for blob in step.top:
                    self._parent[id(blob)] = self.of(step.bottom[0])

    def of(self, blob: Blob) -> int:
        """Return a number that blobs of one array have in common."""
        return self._parent.get(id(blob), id(blob))


def find_chains(steps: Sequence[Step], kept: Collection[int] | None = None) -> list[Chain]:
    """Return the steps of a net that can run as one.

    Parameters
    ----------
    steps : sequence of Step
        All steps.
    kept : collection of int, optional
        The ids of blobs that somebody will read. By default everything that the prototxt names will
        be read, so that only layers that run in place are fused.
    """
    return list(_Finder(steps, kept).chains())


class _Finder:
    def __init__(self, steps: Sequence[Step], kept: Collection[int] | None) -> None:
        self._steps, self._kept = steps, kept
        self._sharing = Sharing(steps)
        self._uses: dict[int, list[int]] = {}  # places of the steps that touch a blob
        for place, step in enumerate(steps):
            for blob in {id(blob) for blob in (*step.bottom, *step.top)}:
                self._uses.setdefault(blob, []).append(place)
        self._taken: set[int] = set()

    def chains(self) -> Iterator[Chain]:
        for place, step in enumerate(self._steps):
            if place not in self._taken and _may_lead(step):
                chain = self._extended(place)
                if len(chain.places) > 1:
                    self._taken.update(chain.places)
                    yield chain

    def _extended(self, head: int) -> Chain:
        chain, done = Chain((head,), None), None
        layer = self._steps[head].layer
        assert isinstance(layer, Absorbing)
        while True:
            place = self._next(chain)
            if place is None:
                return chain
            step = self._steps[place]
            kind = step.layer.fusion()
            if not _may_follow(kind, done) or (kind is Fusion.AFFINE and not layer.may_fold):
                return chain
            top = self._steps[chain.places[-1]].top[0]
            others = [blob for blob in step.bottom if blob is not top]
            if len(others) != (kind is Fusion.SUM):
                return chain
            chain = Chain((*chain.places, place), others[0] if others else chain.add)
            done = kind

    def _next(self, chain: Chain) -> int | None:
        """Return the place of the only step that could go on with a chain."""
        last = chain.places[-1]
        top = self._steps[last].top[0]
        later = [place for place in self._uses[id(top)] if place > last]
        if not later or later[0] in self._taken or not _may_be_absorbed(self._steps[later[0]]):
            return None
        place = later[0]
        in_place = self._steps[place].top[0] is top
        if self._kept is None:
            return place if in_place and place == last + 1 else None
        if not in_place and (len(later) > 1 or id(top) in self._kept):
            return None
        return place if self._may_wait(chain.places[0], place) else None

    def _may_wait(self, head: int, place: int) -> bool:
        """Tell whether the head still finds its bottom as it was if it runs at `place`."""
        bottom = self._sharing.of(self._steps[head].bottom[0])
        between = self._steps[head + 1 : place]
        return not any(
            self._sharing.of(blob) == bottom
            for step in between
            if not step.layer.shares_data
            for blob in step.top
        )


def _may_lead(step: Step) -> bool:
    return (
        isinstance(step.layer, Absorbing)
        and step.layer.absorbs
        and step.layer.phase == TEST
        and len(step.bottom) == len(step.top) == 1
        and not step.losses
    )


def _may_be_absorbed(step: Step) -> bool:
    layer: Layer = step.layer
    return layer.phase == TEST and len(step.top) == 1 and not step.losses


def _may_follow(kind: Fusion | None, done: Fusion | None) -> bool:
    """Tell whether a kind may come after what a chain has done already."""
    if kind is Fusion.AFFINE:
        return done in (None, Fusion.AFFINE)
    if kind is Fusion.SUM:
        return done in (None, Fusion.AFFINE)
    return kind is Fusion.RELU and done is not Fusion.RELU
