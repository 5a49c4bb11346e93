"""Letting the bottoms of a Concat lie in its top from the start, so that nothing is copied."""

import math
from collections.abc import Callable, Collection, Sequence
from typing import Protocol, runtime_checkable

from sscaffe.arena import Arena, Joined, Source
from sscaffe.blob import Blob
from sscaffe.net.fusion import Sharing
from sscaffe.net.step import Step


@runtime_checkable
class Joining(Protocol):
    """A layer that may put its bottoms together along axis 1."""

    @property
    def joins_channels(self) -> bool:
        """Whether the bottoms of one image are pieces of the top, one after the other."""


def sources(
    steps: Sequence[Step], sharing: Sharing, kept: Collection[int], arena: Arena
) -> dict[int, Source]:
    """Return where arrays take their memory from that are joined, or are made of joined ones.

    Parameters
    ----------
    steps : sequence of Step
        All steps.
    sharing : Sharing
        Which blobs hold one array.
    kept : collection of int
        Arrays that have memory of their own.
    arena : Arena
        Where the others take theirs from.
    """
    found: dict[int, Source] = {}
    # What is joined last comes first: a part of it may be joined itself.
    for place in reversed(range(len(steps))):
        step = steps[place]
        if not isinstance(step.layer, Joining) or not step.layer.joins_channels:
            continue
        whole = sharing.of(step.top[0])
        if whole in kept:
            continue
        # What is read later would have to be there still, whatever becomes of the top.
        later = {sharing.of(b) for after in steps[place + 1 :] for b in (*after.bottom, *after.top)}
        joined = Joined(found.get(whole, arena), arena, _sizes_of(step.bottom))
        found[whole] = joined
        for i, blob in enumerate(step.bottom):
            array = sharing.of(blob)
            if array not in kept and array not in later and array not in found:
                found[array] = joined.piece(i)
    return found


def _sizes_of(parts: Sequence[Blob]) -> Callable[[], Sequence[int] | None]:
    def sizes() -> Sequence[int] | None:
        shapes = [blob.shape for blob in parts]
        if any(len(shape) < 2 or shape[0] != 1 or 0 in shape for shape in shapes):
            return None
        return [math.prod(shape) for shape in shapes]

    return sizes
