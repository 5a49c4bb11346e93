"""Reading ahead: a thread fills batches while the net computes."""

import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass
class Batch:
    """Images as they are stored, and what goes with them."""

    images: Array | Sequence[Array] = ()
    labels: Array | Sequence[float] = ()
    draws: Array = field(default_factory=lambda: np.empty((0, 0)))  # a row for each image
    state: dict[str, Any] = field(default_factory=dict)  # the place of the batch after this one


class Prefetcher:
    """A bounded queue of batches that one thread fills, in order.

    Parameters
    ----------
    fill : callable
        Called in the thread, with a batch to be set; it may hold what an earlier one held.
    depth : int
        How many batches there are.

    Notes
    -----
    The thread holds no reference to the prefetcher, so that it ends with it.
    """

    def __init__(self, fill: Callable[[Batch], None], depth: int) -> None:
        self._free: SimpleQueue[Batch | None] = SimpleQueue()
        self._full: SimpleQueue[Batch | Exception] = SimpleQueue()
        self._error: Exception | None = None
        for _ in range(depth):
            self._free.put(Batch())
        self._end = weakref.finalize(self, self._free.put, None)
        self._thread = threading.Thread(
            target=_fill_all, args=(fill, self._free, self._full), name="prefetch", daemon=True
        )
        self._thread.start()

    def get(self) -> Batch:
        """Return the next batch, to be given back when it has been read.

        Raises
        ------
        Exception
            What `fill` raised, where it belongs among the batches and in every later call.
        """
        if self._error is None:
            item = self._full.get()
            if isinstance(item, Batch):
                return item
            self._error, self._traceback = item, item.__traceback__
            self._notes = list(getattr(item, "__notes__", ()))
        # Whoever caught it before added notes, and a traceback of his own.
        self._error.__notes__ = list(self._notes)
        raise self._error.with_traceback(self._traceback)

    def give_back(self, batch: Batch) -> None:
        """Let the thread fill a batch again."""
        self._free.put(batch)

    def close(self) -> None:
        """End the thread, and wait until it has ended."""
        self._end()
        self._thread.join()


def _fill_all(
    fill: Callable[[Batch], None],
    free: "SimpleQueue[Batch | None]",
    full: "SimpleQueue[Batch | Exception]",
) -> None:
    while (batch := free.get()) is not None:
        try:
            fill(batch)
        except Exception as error:
            full.put(error)
            return
        full.put(batch)
