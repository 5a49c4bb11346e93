"""The part of the contract that is about the device itself: its name, its time, recordings."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy.typing as npt

Array = npt.NDArray[Any]


class Feed(Protocol):
    """A way for arrays of the host to the device, while it computes."""

    def stage(
        self, shape: tuple[int, ...], dtype: Any, fill: Callable[[Array], None]
    ) -> Callable[[Array], None]:
        """Let `fill` set an array of the host, and start to copy it.

        Returns
        -------
        callable
            Sets an array of the device, of as many elements. The array after the next one takes
            its memory, so it is to be called before that is staged. Any thread may call `stage`.
        """


class Running(Protocol):
    """How a device runs what it is asked for."""

    def place(self) -> str:
        """Return a name for this device: what was timed on one holds for all of that name."""

    def synchronize(self) -> None:
        """Wait until the device has done all that it was given."""

    def elapsed(self, functions: Sequence[Callable[[], None]], rounds: int) -> list[float]:
        """Return the median time of each function in ms; they take turns, `rounds` times."""

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Return what asks the device again for all that `work` asks for.

        `work` is called once, and nothing of it is done yet.

        Raises
        ------
        UnsupportedError
            If the device cannot record, or `work` waited for it or copied to the host.
        """

    def read_later(self, number: Any) -> Callable[[], float]:
        """Start to copy an array () to the host; return what waits for it and returns it."""

    def feed(self) -> Feed:
        """Return a way to the device.

        Raises
        ------
        UnsupportedError
            If the device is the host.
        """
