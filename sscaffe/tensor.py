"""One array in up to two places, and a marker for which of them is fresh.

The places are the plain row-major array and oneDNN's own layout. Copies are made only when a stale
place is asked for. Only the kernels ask for the native place; everybody else sees plain arrays.
"""

import enum
import sys
import zlib
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from sscaffe import _core
from sscaffe.arena import Source
from sscaffe.errors import UnsupportedError
from sscaffe.kernels.tape import run

Array = npt.NDArray[Any]
Shape = tuple[int, ...]


class Fresh(enum.Enum):
    """Which place holds the value."""

    ZERO = 0  # nowhere: every element is 0
    PLAIN = 1
    NATIVE = 2
    BOTH = 3
    GONE = 4  # released


# Names of their own: looking a member up in its class takes ten times as long.
_ZERO, _PLAIN, _NATIVE, _BOTH, _GONE = Fresh


class Watched:
    """Tensors of which somebody wants to know cheaply that none was written to."""

    changes = 0  # of all of them; each counts after the version of its tensor does


class Tensor:
    """A value with a plain and a native place.

    Parameters
    ----------
    count : int
        Number of elements.
    dtype : dtype
        float32 in nets; float64 in gradient checks.
    xp : module
        The array module that holds the plain place.
    arena : Source, optional
        Where its memory comes from; memory of its own by default.

    Notes
    -----
    A plain array that somebody outside holds may be written to at any time, until he lets go of
    it. Such a tensor trusts its plain place over its native one, and `publish` brings the plain
    place up to date after kernels wrote to the native one. That somebody holds it shows in the
    number of references to the array.
    """

    __slots__ = (
        "_arena",
        "_buffers",
        "_checked_while_held",
        "_checksum",
        "_copied_while_held",
        "_fresh",
        "_has_settled",
        "_is_watched",
        "_native",
        "_plain",
        "_version",
        "_wraps",
        "count",
        "dtype",
        "xp",
    )

    def __init__(self, count: int, dtype: Any, xp: ModuleType, arena: Source | None = None) -> None:
        self.count, self.dtype, self.xp = count, np.dtype(dtype), xp
        self._fresh = _ZERO
        self._plain: Array | None = None
        self._native: _core.Memory | None = None
        self._wraps: dict[Shape, _core.Memory] = {}
        self._version = 0
        self._checksum = 0
        # Whether the plain array was held when the checksum, or the native copy, was made: if so
        # it may have been written to since.
        self._checked_while_held = self._copied_while_held = False
        self._has_settled = self._is_watched = False
        self._arena = arena
        self._buffers: list[Array] = []  # from the arena

    def read(self) -> Array:
        """Return the plain array, flat, to be read only."""
        if self._fresh is _ZERO:
            self._plain_array()[...] = 0
            self._fresh = _PLAIN
        elif self._fresh is _NATIVE:
            assert self._native is not None
            run(self._native.copy_to, self._wrap((self.count,)))
            self._are_both_fresh()
        elif self._fresh is _GONE:
            raise UnsupportedError(
                "data: Net.compact() has let go of it; name a blob in its keep, and read or "
                "save weights before it, as those that a kernel squeezed are gone"
            )
        return self._plain_array()

    def release(self) -> None:
        """Let go of the memory; the value is gone until somebody writes another one."""
        self._drop()
        self._fresh = _GONE
        self._checked_while_held = self._copied_while_held = False

    def keep_native_only(self) -> None:
        """Let go of the plain place if the value is in the native one too and nobody holds it."""
        if self._native is not None and self._fresh is _BOTH and self._native_is_fresh():
            self._plain, self._wraps, self._fresh = None, {}, _NATIVE

    def write(self) -> Array:
        """Return the plain array, flat, to be read and written."""
        plain = self.read()
        self._fresh = _PLAIN
        self._changed()
        return plain

    def overwrite(self) -> Array:
        """Return the plain array, flat, every element of which the caller will set."""
        self._fresh = _PLAIN
        self._changed()
        return self._plain_array()

    host_read, host_write, host_overwrite = read, write, overwrite

    def clear(self) -> None:
        """Set every element to 0, without touching memory until somebody looks."""
        self._fresh = _ZERO
        self._changed()
        if self._is_held():
            self.read()

    @property
    def is_passing(self) -> bool:
        """Whether the memory will be used again for other tensors, so that none may keep it."""
        return self._arena is not None

    @property
    def is_piece(self) -> bool:
        """Whether it may lie in another tensor's memory, if its layout has whole channels."""
        return self._arena is not None and self._arena.is_piece

    def may_take_from(self, other: "Tensor") -> bool:
        """Tell whether `take_from` may take the memory of another tensor."""
        return self is not other and self._arena is not None and self._arena is other._arena

    @property
    def is_zero(self) -> bool:
        """Whether `clear` was called and nothing was written since."""
        return self._fresh is _ZERO

    @property
    def version(self) -> int:
        """A number that changes whenever the value may have changed."""
        held = self._is_held()
        if (held or self._checked_while_held) and self._fresh is not _NATIVE:
            self._checked_while_held = held
            checksum = zlib.crc32(self.read().data.cast("B"))
            if checksum != self._checksum:
                self._checksum = checksum
                self._changed()
        return self._version

    def memory(self, shape: Shape) -> "_core.Memory":
        """Return the value for a oneDNN kernel to read, in whatever layout it is."""
        native = self._native
        if native is not None and (self._fresh is _NATIVE or self._native_is_fresh()):
            return native
        self.read()
        return self._wrap(shape)

    def memory_as(self, layout: "_core.Layout", shape: Shape) -> "_core.Memory":
        """Return the value in `layout`, to be read only; later readers find it there too."""
        if layout.is_plain:
            self.read()
            return self._wrap(shape)
        if self._fresh is _ZERO and self._arena is None and not self._is_held():
            self._native, self._fresh = _core.Memory(layout), _NATIVE
            return self._native
        current = self.memory(shape)
        if current.layout == layout:
            return current
        moved = self._native
        if moved is None or moved is current or moved.layout != layout:
            moved = self._new_memory(layout)
        run(current.copy_to, moved)
        self._native = moved
        if self._fresh is _PLAIN:
            self._are_both_fresh()
        else:
            self._fresh = _NATIVE
        return moved

    def settle(self, layout: "_core.Layout", shape: Shape) -> "_core.Memory":
        """Do as `memory_as` for a value that kernels will go on using in `layout`.

        The plain place is let go of, unless somebody holds it or has asked for it again since.
        """
        if self._fresh is _NATIVE or self._has_settled or layout.is_plain:
            return self.memory_as(layout, shape)
        self._has_settled = True
        # Once it is native nobody looks for what was written to a held array since.
        if self._checked_while_held:
            self._changed()
        if self._fresh is _BOTH or self._arena is not None or self.xp is not np or self._is_held():
            memory = self.memory_as(layout, shape)
            self.keep_native_only()
            return memory
        self.read()
        source, self._native = self._wrap(shape), None
        self._native = self._new_memory(layout)
        # Not for a tape: the values are there from now on.
        source.move_to(self._native)
        self._plain, self._wraps = None, {}
        self._fresh = _NATIVE
        return self._native

    def memory_in(self, layout: "_core.Layout", shape: Shape) -> "_core.Memory":
        """Return the value in `layout`, to be read and written in place."""
        memory = self.memory_as(layout, shape)
        self._written_to(memory)
        return memory

    def output(self, layout: "_core.Layout | None", shape: Shape) -> "_core.Memory":
        """Return memory in `layout`, every element of which the kernel will set.

        None, or a plain layout, stands for the plain array.
        """
        if layout is None or layout.is_plain:
            self._plain_array()
            memory = self._wrap(shape)
        else:
            if self._native is None or self._native.layout != layout:
                self._native = self._new_memory(layout)
            memory = self._native
        self._written_to(memory)
        return memory

    @property
    def is_plain(self) -> bool:
        """Whether the value is in the plain place, so that it costs nothing to read there."""
        return self._fresh is not _NATIVE

    def alias(self) -> "Tensor":
        """Return a tensor of the same value that moves it to other layouts by itself."""
        if self._fresh is not _NATIVE:
            self.read()
        other = Tensor(self.count, self.dtype, self.xp)
        if self._fresh is _NATIVE:
            other._native, other._fresh = self._native, _NATIVE
        else:
            other._plain, other._fresh = self._plain, _PLAIN
        return other

    def exchange(self, memory: "_core.Memory") -> "_core.Memory":
        """Take over `memory`, which a kernel will set, for the native value, and return that one.

        Only where the value is native, of the same layout, and not from an arena.
        """
        previous = self._native
        assert previous is not None, "exchange of a plain value"
        assert self._arena is None, "exchange of memory that belongs to an arena"
        self._native = memory
        self._written_to(memory)
        return previous

    def take_from(self, other: "Tensor") -> None:
        """Take over the memory of another tensor of the arena, whose value is lost there."""
        assert self.may_take_from(other), "take_from of memory from elsewhere"
        self._drop()
        self._plain, self._native, self._wraps = other._plain, other._native, other._wraps
        self._buffers, other._buffers = other._buffers, []
        self._fresh = other._fresh
        self._copied_while_held = other._copied_while_held
        self._changed()
        other.release()

    @property
    def fresh(self) -> Fresh:
        """Which place holds the value."""
        return self._fresh

    def set_fresh(self, fresh: Fresh, native: "_core.Memory | None" = None) -> None:
        """Say which place, or which memory, holds the value, set by a kernel that went past it."""
        self._fresh = fresh
        if native is not None:
            self._native = native
        if fresh is _BOTH:
            self._are_both_fresh()
        self._changed()

    @property
    def is_held(self) -> bool:
        """Whether somebody outside holds the plain array."""
        return self._is_held()

    def publish(self) -> None:
        """Bring plain arrays that somebody outside still holds up to date."""
        if self._fresh is _NATIVE and self._is_held():
            self.read()

    def watch(self) -> None:
        """Count changes in `Watched` from now on, and that a blob has another tensor instead."""
        self._is_watched = True

    def leave(self) -> None:
        """Hear that a blob has another tensor instead."""
        if self._is_watched:
            Watched.changes += 1

    def _changed(self) -> None:
        self._version += 1
        if self._is_watched:
            Watched.changes += 1

    def _written_to(self, memory: "_core.Memory") -> None:
        self._fresh = _NATIVE if memory is self._native else _PLAIN
        self._changed()

    def _native_is_fresh(self) -> bool:
        if self._fresh is _BOTH and (self._copied_while_held or self._is_held()):
            self._fresh = _PLAIN
            self._changed()
        return self._fresh is _NATIVE or self._fresh is _BOTH

    def _are_both_fresh(self) -> None:
        self._fresh = _BOTH
        self._copied_while_held = self._is_held()

    def _is_held(self) -> bool:
        if self._plain is None or self.xp is not np:
            return False
        return self._references() > _OWN_REFERENCES

    def _references(self) -> int:
        """Count the references to the plain array, less those of its wraps."""
        return sys.getrefcount(self._plain) - len(self._wraps)

    def _new_memory(self, layout: "_core.Layout") -> "_core.Memory":
        if self._arena is None:
            return _core.Memory(layout, _core.aligned_array(layout.stored, self.dtype))
        return _core.Memory(layout, self._take(layout.stored, layout))

    def _take(self, count: int, layout: "_core.Layout | None" = None) -> Array:
        assert self._arena is not None
        self._buffers.append(self._arena.take(count, layout))
        return self._buffers[-1]

    def _drop(self) -> None:
        self._plain, self._native, self._wraps = None, None, {}
        if self._arena is not None:
            for buffer in self._buffers:
                self._arena.give_back(buffer)
        self._buffers = []

    def _plain_array(self) -> Array:
        if self._plain is None and self._arena is not None:
            self._plain = self._take(self.count)[: self.count]
        if self._plain is None:
            self._plain = (
                _core.aligned_array(self.count, self.dtype)
                if self.xp is np
                else self.xp.empty(self.count, self.dtype)
            )
        return self._plain

    def _wrap(self, shape: Shape) -> "_core.Memory":
        wrap = self._wraps.get(shape)
        if wrap is None:
            wrap = self._wraps[shape] = _core.Memory(self._plain_array(), shape)
        return wrap


def _count_own_references() -> int:
    """Count the references to a plain array that nobody outside holds, in this interpreter."""
    tensor = Tensor(1, np.float32, np)
    tensor.overwrite()
    return tensor._references()


_OWN_REFERENCES = _count_own_references()
