"""Having the next batch on the device before it is asked for."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sscaffe.data.prefetch import Batch
from sscaffe.kernels import Feed

Array = npt.NDArray[Any]


@dataclass
class Ready:
    """A batch on its way to the device."""

    shape: tuple[int, ...]
    labels: int  # how many
    copy_images: Callable[[Array], None]
    copy_labels: Callable[[Array], None]
    state: dict[str, Any]  # the place of the batch after this one


class Lookahead:
    """A thread that transforms the next batch and copies it while the net computes.

    Parameters
    ----------
    make : callable
        Returns the next batch and the place of the one after it.
    shape_of, transform : callable
        Those of the reader; see `sscaffe.layer_types.prefetched.Reader`.
    give_back : callable
        Is told of each batch that was transformed.
    images, labels : Feed
        Ways to the device.
    dtype : dtype
        Of the blobs.
    """

    def __init__(
        self,
        make: Callable[[], tuple[Batch, dict[str, Any]]],
        shape_of: Callable[[Batch], tuple[int, ...]],
        transform: Callable[[Batch, Array], None],
        give_back: Callable[[Batch], None],
        feeds: tuple[Feed, Feed],
        dtype: Any,
    ) -> None:
        self._make, self._shape_of, self._transform = make, shape_of, transform
        self._give_back, self._feeds, self._dtype = give_back, feeds, np.dtype(dtype)
        self._thread = ThreadPoolExecutor(1, "lookahead")
        self._next: Future[Ready] | None = None

    def get(self) -> Ready:
        """Return the next batch; its error, if it has one, is raised here each time."""
        if self._next is None:
            self._next = self._thread.submit(self._prepare)
        return self._next.result()

    def go_on(self) -> None:
        """Start on the batch after the one that was got."""
        self._next = self._thread.submit(self._prepare)

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _prepare(self) -> Ready:
        batch, state = self._make()
        shape, labels = self._shape_of(batch), np.asarray(batch.labels, self._dtype)
        images, others = self._feeds
        copy_images = images.stage(shape, self._dtype, lambda out: self._fill(batch, out))
        copy_labels = others.stage(labels.shape, self._dtype, lambda out: np.copyto(out, labels))
        self._give_back(batch)
        return Ready(shape, len(labels), copy_images, copy_labels, state)

    def _fill(self, batch: Batch, out: Array) -> None:
        if self._dtype == np.float32:
            self._transform(batch, out)
            return
        images = np.empty(out.shape, np.float32)
        self._transform(batch, images)
        out[...] = images
