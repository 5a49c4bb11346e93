"""What layers have in common whose batches come from files."""

from typing import Any, Protocol

import numpy as np

from sscaffe.blob import Array, Blob
from sscaffe.data.lookahead import Lookahead
from sscaffe.data.prefetch import Batch, Prefetcher
from sscaffe.layer import Layer
from sscaffe.proto import caffe_pb2


class Closable(Protocol):
    """Where images come from."""

    def close(self) -> None:
        """Let go of files."""


class Reader(Protocol):
    """Makes batches, from any place in a source; `sscaffe.data.reader.BatchReader` is one."""

    def load(self) -> bool:
        """Read everything if it is small enough; return whether it is in memory now."""

    def read(self, batch: Batch) -> None:
        """Set all of a batch but its state."""

    def fill(self, batch: Batch) -> None:
        """Set all of a batch."""

    def shape_of(self, batch: Batch) -> tuple[int, ...]:
        """Return the shape (N, C, H, W) of a batch when it is transformed."""

    def transform(self, batch: Batch, out: Array) -> None:
        """Transform the images of a batch into an array of float32."""

    def shard(self, rank: int, size: int) -> None:
        """Read, of each `size` batches, the one with this number."""

    def state(self) -> dict[str, Any]:
        """Return the place of the next batch; JSON can hold it."""

    def restore(self, state: dict[str, Any]) -> None:
        """Go to a place that `state` returned."""


class PrefetchedLayer(Layer):
    """A layer whose batches are read ahead in a thread, or lie in memory if they are few.

    `setup` has to call `begin`.

    Tops: data ``(N, C, H, W)`` and, if there are two, label ``(N,)``.
    """

    num_bottom = 0
    min_top = 1
    max_top = 2
    uses_host = True

    # Set by `setup`, which an error may end before.
    _source: Closable | None = None
    _prefetcher: Prefetcher | None = None
    _ahead: Lookahead | None = None
    _batch: Batch | None = None
    _state: dict[str, Any] | None = None  # of the next batch; None where the reader is there

    def begin(self, source: Closable, reader: Reader, depth: int) -> None:
        """Set where batches come from, and how many are read ahead."""
        self._source, self._reader, self._depth = source, reader, depth
        self._state = reader.state()

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Keep the shapes: each batch sets its own."""

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Transform the next batch into the tops."""
        if not self.device.is_cpu:
            self._forward_ahead(top)
            return
        # A batch that does not fit is kept, so that another try ends in the same error.
        batch = self._batch = self._batch or self._next()
        self._set_tops(batch, top)
        self._batch = None
        if self._prefetcher is not None:
            self._state = batch.state
            self._prefetcher.give_back(batch)

    def _forward_ahead(self, top: list[Blob]) -> None:
        """Take the batch that is on the device already, and start on the next one."""
        ahead = self._ahead = self._ahead or self._look_ahead()
        ready = ahead.get()
        top[0].reshape(*ready.shape)
        ready.copy_images(top[0].new_data())
        for blob in top[1:]:
            blob.reshape(ready.labels)
            ready.copy_labels(blob.new_data())
        self._state = ready.state
        ahead.go_on()

    def _look_ahead(self) -> Lookahead:
        reader, feeds = self._reader, (self.kernels.feed(), self.kernels.feed())
        return Lookahead(
            self._next_and_state, reader.shape_of, reader.transform, self._done, feeds, self.dtype
        )

    def _next_and_state(self) -> tuple[Batch, dict[str, Any]]:
        batch = self._next()
        return batch, batch.state if self._prefetcher is not None else self._reader.state()

    def _done(self, batch: Batch) -> None:
        if self._prefetcher is not None:
            self._prefetcher.give_back(batch)

    def _next(self) -> Batch:
        if self._prefetcher is None:
            if self._reader.load():
                # Waking a thread takes longer than reading. All images fit, as they are alike.
                batch = Batch()
                self._state = None if self.device.is_cpu else self._state
                self._reader.read(batch)
                return batch
            self._prefetcher = Prefetcher(self._reader.fill, self._depth)
        return self._prefetcher.get()

    def _set_tops(self, batch: Batch, top: list[Blob]) -> None:
        top[0].reshape(*self._reader.shape_of(batch))
        self._set_images(batch, top[0])
        for blob in top[1:]:
            blob.reshape(len(batch.labels))
            blob.set_data(batch.labels)

    def _set_images(self, batch: Batch, top: Blob) -> None:
        if top.dtype == np.float32:
            self._reader.transform(batch, top.data_tensor.host_overwrite().reshape(top.shape))
            return
        images = np.empty(top.shape, np.float32)
        self._reader.transform(batch, images)
        top.set_data(images)

    def shard(self, rank: int, size: int) -> None:
        """Read, of each `size` batches, the one with this number."""
        self._reader.shard(rank, size)

    @property
    def record_count(self) -> int:
        """How many records there are; 0 if nobody knows."""
        return int(getattr(self._source, "record_count", 0))

    def data_state(self) -> dict[str, Any]:
        """Return the place of the batch that the next forward pass gets; JSON can hold it."""
        return dict(self._reader.state() if self._state is None else self._state)

    def restore_data_state(self, state: dict[str, Any]) -> None:
        """Go to a place that `data_state` returned.

        Raises
        ------
        DataError
            If the source has no such place.
        """
        self._stop()
        self._reader.restore(state)
        self._state = self._reader.state()

    def close(self) -> None:
        """End the thread and close the source."""
        self._stop()
        if self._source is not None:
            self._source.close()

    def _stop(self) -> None:
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None
        if self._prefetcher is not None:
            self._prefetcher.close()
            self._prefetcher = self._batch = None


def merged_transform_param(
    layer_param: caffe_pb2.LayerParameter, field: str = "data_param"
) -> caffe_pb2.TransformationParameter:
    """Return a layer's transform_param, with what old nets set elsewhere.

    Parameters
    ----------
    layer_param : LayerParameter
        The layer.
    field : str
        Where that is: data_param, image_data_param or window_data_param.
    """
    merged = caffe_pb2.TransformationParameter()
    merged.CopyFrom(layer_param.transform_param)
    old = getattr(layer_param, field)
    for name in ("scale", "mean_file", "crop_size", "mirror"):
        if old.HasField(name) and not merged.HasField(name):
            setattr(merged, name, getattr(old, name))
    if getattr(old, "force_encoded_color", False) and not merged.HasField("force_color"):
        merged.force_color = True
    return merged
