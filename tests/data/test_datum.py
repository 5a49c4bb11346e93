"""Datum: arrays to records and back, image files, and the decoder of many records."""

import io
import sys

import numpy as np
import pytest
from PIL import Image

from sscaffe.data.datum import DatumDecoder, array_to_datum, datum_to_array
from sscaffe.errors import DataError, UnsupportedError
from sscaffe.proto import caffe_pb2


def encoded(pixels, form="PNG", mode=None):
    file = io.BytesIO()
    Image.fromarray(pixels, mode).save(file, form)
    return caffe_pb2.Datum(data=file.getvalue(), encoded=True, label=3)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_there_and_back(rng, dtype):
    image = rng.integers(0, 256, (3, 4, 5)).astype(dtype)
    datum = array_to_datum(image, 7)
    assert (datum.channels, datum.height, datum.width, datum.label) == (3, 4, 5, 7)
    back = datum_to_array(caffe_pb2.Datum.FromString(datum.SerializeToString()))
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, image)


def test_refuses_an_array_that_is_no_image():
    with pytest.raises(DataError, match=r"shape \(C, H, W\), got \(4, 5\)"):
        array_to_datum(np.zeros((4, 5)))


@pytest.mark.parametrize("length", [0, 59, 61])
def test_refuses_another_number_of_values(length):
    datum = caffe_pb2.Datum(channels=3, height=4, width=5, data=b"x" * length)
    with pytest.raises(DataError, match=rf"shape \(3, 4, 5\), got {length} of them"):
        datum_to_array(datum)


@pytest.mark.parametrize("sizes", [(-1, -1, 1), (0, 4, 5)])
def test_refuses_sizes_below_one(sizes):
    channels, height, width = sizes
    datum = caffe_pb2.Datum(channels=channels, height=height, width=width, data=b"x")
    with pytest.raises(DataError, match="expected values of shape"):
        datum_to_array(datum)


def test_colour_becomes_blue_green_red(rng):
    pixels = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    image = datum_to_array(encoded(pixels))
    np.testing.assert_array_equal(image, pixels[:, :, ::-1].transpose(2, 0, 1))


def test_transparency_stays_last(rng):
    pixels = rng.integers(0, 256, (4, 5, 4), dtype=np.uint8)
    image = datum_to_array(encoded(pixels))
    np.testing.assert_array_equal(image, pixels[:, :, [2, 1, 0, 3]].transpose(2, 0, 1))


def test_gray_stays_one_channel_unless_colour_is_forced(rng):
    pixels = rng.integers(0, 256, (4, 5), dtype=np.uint8)
    np.testing.assert_array_equal(datum_to_array(encoded(pixels)), pixels[np.newaxis])
    forced = datum_to_array(encoded(pixels), channels=3)
    np.testing.assert_array_equal(forced, np.stack([pixels] * 3))


def test_forced_gray_is_the_luminance():
    pixels = np.zeros((2, 2, 3), np.uint8)
    pixels[0, 0] = (100, 200, 50)
    gray = datum_to_array(encoded(pixels), channels=1)
    assert gray.shape == (1, 2, 2)
    # ITU-R BT.601: 0.299 * 100 + 0.587 * 200 + 0.114 * 50 = 153, less what libpng cuts off.
    assert gray[0, 0, 0] == 152


def test_a_palette_becomes_colours():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([1, 0])
    file = io.BytesIO()
    image.save(file, "PNG")
    decoded = datum_to_array(caffe_pb2.Datum(data=file.getvalue(), encoded=True))
    np.testing.assert_array_equal(decoded, [[[60, 30]], [[50, 20]], [[40, 10]]])


def test_refuses_what_is_no_image():
    with pytest.raises(DataError, match="encoded: expected an image file, got 4 bytes"):
        datum_to_array(caffe_pb2.Datum(data=b"junk", encoded=True))


def test_refuses_an_image_that_is_cut_short(rng):
    datum = encoded(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8), "JPEG")
    datum.data = datum.data[: len(datum.data) // 2]
    with pytest.raises(DataError, match="encoded: expected an image file"):
        datum_to_array(datum)


def test_refuses_sixteen_bits(rng):
    pixels = rng.integers(0, 65536, (4, 5)).astype(np.uint16)
    with pytest.raises(DataError, match="expected 8 bits a channel, got an image of mode I"):
        datum_to_array(encoded(pixels))


def test_names_the_extra_without_pillow(monkeypatch, rng):
    datum = encoded(rng.integers(0, 256, (4, 5), dtype=np.uint8))
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(UnsupportedError, match=r"needs Pillow: pip install 'sscaffe\[data\]'"):
        datum_to_array(datum)


def records_of(images, labels):
    pairs = zip(images, labels, strict=True)
    return [array_to_datum(image, label).SerializeToString() for image, label in pairs]


def decode_alike(records, shape=(1, 3, 4)):
    decoder = DatumDecoder()
    decoder.decode(records[0])
    out = np.zeros((len(records), *shape), np.uint8)
    return decoder.decode_alike(records, out), out


def test_cuts_records_that_look_alike(rng):
    images = rng.integers(0, 256, (5, 1, 3, 4), dtype=np.uint8)
    # A label of 200 takes one more byte, one of -1 nine more, and none at all stands for 0.
    labels = [3, 200, -1, 70000, None]
    found, out = decode_alike(records_of(images, labels))
    np.testing.assert_array_equal(out, images)
    assert found.tolist() == [3, 200, -1, 70000, 0]


def test_cuts_records_that_say_they_are_not_encoded(rng):
    images = rng.integers(0, 256, (2, 1, 3, 4), dtype=np.uint8)
    datums = [array_to_datum(image, 5) for image in images]
    for datum in datums:
        datum.encoded = False
    found, out = decode_alike([datum.SerializeToString() for datum in datums])
    np.testing.assert_array_equal(out, images)
    assert found.tolist() == [5, 5]


def other_shape(image):
    return array_to_datum(image.reshape(1, 4, 3), 0)


def longer(image):
    return array_to_datum(np.concatenate([image, image], axis=1), 0)


def floats(image):
    return array_to_datum(image.astype(np.float32), 0)


def both(image):
    datum = array_to_datum(image, 0)
    datum.float_data.append(1)
    return datum


def image_file(image):
    return encoded(image[0])


@pytest.mark.parametrize("make", [other_shape, longer, floats, both, image_file])
def test_does_not_cut_a_record_that_differs(rng, make):
    images = rng.integers(0, 256, (2, 1, 3, 4), dtype=np.uint8)
    different = make(images[1]).SerializeToString()
    found, _ = decode_alike([*records_of(images[:1], [0]), different])
    assert found is None


@pytest.mark.parametrize("cut", [1, 3, 8])
def test_does_not_cut_a_record_that_is_cut_short(rng, cut):
    images = rng.integers(0, 256, (2, 1, 3, 4), dtype=np.uint8)
    records = records_of(images, [300, 300])
    records[1] = records[1][:-cut]
    found, _ = decode_alike(records)
    # Two bytes of label and its tag are three; without them the record is whole again.
    assert (found is None) == (cut != 3)


@pytest.mark.parametrize("record", [b"\xff\xff\xff", b"\x08"])
def test_refuses_a_record_that_is_no_datum(record):
    with pytest.raises(DataError, match=f"expected a Datum, got {len(record)} bytes"):
        DatumDecoder().decode(record)
