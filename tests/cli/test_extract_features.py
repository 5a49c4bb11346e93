"""sscaffe extract_features: what is written, both ways to say it, and what it refuses."""

import json

import h5py
import lmdb
import numpy as np
import pytest

from sscaffe.data.datum import datum_to_array
from sscaffe.layer import TEST
from sscaffe.net import Net
from sscaffe.proto import caffe_pb2
from tests.cli.test_bad_input import refused

BLOBS = ("ip1", "conv1", "label", "loss")


@pytest.fixture
def weights(tiny):
    with Net("net.prototxt", TEST) as net:
        net.save("w.caffemodel")
    return "w.caffemodel"


@pytest.fixture
def expected(weights):
    """Return each blob over two batches, by hand."""
    with Net("net.prototxt", TEST, weights=weights) as net:
        found = {name: [] for name in BLOBS}
        for _ in range(2):
            net.forward()
            for name, arrays in found.items():
                arrays.append(np.atleast_1d(net.blobs[name].const_data).copy())
    return {name: np.concatenate(arrays) for name, arrays in found.items()}


def read(path):
    with lmdb.open(str(path), readonly=True, lock=False) as database, database.begin() as reader:
        records = list(reader.cursor())
    datums = [caffe_pb2.Datum.FromString(value) for _, value in records]
    return [key for key, _ in records], np.stack([datum_to_array(datum) for datum in datums])


def test_lmdb_in_the_order_of_caffe(tiny, sscaffe, expected):
    words = f"extract_features w.caffemodel net.prototxt {','.join(BLOBS)} a,b,c,d 2 lmdb CPU"
    status, out, err = sscaffe(words)
    assert status == 0, err
    for name, path in zip(BLOBS, "abcd", strict=True):
        keys, features = read(tiny / path)
        wanted = expected[name]
        assert keys == [b"%010d" % i for i in range(len(wanted))]
        shape = (*wanted.shape, *[1] * (4 - wanted.ndim))
        np.testing.assert_array_equal(features, wanted.reshape(shape))
    assert "Extracted features of 16 query images for feature blob conv1" in err
    assert out.split()[-6:] == ["label", "c", "(16,)", "loss", "d", "(2,)"]


def test_hdf5_by_flags(tiny, sscaffe, expected):
    words = "extract_features -weights w.caffemodel --model=net.prototxt --blobs conv1,ip1"
    status, out, err = sscaffe(f"{words} --to a.h5,b.h5 --batches 2 --db-type HDF5 --json")
    assert status == 0, err
    for name, path in (("conv1", "a.h5"), ("ip1", "b.h5")):
        with h5py.File(path) as file:
            assert list(file) == [name]
            np.testing.assert_array_equal(file[name], expected[name])
    assert json.loads(out)[1] == {"blob": "ip1", "to": "b.h5", "shape": [16, 3]}
    assert not [path for path in tiny.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("kind", ["lmdb", "hdf5"])
def test_an_error_on_the_way_leaves_what_was_there(tiny, sscaffe, weights, kind):
    words = f"extract_features {weights} net.prototxt ip1 made 1 {kind}"
    assert sscaffe(words)[0] == 0
    refused(sscaffe(words), "extract_features", "made: is there already")
    path = tiny / "made" / "data.mdb" if kind == "lmdb" else tiny / "made"
    before = path.read_bytes()
    content = (tiny / "digits_lmdb" / "data.mdb").read_bytes()
    place = content.index(b"\x08\x01\x10\x06\x18\x06")  # the last record, in the third batch
    broken = content[:place] + b"\xff" * 6 + content[place + 6 :]
    (tiny / "digits_lmdb" / "data.mdb").write_bytes(broken)
    result = sscaffe(words.replace(" 1 ", " 9 ") + " --force")
    refused(result, "extract_features", "record: expected a Datum.*b'00000023'")
    assert path.read_bytes() == before
    assert not [entry for entry in tiny.iterdir() if entry.name.startswith(".made")]


@pytest.mark.parametrize(
    ("words", "pattern"),
    [
        ("w.caffemodel net.prototxt ip9 a 1", "blobs: the net has no blob 'ip9'; it has data, "),
        ("w.caffemodel net.prototxt ip1,conv1 a 1", "to: expected as many different names"),
        ("w.caffemodel net.prototxt ip1,conv1 a,a 1", "to: expected as many different names"),
        ("w.caffemodel net.prototxt ip1 a 0", "batches: expected 1 or more, got 0"),
        ("w.caffemodel net.prototxt ip1 a x", "batches: expected 1 or more, got x"),
        ("w.caffemodel net.prototxt ip1 a", "batches: expected --batches, or WEIGHTS MODEL"),
        ("w.caffemodel net.prototxt ip1 a 1 leveldb", "backend: expected lmdb or hdf5, got lev"),
        ("w.caffemodel net.prototxt ip1 a 1 lmdb TPU", "expected CPU or GPU, got TPU"),
        ("w.caffemodel net.prototxt ip1 a 1 lmdb GPU", "gpu 0: CuPy cannot be imported"),
        ("w.caffemodel net.prototxt ip1 no/a 1", "no/a: there is no folder no"),
        ("w.caffemodel net.prototxt ip1 a 1 --model net.prototxt", "model: expected one, got"),
        ("nosuch.caffemodel net.prototxt ip1 a 1", "nosuch.caffemodel: cannot be read"),
    ],
)
def test_refuses(tiny, weights, sscaffe, without_cupy, words, pattern):
    refused(sscaffe(f"extract_features {words}"), "extract_features", pattern)
    assert not (tiny / "a").exists()


def test_refuses_more_axes_than_a_datum_has(tiny, weights, sscaffe):
    extra = (
        'layer { name: "deep" type: "Reshape" bottom: "conv1" top: "deep" '
        "reshape_param { shape { dim: 0 dim: 2 dim: 2 dim: 4 dim: 4 } } }"
    )
    with (tiny / "net.prototxt").open("a") as file:
        file.write(extra)
    words = f"extract_features {weights} net.prototxt deep a 1"
    refused(sscaffe(words), "extract_features", r"db_type: blob 'deep' has shape .*; use hdf5")
    assert sscaffe(f"{words} hdf5")[0] == 0
