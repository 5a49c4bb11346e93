"""BatchReader: what a batch holds, and that its place is exact, random numbers included."""

import json

import numpy as np
import pytest

from sscaffe.data.prefetch import Batch, Prefetcher
from sscaffe.data.reader import BatchReader
from sscaffe.data.sources import LARGEST_KEPT, LmdbSource
from sscaffe.data.transformer import DataTransformer
from sscaffe.errors import ShapeError
from sscaffe.proto import caffe_pb2
from sscaffe.random_numbers import RandomNumbers
from tests.data.databases import make_lmdb, random_images


@pytest.fixture
def path(tmp_path, rng):
    return make_lmdb(tmp_path / "db", random_images(rng))


def reader_of(path, keep=LARGEST_KEPT, **param):
    transformer = DataTransformer(
        caffe_pb2.TransformationParameter(**param), caffe_pb2.TRAIN, RandomNumbers(7)
    )
    return BatchReader(LmdbSource(path, keep=keep), transformer, 3)


def arrays_of(reader, batch):
    """Return the transformed images of a batch, and its labels."""
    out = np.full(reader.shape_of(batch), np.nan, np.float32)
    reader.transform(batch, out)
    return [out, batch.labels.copy()]


def take(reader, prefetcher, count):
    taken = []
    for _ in range(count):
        batch = prefetcher.get()
        taken.append((arrays_of(reader, batch), batch.state))
        prefetcher.give_back(batch)
    return taken


def same(one, other):
    pairs = zip(one, other, strict=True)
    return all(np.array_equal(a, b) for x, y in pairs for a, b in zip(x[0], y[0], strict=True))


@pytest.mark.parametrize("keep", [0, LARGEST_KEPT])
@pytest.mark.parametrize("depth", [1, 3, 8])
def test_reading_ahead_changes_nothing(path, depth, keep):
    reader = reader_of(path, crop_size=4, mirror=True)
    plain = []
    for _ in range(12):
        batch = Batch()
        reader.fill(batch)
        plain.append((arrays_of(reader, batch), batch.state))
    prefetcher = Prefetcher(reader_of(path, keep, crop_size=4, mirror=True).fill, depth)
    ahead = take(reader, prefetcher, 12)
    prefetcher.close()
    assert same(plain, ahead)
    assert [state for _, state in plain] == [state for _, state in ahead]


@pytest.mark.parametrize("stop", [1, 2, 5])
def test_goes_on_after_the_last_batch_taken(path, stop):
    reader = reader_of(path, crop_size=4, mirror=True)
    first = Prefetcher(reader.fill, 4)
    taken = take(reader, first, stop)
    rest = take(reader, first, 6)
    first.close()
    resumed = reader_of(path, crop_size=4, mirror=True)
    resumed.restore(json.loads(json.dumps(taken[-1][1])))
    second = Prefetcher(resumed.fill, 2)
    assert same(rest, take(resumed, second, 6))
    second.close()


def test_state_says_nothing_of_randomness_where_there_is_none(path):
    assert reader_of(path).state() == {"record": 0}


def test_refuses_images_of_different_sizes(tmp_path, rng):
    images = [random_images(rng, 1, (3, size, 4))[0] for size in (5, 6, 5)]
    reader = reader_of(make_lmdb(tmp_path / "mixed", images))
    batch = Batch()
    reader.fill(batch)
    with pytest.raises(ShapeError, match=r"images of shape \(3, 5, 4\), got \(3, 6, 4\)"):
        arrays_of(reader, batch)
