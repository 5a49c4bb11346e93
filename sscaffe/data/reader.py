"""BatchReader: batches of transformed images from a source, from any place in it."""

import base64
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sscaffe.data.prefetch import Batch
from sscaffe.data.sources import Images
from sscaffe.data.transformer import DataTransformer

Array = npt.NDArray[Any]


class Source(Protocol):
    """Images with labels, over and over."""

    def read(self, count: int) -> tuple[Images, Array]:
        """Return the next images and labels."""

    def state(self) -> dict[str, Any]:
        """Return the place of the next record; JSON can hold it."""

    def restore(self, state: dict[str, Any]) -> None:
        """Go to a place that `state` returned."""


class BatchReader:
    """Read and transform the images of a source, a batch at a time.

    Parameters
    ----------
    source : Source
        Where the images come from.
    transformer : DataTransformer
        What becomes of them.
    batch_size : int
        Images in a batch.
    """

    def __init__(self, source: Source, transformer: DataTransformer, batch_size: int) -> None:
        self._source, self._transformer, self._batch_size = source, transformer, batch_size

    def fill(self, batch: Batch) -> None:
        """Set the arrays of a batch, data (N, C, H, W) and labels (N,), and its state.

        Raises
        ------
        DataError
            If a record cannot be read.
        ShapeError
            If the images do not fit the transformation or, where they are not cropped, each other.
        """
        images, labels = self._source.read(self._batch_size)
        shape = (len(images), *self._transformer.output_shape(images[0].shape))
        if not batch.arrays or batch.arrays[0].shape != shape:
            batch.arrays = [np.empty(shape, np.float32), np.empty(len(images), np.float32)]
        self._transformer.transform(images, batch.arrays[0])
        batch.arrays[1][...] = labels
        batch.state = self.state()

    def state(self) -> dict[str, Any]:
        """Return the place of the next batch; JSON can hold it."""
        state = dict(self._source.state())
        if self._transformer.rng is not None:
            state["random"] = base64.b64encode(self._transformer.rng.get_state()).decode()
        return state

    def restore(self, state: dict[str, Any]) -> None:
        """Go to a place that `state` returned.

        Raises
        ------
        DataError
            If the source has no such place.
        """
        self._source.restore(state)
        if self._transformer.rng is not None and "random" in state:
            self._transformer.rng.set_state(base64.b64decode(state["random"]))
