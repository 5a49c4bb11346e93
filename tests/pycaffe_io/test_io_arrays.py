"""io: arrays and the messages that hold them."""

import numpy as np
import pytest

from sscaffe import io
from sscaffe.proto import caffe_pb2


def blob(values, **fields):
    return caffe_pb2.BlobProto(data=values, **fields)


@pytest.mark.parametrize("shape", [(2, 3), (4,), (2, 3, 4, 5), (), (0, 3)], ids=str)
def test_blobproto_there_and_back(shape, rng):
    array = rng.random(shape).astype(np.float32)
    proto = io.array_to_blobproto(array, 2 * array)
    np.testing.assert_array_equal(io.blobproto_to_array(proto), array)
    np.testing.assert_array_equal(io.blobproto_to_array(proto, return_diff=True), 2 * array)


def test_shapes_of_old_and_of_now():
    old = blob([0] * 6, num=1, channels=1, height=2, width=3)
    assert io.blobproto_to_array(old).shape == (1, 1, 2, 3)
    new = blob([0] * 6, shape=caffe_pb2.BlobShape(dim=[2, 3]))
    assert io.blobproto_to_array(new).shape == (2, 3)
    assert io.blobproto_to_array(blob([123])) == 123
    array = io.blobproto_to_array(new)
    array += 1  # a copy that may be written to


def test_a_shape_that_the_values_do_not_have():
    with pytest.raises(ValueError, match=r"expected 1 values for shape \(\), got 6"):
        io.blobproto_to_array(blob([0] * 6))
    with pytest.raises(ValueError, match=r"diff: expected shape \(2,\), got \(3,\)"):
        io.array_to_blobproto(np.zeros(2), np.zeros(3))


def test_lists_of_arrays(rng):
    arrays = [rng.random((2, 3)).astype(np.float32), np.arange(4.0)]
    text = io.arraylist_to_blobprotovector_str(arrays)
    for got, array in zip(io.blobprotovector_str_to_arraylist(text), arrays, strict=True):
        np.testing.assert_array_equal(got, array)
    with pytest.raises(ValueError, match="expected a BlobProtoVector, got 3 other bytes"):
        io.blobprotovector_str_to_arraylist(b"\xff\xff\xff")


@pytest.mark.parametrize("dtype", ["uint8", "float64"])
def test_datum_there_and_back(dtype):
    array = np.arange(24, dtype=dtype).reshape(2, 3, 4)
    datum = io.array_to_datum(array, label=7)
    got = io.datum_to_array(datum)
    np.testing.assert_array_equal(got, array)
    assert got.dtype == dtype
    assert datum.label == 7
    assert not io.array_to_datum(array).HasField("label")


def test_datum_of_another_shape():
    with pytest.raises(ValueError, match=r"expected an array of shape \(C, H, W\), got \(4,\)"):
        io.array_to_datum(np.zeros(4))
    with pytest.raises(ValueError, match="got 2 of them"):
        io.datum_to_array(caffe_pb2.Datum(channels=1, height=1, width=1, data=b"ab"))
