"""What layers have in common that read images ahead in a thread."""

from typing import Any, Protocol

from sscaffe.blob import Blob
from sscaffe.data.prefetch import Batch, Prefetcher
from sscaffe.layer import Layer
from sscaffe.proto import caffe_pb2


class Closable(Protocol):
    """Where images come from."""

    def close(self) -> None:
        """Let go of files."""


class Reader(Protocol):
    """Makes batches, from any place in a source."""

    def fill(self, batch: Batch) -> None:
        """Set the arrays and the state of a batch."""

    def state(self) -> dict[str, Any]:
        """Return the place of the next batch; JSON can hold it."""

    def restore(self, state: dict[str, Any]) -> None:
        """Go to a place that `state` returned."""


class PrefetchedLayer(Layer):
    """A layer whose batches a thread makes ahead; `setup` has to call `begin`.

    Tops: data ``(N, C, H, W)`` and, if there are two, label ``(N,)``.
    """

    num_bottom = 0
    min_top = 1
    max_top = 2

    # Set by `setup`, which an error may end before.
    _source: Closable | None = None
    _prefetcher: Prefetcher | None = None

    def begin(self, source: Closable, reader: Reader, depth: int) -> None:
        """Set where batches come from, and how many are made ahead."""
        self._source, self._reader, self._depth = source, reader, depth
        self._state = reader.state()

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Keep the shapes: each batch sets its own."""

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Copy the next batch to the tops."""
        if self._prefetcher is None:
            self._prefetcher = Prefetcher(self._reader.fill, self._depth)
        batch = self._prefetcher.get()
        for blob, array in zip(top, batch.arrays, strict=False):
            blob.reshape(*array.shape)
            blob.set_data(self.xp.asarray(array))
        self._state = batch.state
        self._prefetcher.give_back(batch)

    def data_state(self) -> dict[str, Any]:
        """Return the place of the batch that the next forward pass gets; JSON can hold it."""
        return dict(self._state)

    def restore_data_state(self, state: dict[str, Any]) -> None:
        """Go to a place that `data_state` returned.

        Raises
        ------
        DataError
            If the database has no such place.
        """
        self._stop()
        self._reader.restore(state)
        self._state = self._reader.state()

    def close(self) -> None:
        """End the thread and close the database."""
        self._stop()
        if self._source is not None:
            self._source.close()

    def _stop(self) -> None:
        if self._prefetcher is not None:
            self._prefetcher.close()
            self._prefetcher = None


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
