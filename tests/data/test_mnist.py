"""convert_mnist: from idx files to LMDBs, and what it refuses."""

import gzip
import struct

import lmdb
import numpy as np
import pytest

from sscaffe.data.mnist import DATABASES, MEAN, convert_mnist, read_idx
from sscaffe.data.sources import LmdbSource
from sscaffe.errors import DataError
from sscaffe.proto import caffe_pb2
from sscaffe.serialized import read_binary


def idx(array):
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def sets(rng):
    def images(count):
        return rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)

    def labels(count):
        return rng.integers(0, 10, count, dtype=np.uint8)

    return {"train": (images(13), labels(13)), "t10k": (images(4), labels(4))}


@pytest.fixture(params=["gz", "plain", "dotted"])
def source(request, tmp_path, sets):
    folder = tmp_path / "source"
    folder.mkdir()
    for prefix, (images, labels) in sets.items():
        for kind, array in (("images-idx3-ubyte", images), ("labels-idx1-ubyte", labels)):
            name, content = f"{prefix}-{kind}", idx(array)
            if request.param == "gz":
                name, content = name + ".gz", gzip.compress(content)
            elif request.param == "dotted":
                name = name.replace("-idx", ".idx")
            (folder / name).write_bytes(content)
    return folder


def test_writes_databases_and_mean(tmp_path, source, sets):
    convert_mnist(source, tmp_path / "new" / "target")
    target = tmp_path / "new" / "target"
    assert sorted(entry.name for entry in target.iterdir()) == sorted([*DATABASES, MEAN])
    for name, prefix in DATABASES.items():
        images, labels = sets[prefix]
        read, found = LmdbSource(target / name).read(len(images))
        np.testing.assert_array_equal(read[:, 0], images)
        np.testing.assert_array_equal(found, labels)
    mean = read_binary(target / MEAN, caffe_pb2.BlobProto)
    assert (mean.num, mean.channels, mean.height, mean.width) == (1, 1, 28, 28)
    expected = sets["train"][0].mean(axis=0).ravel()
    np.testing.assert_allclose(mean.data, expected, rtol=1e-6)


def test_records_are_as_in_caffe(tmp_path, source, sets):
    convert_mnist(source, tmp_path)
    name = str(tmp_path / "mnist_test_lmdb")
    with lmdb.open(name, readonly=True, lock=False) as database, database.begin() as reader:
        records = dict(reader.cursor())
    assert sorted(records) == [b"00000000", b"00000001", b"00000002", b"00000003"]
    datum = caffe_pb2.Datum.FromString(records[b"00000002"])
    images, labels = sets["t10k"]
    expected = caffe_pb2.Datum(channels=1, height=28, width=28, label=int(labels[2]))
    expected.data = images[2].tobytes()
    assert datum == expected


def test_tells_how_far_it_is(tmp_path, source):
    calls = []
    convert_mnist(source, tmp_path, lambda *call: calls.append(call))
    assert calls == [("mnist_train_lmdb", 13, 13), ("mnist_test_lmdb", 4, 4)]


def test_runs_again(tmp_path, source):
    for _ in range(2):
        convert_mnist(source, tmp_path)
    assert LmdbSource(tmp_path / "mnist_train_lmdb").record_count == 13


def test_refuses_to_overwrite_something_else_and_writes_nothing(tmp_path, source):
    other = tmp_path / "mnist_test_lmdb"
    other.mkdir()
    (other / "notes.txt").write_text("x")
    with pytest.raises(DataError, match="mnist_test_lmdb: expected an LMDB or nothing"):
        convert_mnist(source, tmp_path)
    assert not (tmp_path / "mnist_train_lmdb").exists()
    assert (other / "notes.txt").exists()


def test_refuses_a_missing_file_and_writes_nothing(tmp_path, source):
    next(source.glob("t10k-labels*")).unlink()
    target = tmp_path / "target"
    with pytest.raises(DataError, match=r"expected t10k-labels-idx1-ubyte or .*\.gz in this fold"):
        convert_mnist(source, target)
    assert not target.exists()


def test_refuses_a_target_that_is_a_file(tmp_path, source):
    (tmp_path / "target").write_text("x")
    with pytest.raises(DataError, match="target: cannot be made: File exists"):
        convert_mnist(source, tmp_path / "target")


def test_refuses_labels_of_another_number(tmp_path, source, sets):
    path = next(source.glob("train-labels*"))
    content = idx(sets["t10k"][1])
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    with pytest.raises(DataError, match=r"N labels, got \(13, 28, 28\) and \(4,\)"):
        convert_mnist(source, tmp_path / "target")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected an idx file of bytes, got something else"),
        (b"\x89PNG\r\n\x1a\n", "expected an idx file of bytes, got something else"),
        (b"\0\0\x0d\x01\0\0\0\x01\0\0\0\0", "expected an idx file of bytes, got something else"),
        (b"\0\0\x08\x00", "expected an idx file of bytes, got something else"),
        (b"\0\0\x08\x03\0\0\0\x01", "expected an idx file of bytes, got something else"),
        (b"\0\0\x08\x01\0\0\0\x05abcd", r"expected 5 bytes for shape \(5,\), got 4"),
        (b"\0\0\x08\x01\0\0\0\x03abcd", r"expected 3 bytes for shape \(3,\), got 4"),
        (b"\0\0\x08\x02\xff\xff\xff\xff\xff\xff\xff\xffab", r"expected 18446744065119617025 bytes"),
    ],
)
def test_refuses_what_is_no_idx_file(tmp_path, content, message):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_idx(tmp_path / "x")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content[:-9],
        lambda content: b"x" + content,
        lambda content: content[:30] + content[31:],
        lambda content: content[:10] + b"\xff" + content[11:],
    ],
    ids=["cut short", "no gz", "a byte lost", "a byte changed"],
)
def test_refuses_a_damaged_gz(tmp_path, spoil):
    array = np.arange(250, dtype=np.uint8)
    (tmp_path / "x.gz").write_bytes(spoil(gzip.compress(idx(array))))
    with pytest.raises(DataError, match=r"x\.gz: cannot be read: "):
        read_idx(tmp_path / "x.gz")


def test_refuses_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="x: cannot be read: "):
        read_idx(tmp_path / "x")
