"""convert_images: the records of an LMDB, against the images that went in."""

import io

import lmdb
import numpy as np
import pytest
from PIL import Image

from sscaffe.data.convert import Conversion, convert_images, shuffled
from sscaffe.data.datum import decode_image
from sscaffe.data.image_list import Entry
from sscaffe.data.images import resize
from sscaffe.errors import DataError
from sscaffe.proto import caffe_pb2

SIZES = [(7, 9), (6, 5), (8, 8)]


@pytest.fixture
def entries(tmp_path, rng):
    """Write three images of different sizes and kinds."""
    names = ["a b/one.png", "a b/two.jpg", "a b/three.bmp"]
    (tmp_path / "a b").mkdir()
    for name, size in zip(names, SIZES, strict=True):
        pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
    return [Entry(name, label) for name, label in zip(names, (3, 0, 12), strict=True)]


@pytest.fixture
def convert(tmp_path, entries):
    def run(**options):
        folder = f"{tmp_path}/"
        made = convert_images(
            options.pop("entries", entries), folder, tmp_path / "db", Conversion(**options)
        )
        return made, read(tmp_path / "db")

    return run


def read(path):
    with lmdb.open(str(path), readonly=True, lock=False) as database, database.begin() as reader:
        return {key.decode(): caffe_pb2.Datum.FromString(value) for key, value in reader.cursor()}


def stored(datum):
    return np.frombuffer(datum.data, np.uint8).reshape(datum.channels, datum.height, datum.width)


def as_pillow(path, mode):
    pixels = np.asarray(Image.open(path).convert(mode))
    return pixels[np.newaxis] if mode == "L" else pixels[:, :, ::-1].transpose(2, 0, 1)


def test_keys_labels_and_pixels(tmp_path, convert, entries):
    made, records = convert()
    assert (made.count, made.skipped, len(made.shapes)) == (3, [], 3)
    assert list(records) == [f"{i:08d}_{entry.name}" for i, entry in enumerate(entries)]
    for entry, datum in zip(entries, records.values(), strict=True):
        assert (datum.label, datum.encoded) == (entry.label, False)
        np.testing.assert_array_equal(stored(datum), as_pillow(tmp_path / entry.name, "RGB"))


def test_resizes_and_checks(tmp_path, convert, entries):
    _, records = convert(size=(4, 6), check_size=True)
    for entry, datum in zip(entries, records.values(), strict=True):
        expected = resize(as_pillow(tmp_path / entry.name, "RGB"), 4, 6)
        np.testing.assert_array_equal(stored(datum), expected)


def test_gray(convert):
    _, records = convert(gray=True)
    assert [stored(datum).shape for datum in records.values()] == [(1, *size) for size in SIZES]


def test_files_that_are_as_they_should_be_are_stored_as_they_are(tmp_path, convert, entries):
    _, records = convert(encoded=True)
    for entry, datum in zip(entries, records.values(), strict=True):
        assert datum.encoded
        assert datum.data == (tmp_path / entry.name).read_bytes()
        assert (datum.label, datum.channels) == (entry.label, 0)


@pytest.mark.parametrize("options", [{"gray": True}, {"size": (5, 5)}, {"encode_type": "PNG"}])
def test_files_that_are_not_are_encoded_anew(tmp_path, convert, entries, options):
    _, records = convert(encoded=True, **options)
    channels = 1 if options.get("gray") else 3
    kinds = ["PNG"] * 3 if "encode_type" in options else ["PNG", "JPEG", "BMP"]
    for entry, datum, size, kind in zip(entries, records.values(), SIZES, kinds, strict=True):
        image = decode_image(datum.data)
        assert image.shape == (channels, *options.get("size", size))
        assert Image.open(io.BytesIO(datum.data)).format == kind
        if kind == "PNG" and channels == 3:
            expected = resize(as_pillow(tmp_path / entry.name, "RGB"), *image.shape[1:])
            np.testing.assert_array_equal(image, expected)


def test_a_gray_file_becomes_one_of_colour(tmp_path, convert):
    Image.fromarray(np.full((4, 4), 77, np.uint8)).save(tmp_path / "gray.png")
    _, records = convert(encoded=True, entries=[Entry("gray.png", 0)])
    (datum,) = records.values()
    assert decode_image(datum.data).shape == (3, 4, 4)


def test_shuffles_by_the_seed(entries):
    many = [Entry(str(i), i) for i in range(50)]
    assert shuffled(many, 3) == shuffled(many, 3) != shuffled(many, 4)
    assert sorted(shuffled(many, 3), key=lambda entry: entry.label) == many


def test_refuses_other_sizes(tmp_path, convert):
    with pytest.raises(
        DataError, match=r"shape \(3, 7, 9\) as the first, got \(3, 6, 5\) in .*two"
    ):
        convert(check_size=True)
    assert not (tmp_path / "db").exists()


@pytest.mark.parametrize("content", [None, b"", b"no image"])
def test_an_image_that_cannot_be_read(tmp_path, convert, entries, content):
    path = tmp_path / entries[1].name
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(DataError, match=r"source: .*two.jpg"):
        convert()
    assert not (tmp_path / "db").exists()
    made, records = convert(skip_unreadable=True)
    assert made.skipped == [entries[1].name]
    assert list(records) == [f"{i:08d}_{entries[i].name}" for i in (0, 2)]


def test_refuses_a_list_without_a_readable_image(tmp_path, convert):
    with pytest.raises(DataError, match="expected images to store, got none"):
        convert(entries=[Entry("nosuch.png", 0)], skip_unreadable=True)
    assert not (tmp_path / "db").exists()


def test_refuses_a_kind_that_cannot_be_written(convert):
    with pytest.raises(DataError, match=r"encode_type: expected jpg, png or another .*, got 'xyz'"):
        convert(encoded=True, encode_type="xyz")
    with pytest.raises(DataError, match=r"encode_type: expected a name that ends in .jpg"):
        convert(encoded=True, entries=[Entry("noextension", 0)])


def test_refuses_a_key_that_is_too_long(convert):
    with pytest.raises(DataError, match="key: expected at most 511 bytes, got 612"):
        convert(entries=[Entry("x" * 599 + ".png", 0)])
