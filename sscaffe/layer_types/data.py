"""Data: images and labels from a database, in memory if it is small, else read ahead."""

from pathlib import Path

from sscaffe.blob import Blob
from sscaffe.data.reader import BatchReader
from sscaffe.data.sources import LmdbSource, leveldb_refusal
from sscaffe.data.transformer import DataTransformer
from sscaffe.errors import DataError, UnsupportedError
from sscaffe.layer import register
from sscaffe.layer_types.prefetched import PrefetchedLayer, merged_transform_param
from sscaffe.proto import caffe_pb2


@register("Data")
class DataLayer(PrefetchedLayer):
    """Batches of the images of an LMDB, transformed, in the order of their keys, over and over.

    Tops: data ``(N, C, H, W)`` and, if there are two, label ``(N,)``.

    The random numbers of crops and mirrors are a stream of the layer's own, seeded from the
    net's, so that reading ahead changes no result.
    """

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
        self._source = source = LmdbSource(Path(self.root, param.source), channels)
        if param.rand_skip:
            source.skip(int(self.rng.raw(1)[0]) % param.rand_skip)
        if transformer.is_random:
            transformer.seed(self.rng)
        self.rng.raw(1)
        top[0].reshape(param.batch_size, *transformer.output_shape(source.first.shape))
        for blob in top[1:]:
            blob.reshape(param.batch_size)
        self.begin(source, BatchReader(source, transformer, param.batch_size), param.prefetch)

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
        raise leveldb_refusal(f"backend: expected LMDB for {param.source}, got LEVELDB")
