"""Telling convolutions who reads what they make."""

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

from sscaffe.net.step import Step

# Layers that run faster in the layout of dense convolutions than in the plain one.
_FASTER_NATIVE = ("BatchNorm", "Concat", "Eltwise", "LRN", "Pooling")


@runtime_checkable
class HandsOn(Protocol):
    """A layer that may make its top in one layout or another."""

    def hand_on_native(self) -> None:
        """Know that who reads the top is faster where it is in the layout of dense kernels."""


@runtime_checkable
class Repeated(Protocol):
    """A layer for which it matters if a compact net runs it."""

    def be_repeated(self) -> None:
        """Know that a compact net runs it from now on."""


def tell_readers(steps: Sequence[Step]) -> None:
    """Tell each convolution if a layer that is faster in the dense layout reads its top."""
    for place, step in enumerate(steps):
        if isinstance(step.layer, HandsOn) and step.top_ids:
            types = _reader_types(steps, place, step.top_ids[0])
            if any(kind in _FASTER_NATIVE for kind in types):
                step.layer.hand_on_native()


def _reader_types(steps: Sequence[Step], place: int, blob: int) -> Iterator[str]:
    """Yield the types of the layers that read a blob; those in place hand it on."""
    for i in range(place + 1, len(steps)):
        step = steps[i]
        if blob not in step.bottom_ids:
            continue
        if step.layer.type == "Split":
            for top in step.top_ids:
                yield from _reader_types(steps, i, top)
        else:
            yield step.layer.type
