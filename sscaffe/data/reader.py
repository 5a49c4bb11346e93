"""BatchReader: batches of images from a source, from any place in it, and what becomes of them."""

import base64
from typing import Any, Protocol

import numpy.typing as npt

from sscaffe.data.prefetch import Batch
from sscaffe.data.sources import Images
from sscaffe.data.transformer import DataTransformer

Array = npt.NDArray[Any]


class Source(Protocol):
    """Images with labels, over and over."""

    def load(self) -> bool:
        """Read everything if it is small enough; return whether it is in memory now."""

    def read(self, count: int) -> tuple[Images, Array]:
        """Return the next images and labels."""

    def state(self) -> dict[str, Any]:
        """Return the place of the next record; JSON can hold it."""

    def restore(self, state: dict[str, Any]) -> None:
        """Go to a place that `state` returned."""

    def skip(self, count: int) -> None:
        """Leave out the next records."""


class BatchReader:
    """Read the images of a source, a batch at a time, and transform them.

    A batch holds images as they are stored, with the random numbers for their transformation:
    that costs less than the copy to the top which it saves.

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
        self._rank, self._ranks = 0, 1

    def shard(self, rank: int, size: int) -> None:
        """Read, of each `size` batches, the one with this number.

        The others are left out, with their random numbers: a record is transformed as it would be
        where all batches are read.
        """
        self._rank, self._ranks = rank, size

    def fill(self, batch: Batch) -> None:
        """Read the next batch, and set its state.

        Raises
        ------
        DataError
            If a record cannot be read.
        """
        self.read(batch)
        batch.state = self.state()

    def load(self) -> bool:
        """Read everything if it is small enough; return whether it is in memory now."""
        return self._source.load()

    def read(self, batch: Batch) -> None:
        """Do as `fill`, but set no state, which takes longer than reading from memory."""
        self._leave_out(self._rank)
        batch.images, batch.labels = self._source.read(self._batch_size)
        batch.draws = self._transformer.draw(len(batch.images))
        self._leave_out(self._ranks - 1 - self._rank)

    def _leave_out(self, batches: int) -> None:
        if batches:
            self._source.skip(batches * self._batch_size)
            self._transformer.draw(batches * self._batch_size)

    def shape_of(self, batch: Batch) -> tuple[int, ...]:
        """Return the shape (N, C, H, W) of a batch when it is transformed.

        Raises
        ------
        ShapeError
            If the first image does not fit the transformation.
        """
        return (len(batch.images), *self._transformer.output_shape(batch.images[0].shape))

    def transform(self, batch: Batch, out: Array) -> None:
        """Transform the images of a batch.

        Parameters
        ----------
        batch : Batch
            As `fill` left it.
        out : ndarray of float32, shape (N, C, H, W)
            Overwritten.

        Raises
        ------
        ShapeError
            If the images do not fit the transformation or, where they are not cropped, each other.
        """
        self._transformer.apply(batch.images, batch.draws, out)

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
