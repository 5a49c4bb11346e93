"""image_mean: the mean of an LMDB's images, however they are stored."""

import io

import numpy as np
import pytest
from PIL import Image

from sscaffe.data import mean as mean_module
from sscaffe.data.datum import array_to_datum
from sscaffe.data.lmdb_writer import write_lmdb
from sscaffe.data.mean import image_mean, mean_to_proto
from sscaffe.data.sources import LmdbSource
from sscaffe.data.transformer import read_mean
from sscaffe.errors import DataError
from sscaffe.proto import caffe_pb2
from sscaffe.serialized import write_binary
from tests.data.databases import make_lmdb, random_images


@pytest.mark.parametrize("chunk", [2, 7, 100])
def test_bytes(tmp_path, rng, monkeypatch, chunk):
    monkeypatch.setattr(mean_module, "_CHUNK", chunk)
    images = random_images(rng)
    done = []
    mean = image_mean(LmdbSource(make_lmdb(tmp_path / "db", images)), done.append)
    np.testing.assert_array_equal(mean, images.mean(axis=0).astype(np.float32))
    assert done[-1] == 7


def test_floats(tmp_path, rng):
    images = rng.standard_normal((5, 2, 3, 4)).astype(np.float32)
    records = [(b"%d" % i, array_to_datum(x).SerializeToString()) for i, x in enumerate(images)]
    write_lmdb(tmp_path / "db", records)
    np.testing.assert_allclose(
        image_mean(LmdbSource(tmp_path / "db")), images.mean(axis=0), rtol=1e-5, atol=1e-6
    )


def test_image_files(tmp_path, rng):
    images = random_images(rng, 4)
    records = []
    for i, image in enumerate(images):
        file = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(image[::-1].transpose(1, 2, 0))).save(file, "PNG")
        datum = caffe_pb2.Datum(data=file.getvalue(), encoded=True)
        records.append((b"%d" % i, datum.SerializeToString()))
    write_lmdb(tmp_path / "db", records)
    np.testing.assert_array_equal(image_mean(LmdbSource(tmp_path / "db")), images.mean(axis=0))


def test_many_bright_images_lose_nothing(tmp_path):
    # 70,000 times 255 is more than single precision counts to.
    white = array_to_datum(np.full((1, 1, 1), 255, np.uint8)).SerializeToString()
    write_lmdb(tmp_path / "db", ((b"%08d" % i, white) for i in range(70_000)))
    assert image_mean(LmdbSource(tmp_path / "db")).item() == 255


def test_the_file_is_read_as_a_mean_file(tmp_path, rng):
    mean = rng.standard_normal((3, 4, 5)).astype(np.float32)
    write_binary(tmp_path / "mean.binaryproto", mean_to_proto(mean))
    np.testing.assert_array_equal(read_mean(tmp_path / "mean.binaryproto"), mean)


def test_refuses_images_of_different_shapes(tmp_path, rng):
    images = [random_images(rng, 1, (3, 6, size))[0] for size in (5, 5, 4)]
    with pytest.raises(DataError, match=r"shape \(3, 6, 5\) as the first of .*db, got \(3, 6, 4\)"):
        image_mean(LmdbSource(make_lmdb(tmp_path / "db", images)))
