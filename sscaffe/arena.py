"""Memory that tensors use one after the other, and memory that is put together from pieces."""

import weakref
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sscaffe import _core

Array = npt.NDArray[Any]

_ALIGNED = 16  # floats; where kernels like memory to start
_WHOLE = -1  # among the places of pieces


class Source(Protocol):
    """Where tensors take memory from."""

    @property
    def is_piece(self) -> bool:
        """Whether it may be a piece of a larger buffer, in some layouts."""

    def take(self, count: int, layout: "_core.Layout | None" = None) -> Array:
        """Return a buffer of `count` floats or more, of any content.

        Parameters
        ----------
        count : int
            Number of floats.
        layout : Layout, optional
            How values will lie in it; row-major by default.
        """

    def give_back(self, buffer: Array) -> None:
        """Let others use a buffer that `take` returned."""


class Arena:
    """Memory that tensors use one after the other.

    The buffers that are free serve whoever asks for as much or less, so a net whose tensors come
    and go in the same order every time soon allocates nothing more.
    """

    is_piece = False

    def __init__(self) -> None:
        self._free: list[Array] = []

    def take(self, count: int, layout: "_core.Layout | None" = None) -> Array:
        """See `Source.take`."""
        fitting = [buffer for buffer in self._free if buffer.size >= count]
        if fitting:
            chosen = min(fitting, key=lambda buffer: buffer.size)
        elif self._free:
            # Make room for the larger one.
            chosen = max(self._free, key=lambda buffer: buffer.size)
        if self._free:
            self._free = [buffer for buffer in self._free if buffer is not chosen]
        return chosen if fitting else _core.aligned_array(count, np.dtype(np.float32))

    def give_back(self, buffer: Array) -> None:
        """See `Source.give_back`."""
        self._free.append(buffer)

    def clear(self) -> None:
        """Let go of the buffers that are free."""
        self._free = []


class Joined:
    """Memory of what is put together along axis 1, pieces of which its parts may have.

    So a part that is written to its piece need not be copied. Where an array has more than one
    image, or a part asks for another layout, it gets memory elsewhere, as it would have without.

    Parameters
    ----------
    source : Source
        Where the memory comes from: a piece of something else, perhaps.
    arena : Arena
        Where other memory comes from.
    sizes : function
        Returns the elements of each part as its shape is now, or None if the parts would not lie
        one behind the other.
    """

    is_piece = False

    def __init__(
        self, source: Source, arena: Arena, sizes: Callable[[], Sequence[int] | None]
    ) -> None:
        self._source, self._arena, self._sizes = source, arena, sizes
        self.is_on = False  # whether parts get pieces
        self._buffer: Array | None = None  # as long as anybody has a piece of it
        self._made_for: Sequence[int] = ()
        # Whoever drops an array without giving it back has done with it too.
        self._taken: dict[int, weakref.ref[Array]] = {}

    def piece(self, place: int) -> "Piece":
        """Return where the part at `place` takes its memory from."""
        return Piece(self, place)

    def take(self, count: int, layout: "_core.Layout | None" = None) -> Array:
        """See `Source.take`; for the whole."""
        if self._source is not self._arena and not _lies_whole(layout):
            return self.take_elsewhere(count)
        return self.take_piece(_WHOLE, count)

    def give_back(self, buffer: Array) -> None:
        """See `Source.give_back`."""
        place = next((place for place, ref in self._taken.items() if ref() is buffer), None)
        if place is None:
            self._arena.give_back(buffer)
            return
        del self._taken[place]
        self._give_back_unused()

    def take_elsewhere(self, count: int) -> Array:
        """Return memory that is no piece."""
        return self._arena.take(count)

    def take_piece(self, place: int, count: int) -> Array:
        """Return the piece at `place`, or other memory if that cannot be."""
        self._give_back_unused()
        sizes = self._sizes() if self.is_on else None
        if sizes is None or (self._buffer is not None and sizes != self._made_for):
            return self.take_elsewhere(count)
        start, size = (0, sum(sizes)) if place == _WHOLE else (sum(sizes[:place]), sizes[place])
        if count != size or start % _ALIGNED or place in self._taken:
            return self.take_elsewhere(count)
        if self._buffer is None:
            self._buffer, self._made_for = self._source.take(sum(sizes)), sizes
        piece = self._buffer[start : start + size]
        self._taken[place] = weakref.ref(piece)
        return piece

    def _give_back_unused(self) -> None:
        self._taken = {place: ref for place, ref in self._taken.items() if ref() is not None}
        if self._buffer is not None and not self._taken:
            self._source.give_back(self._buffer)
            self._buffer = None


class Piece:
    """Where one part of what is `Joined` takes its memory from."""

    def __init__(self, joined: Joined, place: int) -> None:
        self._joined, self._place = joined, place

    @property
    def is_piece(self) -> bool:
        """See `Source.is_piece`."""
        return self._joined.is_on

    def take(self, count: int, layout: "_core.Layout | None" = None) -> Array:
        """See `Source.take`."""
        if _lies_whole(layout):
            return self._joined.take_piece(self._place, count)
        return self._joined.take_elsewhere(count)

    def give_back(self, buffer: Array) -> None:
        """See `Source.give_back`."""
        self._joined.give_back(buffer)


def _lies_whole(layout: "_core.Layout | None") -> bool:
    """Tell whether the channels of an image that follow each other lie in one piece."""
    return layout is None or layout.is_plain or layout.channel_block > 1
