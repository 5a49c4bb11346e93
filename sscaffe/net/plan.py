"""In which units a net runs forward: single layers, and chains of layers that run in one pass."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sscaffe import machine
from sscaffe.arena import Arena, Joined
from sscaffe.blob import Blob
from sscaffe.errors import UnsupportedError
from sscaffe.layer import TEST
from sscaffe.net import joining
from sscaffe.net.fusion import Absorbing, FusedStep, Sharing, find_chains
from sscaffe.net.layouts import Repeated, tell_readers
from sscaffe.net.norm_step import NormStep, find_norm_steps
from sscaffe.net.step import Step


@dataclass
class Unit:
    """What runs at once."""

    step: Step | FusedStep | NormStep
    places: tuple[int, ...]  # of its layers in the net
    dying: list[Blob] = field(default_factory=list)  # blobs that nobody reads after it
    has_dropped: bool = False  # the weights that it needs no more

    def forward(self) -> Any:
        """Run it, and let go of what nobody reads any more; return its part of the loss."""
        loss = self.step.forward()
        for blob in self.dying:
            blob.data_tensor.release()
        return loss


class Plan:
    """The units of a net, in the order in which they run.

    Parameters
    ----------
    steps : sequence of Step
        The layers.
    phase : int
        Of the net.
    kept : sequence of Blob, optional
        The blobs that somebody will read. Then the others may be left out, and their memory is used
        again for later ones. By default all will be read.
    singly : bool
        Each layer is to run by itself.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        phase: int,
        kept: Sequence[Blob] | None = None,
        *,
        singly: bool = False,
    ) -> None:
        self._steps = steps
        self.is_compact = kept is not None
        ids = None if kept is None else {id(blob) for blob in kept}
        chained: list[Unit] = []
        if phase == TEST and not singly:
            tell_readers(steps)
            for chain in find_chains(steps, ids):
                fused = FusedStep([steps[place] for place in chain.places], chain.add)
                chained.append(Unit(fused, chain.places))
        elif not singly:
            chained = [Unit(step, places) for step, places in find_norm_steps(steps)]
        taken = {place for unit in chained for place in unit.places}
        units = [Unit(step, (i,)) for i, step in enumerate(steps) if i not in taken]
        units.extend(chained)
        self.units = sorted(units, key=lambda unit: unit.places[-1])
        if self.is_compact:
            for step in steps:
                if isinstance(step.layer, Repeated):
                    step.layer.be_repeated()
        self._arena = Arena()
        self._joined: list[Joined] = []
        # CuPy's pool gives memory again by itself.
        if ids is not None and all(step.layer.device.is_cpu for step in steps):
            self._share_memory(ids, self._arena)

    @property
    def may_join(self) -> bool:
        """Whether there are layers whose bottoms may be made in their top."""
        return bool(self._joined)

    def join(self, wanted: bool) -> None:
        """Let bottoms be made in the top that they are joined to, or not; not by default."""
        for joined in self._joined:
            joined.is_on = wanted

    def forget_memory(self) -> None:
        """Let go of what was kept for later passes, as those will need other sizes."""
        self._arena.clear()

    def between(self, first: int, last: int, *, singly: bool = False) -> list[Unit]:
        """Return the units of the layers from `first` to `last`; a chain that is cut is split.

        With `singly`, those of TRAIN are all split.

        Raises
        ------
        UnsupportedError
            If the range cuts through a chain and the blobs within it are gone.
        """
        if first == 0 and last == len(self._steps) - 1 and not singly:
            return self.units
        chosen: list[Unit] = []
        for unit in self.units:
            inside = [place for place in unit.places if first <= place <= last]
            if len(inside) == len(unit.places) and not (singly and isinstance(unit.step, NormStep)):
                chosen.append(Unit(unit.step, unit.places))
            elif inside and self.is_compact:
                names = ", ".join(repr(self._steps[place].layer.name) for place in unit.places)
                raise UnsupportedError(
                    f"forward: {names} run as one since compact(); start and end outside of them"
                )
            else:
                if inside and isinstance(unit.step, NormStep):
                    unit.step.split()
                chosen.extend(Unit(self._steps[place], (place,)) for place in inside)
        return chosen

    def backward(self, first: int, last: int, *, singly: bool = False) -> list[Unit]:
        """Return what runs backward of the layers from `first` to `last`, from the back."""
        return self.between(first, last, singly=singly)[::-1]

    def folded(self) -> list[FusedStep]:
        """Return the fused steps that leave out what a backward pass needs."""
        return [
            unit.step
            for unit in self.units
            if isinstance(unit.step, FusedStep) and unit.step.affine
        ]

    def drop_weights(self, unit: Unit) -> None:
        """Let go of weights that a kernel, which has run, holds in a form of its own."""
        if unit.has_dropped:
            return
        unit.has_dropped = True
        self._drop_weights(unit)
        if unit is self.units[-1]:
            machine.give_back_memory()

    def _drop_weights(self, unit: Unit) -> None:
        layer = self._steps[unit.places[0]].layer
        if not isinstance(layer, Absorbing) or not layer.blobs:
            return
        used = layer.blobs[0]
        if isinstance(unit.step, FusedStep) and unit.step.affine:
            used.data_tensor.release()
            used, _ = unit.step.weights()
        if layer.holds_weights:
            used.data_tensor.release()
        else:
            used.data_tensor.keep_native_only()

    def _share_memory(self, kept: set[int], arena: Arena) -> None:
        """Let blobs that nobody will read take their memory from the arena, and give it back."""
        sharing = Sharing(self._steps)
        # What comes from nowhere may have been made for good, as constants are and weights.
        keep = {
            sharing.of(blob)
            for step in self._steps
            for blob in step.top
            if id(blob) in kept or not step.bottom
        }
        seen: set[int] = set()
        for unit in reversed(self.units):
            for blob in (*unit.step.bottom, *unit.step.top):
                array = sharing.of(blob)
                if array not in keep and array not in seen:
                    unit.dying.append(blob)
                seen.add(array)
        for unit in self.units:
            if isinstance(unit.step, FusedStep):
                unit.step.take_sum({sharing.of(blob) for blob in unit.dying}, sharing)
        sources = joining.sources(self._steps, sharing, keep, arena)
        self._joined = [source for source in sources.values() if isinstance(source, Joined)]
        for step in self._steps:
            for blob in step.top:
                array = sharing.of(blob)
                if array not in keep:
                    blob.draw_from(sources.get(array, arena))
