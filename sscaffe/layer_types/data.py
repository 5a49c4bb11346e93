"""Data: images and labels from a database, in memory if it is small, else read ahead."""

from pathlib import Path
from typing import Any

import numpy as np

from sscaffe.blob import Blob
from sscaffe.data.prefetch import Batch, Prefetcher
from sscaffe.data.reader import BatchReader
from sscaffe.data.sources import LmdbSource
from sscaffe.data.transformer import DataTransformer
from sscaffe.errors import DataError, UnsupportedError
from sscaffe.layer import Layer, register
from sscaffe.proto import caffe_pb2


@register("Data")
class DataLayer(Layer):
    """Batches of the images of an LMDB, transformed, in the order of their keys, over and over.

    Tops: data ``(N, C, H, W)`` and, if there are two, label ``(N,)``.

    The random numbers of crops and mirrors are a stream of the layer's own, seeded from the
    net's, so that reading ahead changes no result.
    """

    num_bottom = 0
    min_top = 1
    max_top = 2

    # Set by `setup`, which an error may end before.
    _source: LmdbSource | None = None
    _prefetcher: Prefetcher | None = None
    _batch: Batch | None = None
    _state: dict[str, Any] | None = None  # of the next batch; None where the reader is there

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Open the database and set the tops' shapes from its first record."""
        param = self.layer_param.data_param
        self._check(param)
        transform_param = merged_transform_param(self.layer_param)
        # Caffe draws a number for the thread that reads, a seed twice, and a number for the
        # thread that transforms; with as many draws here, a seed gives the same fillers.
        self.rng.raw(1)
        transformer = DataTransformer(transform_param, self.phase, self.rng, self.root)
        channels = 3 if transform_param.force_color else 1 if transform_param.force_gray else None
        source = self._source = LmdbSource(Path(self.root, param.source), channels)
        if param.rand_skip:
            source.skip(int(self.rng.raw(1)[0]) % param.rand_skip)
        if transformer.is_random:
            transformer.seed(self.rng)
        self.rng.raw(1)
        top[0].reshape(param.batch_size, *transformer.output_shape(source.first.shape))
        for blob in top[1:]:
            blob.reshape(param.batch_size)
        self._reader = BatchReader(source, transformer, param.batch_size)
        self._state = self._reader.state()

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Keep the shapes: each batch sets its own."""

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Transform the next batch into the tops."""
        # A batch that does not fit is kept, so that another try ends in the same error.
        batch = self._batch = self._batch or self._next()
        self._set_tops(batch, top)
        self._batch = None
        if self._prefetcher is not None:
            self._state = batch.state
            self._prefetcher.give_back(batch)

    def _next(self) -> Batch:
        if self._prefetcher is None:
            if self._reader.load():
                # Waking a thread takes longer than reading. All images fit, as they are alike.
                self._state, batch = None, Batch()
                self._reader.read(batch)
                return batch
            depth = self.layer_param.data_param.prefetch
            self._prefetcher = Prefetcher(self._reader.fill, depth)
        return self._prefetcher.get()

    def _set_tops(self, batch: Batch, top: list[Blob]) -> None:
        top[0].reshape(*self._reader.shape_of(batch))
        self._set_images(batch, top[0])
        for blob in top[1:]:
            blob.reshape(len(batch.labels))
            blob.set_data(self.xp.asarray(batch.labels))

    def _set_images(self, batch: Batch, top: Blob) -> None:
        if self.xp is np and top.dtype == np.float32:
            self._reader.transform(batch, top.new_data())
            return
        images = np.empty(top.shape, np.float32)
        self._reader.transform(batch, images)
        top.set_data(self.xp.asarray(images))

    def data_state(self) -> dict[str, Any]:
        """Return the place of the batch that the next forward pass gets; JSON can hold it."""
        return dict(self._reader.state() if self._state is None else self._state)

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
            self._prefetcher = self._batch = None

    def _check(self, param: caffe_pb2.DataParameter) -> None:
        for name in ("batch_size", "prefetch"):
            if getattr(param, name) < 1:
                raise DataError(f"{name}: expected 1 or more, got {getattr(param, name)}")
        if not param.source:
            raise DataError("source: expected the folder of a database, got nothing")
        if param.shuffle:
            raise UnsupportedError(
                "shuffle: an LMDB is read in the order of its keys; shuffle when it is made"
            )
        if param.backend == caffe_pb2.DataParameter.LMDB:
            return
        if Path(self.root, param.source, "data.mdb").exists():
            raise DataError(
                f"backend: expected LMDB for {param.source}, got LEVELDB; set backend: LMDB"
            )
        raise DataError(
            f"backend: expected LMDB, got LEVELDB; make {param.source} again "
            "with convert_imageset --backend=lmdb"
        )


def merged_transform_param(
    layer_param: caffe_pb2.LayerParameter,
) -> caffe_pb2.TransformationParameter:
    """Return a layer's transform_param, with what old nets set in data_param instead."""
    merged = caffe_pb2.TransformationParameter()
    merged.CopyFrom(layer_param.transform_param)
    old = layer_param.data_param
    for name in ("scale", "mean_file", "crop_size", "mirror"):
        if old.HasField(name) and not merged.HasField(name):
            setattr(merged, name, getattr(old, name))
    if old.force_encoded_color and not merged.HasField("force_color"):
        merged.force_color = True
    return merged
