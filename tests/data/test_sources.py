"""LmdbSource: order, wrapping, places, refusals."""

import shutil
import sys

import lmdb
import numpy as np
import pytest

from sscaffe.data import sources
from sscaffe.data.datum import array_to_datum
from sscaffe.data.lmdb_writer import write_lmdb
from sscaffe.data.sources import LARGEST_KEPT, LmdbSource
from sscaffe.errors import DataError, UnsupportedError
from tests.data.databases import make_lmdb, random_images
from tests.data.test_datum import encoded


@pytest.fixture
def images(rng):
    return random_images(rng)


@pytest.fixture
def path(tmp_path, images):
    return make_lmdb(tmp_path / "db", images)


@pytest.fixture(params=[0, LARGEST_KEPT], ids=["streams", "keeps"])
def keep(request):
    return request.param


def test_reads_in_order_and_starts_over(path, images, keep):
    source = LmdbSource(path, keep=keep)
    assert source.record_count == 7
    np.testing.assert_array_equal(source.first, images[0])
    place = 0
    for count in (3, 3, 3, 1, 7, 17):
        read, labels = source.read(count)
        expected = np.arange(place, place + count) % 7
        np.testing.assert_array_equal(read, images[expected])
        np.testing.assert_array_equal(labels, expected)
        place += count


@pytest.mark.parametrize("before", [0, 2, 5, 9])
def test_goes_on_where_it_was(path, keep, before):
    source = LmdbSource(path, keep=keep)
    if before:
        source.read(before)
    state = source.state()
    expected = [source.read(3)[1].tolist() for _ in range(3)]
    again = LmdbSource(path, keep=keep)
    again.read(4)
    again.restore(state)
    assert again.state() == state
    assert [again.read(3)[1].tolist() for _ in range(3)] == expected


def test_skips(path, keep):
    source = LmdbSource(path, keep=keep)
    source.skip(5)
    assert source.read(3)[1].tolist() == [5, 6, 0]
    source.skip(8)
    assert source.read(2)[1].tolist() == [2, 3]


def test_refuses_a_place_that_is_not_there(path):
    with pytest.raises(DataError, match=r"a place among the 7 records .*, got 7"):
        LmdbSource(path).restore({"record": 7})


def test_keeps_nothing_larger_than_allowed(path, images):
    assert keeps(path, images.nbytes)
    assert not keeps(path, images.nbytes - 1)


def keeps(path, limit):
    source = LmdbSource(path, keep=limit)
    source.read(1)
    return source._kept is not None


def test_reads_more_records_than_are_decoded_at_once(tmp_path, rng, keep, monkeypatch):
    monkeypatch.setattr(sources, "_CHUNK", 4)
    images = random_images(rng, 10, (1, 2, 2))
    source = LmdbSource(make_lmdb(tmp_path / "db", images), keep=keep)
    np.testing.assert_array_equal(source.read(10)[0], images)


def test_reads_floats(tmp_path, rng, keep):
    images = rng.standard_normal((4, 2, 3, 3)).astype(np.float32)
    read, labels = LmdbSource(make_lmdb(tmp_path / "db", images), keep=keep).read(5)
    np.testing.assert_array_equal(read, images[[0, 1, 2, 3, 0]])
    assert labels.tolist() == [0, 1, 2, 3, 0]


def test_reads_images_of_different_sizes(tmp_path, rng, keep):
    images = [random_images(rng, 1, (3, size, 4))[0] for size in (5, 5, 6, 5)]
    read, _ = LmdbSource(make_lmdb(tmp_path / "db", images), keep=keep).read(4)
    for one, expected in zip(read, images, strict=True):
        np.testing.assert_array_equal(one, expected)


def test_reads_image_files(tmp_path, rng, keep):
    pixels = rng.integers(0, 256, (3, 4, 5), dtype=np.uint8)
    records = [(b"%d" % i, encoded(p).SerializeToString()) for i, p in enumerate(pixels)]
    write_lmdb(tmp_path / "db", records)
    source = LmdbSource(tmp_path / "db", channels=3, keep=keep)
    read, labels = source.read(3)
    assert source.first.shape == (3, 4, 5)
    np.testing.assert_array_equal(read, np.stack([pixels] * 3, axis=1))
    assert labels.tolist() == [3, 3, 3]


def test_two_sources_share_a_database(path):
    first, second = LmdbSource(path, keep=0), LmdbSource(path, keep=0)
    assert first.read(2)[1].tolist() == [0, 1]
    assert second.read(3)[1].tolist() == [0, 1, 2]
    first.close()
    assert second.read(2)[1].tolist() == [3, 4]


def test_closes_the_database(path):
    source = LmdbSource(path, keep=0)
    source.read(2)
    source.close()
    lmdb.open(str(path), readonly=True, lock=False).close()


def test_closes_a_database_that_is_kept(path):
    LmdbSource(path).read(2)
    source = LmdbSource(path)
    source.read(2)
    lmdb.open(str(path), readonly=True, lock=False).close()
    assert source.read(2)[1].tolist() == [2, 3]


def test_reads_a_copy_that_may_not_be_written_to(path):
    for entry in path.iterdir():
        entry.chmod(0o444)
    path.chmod(0o555)
    try:
        assert LmdbSource(path).read(1)[1].tolist() == [0]
        assert [entry.name for entry in path.iterdir()] == ["data.mdb"]
    finally:
        path.chmod(0o755)


def test_refuses_what_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"source: there is no .*nowhere; make the database first"):
        LmdbSource(tmp_path / "nowhere")


def test_refuses_a_folder_that_is_no_database(tmp_path):
    (tmp_path / "data.txt").write_text("x")
    with pytest.raises(DataError, match=r"expected the folder of an LMDB, got .* without data.mdb"):
        LmdbSource(tmp_path)


def test_refuses_a_file(path):
    with pytest.raises(DataError, match=r"expected the folder of an LMDB, got .*data.mdb without"):
        LmdbSource(path / "data.mdb")


def test_refuses_a_leveldb(tmp_path):
    (tmp_path / "CURRENT").write_text("MANIFEST-000002\n")
    with pytest.raises(
        DataError, match=r"got the LevelDB .*; make an LMDB from the images"
    ) as caught:
        LmdbSource(tmp_path)
    script = caught.value.__notes__[-1].strip()
    compile(script.removeprefix('python -c "').removesuffix('"'), "note", "exec")


@pytest.mark.parametrize("content", [b"", b"x" * 100, bytes(range(256)) * 64])
def test_refuses_a_file_of_something_else(tmp_path, content):
    (tmp_path / "data.mdb").write_bytes(content)
    with pytest.raises(DataError, match=f"expected an LMDB, got {len(content)} bytes of something"):
        LmdbSource(tmp_path)


def test_refuses_a_database_cut_short_at_any_page(tmp_path, rng):
    whole = make_lmdb(tmp_path / "db", random_images(rng, 40)) / "data.mdb"
    content = whole.read_bytes()
    target = tmp_path / "short"
    target.mkdir()
    for size in (152, 4000, 4096, 4300, *range(8192, len(content), 4096), len(content) - 1):
        (target / "data.mdb").write_bytes(content[:size])
        with pytest.raises(DataError, match=rf"expected \d+ bytes in .*, got {size}; it is cut"):
            LmdbSource(target)
    shutil.copy(whole, target / "data.mdb")
    assert LmdbSource(target).record_count == 40


def test_refuses_an_empty_database(tmp_path):
    write_lmdb(tmp_path / "db", [])
    with pytest.raises(DataError, match="db holds no records"):
        LmdbSource(tmp_path / "db")


def damaged(tmp_path, rng, record):
    good = [array_to_datum(i, 0).SerializeToString() for i in random_images(rng, 2, (1, 2, 2))]
    return write_lmdb(tmp_path / "db", [(b"a", good[0]), (b"b", good[1]), (b"c", record)])


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (b"\xff\xff\xff", r"record: expected a Datum, got 3 bytes of something else"),
        (b"\x08\x01\x10\x02\x18\x02\x22\x03abc", r"values of shape \(1, 2, 2\), got 3 of them"),
    ],
)
def test_a_bad_record_is_named_by_its_key(tmp_path, rng, keep, record, message):
    damaged(tmp_path, rng, record)
    source = LmdbSource(tmp_path / "db", keep=keep)
    source.read(2)
    with pytest.raises(DataError, match=rf"{message}; it is record b'c' of .*db"):
        source.read(2)


def test_a_bad_first_record_is_refused_at_once(tmp_path):
    write_lmdb(tmp_path / "db", [(b"k", b"\xff\xff")])
    with pytest.raises(DataError, match=r"expected a Datum, got 2 bytes .* record b'k' of"):
        LmdbSource(tmp_path / "db")


def test_names_the_extra_without_lmdb(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lmdb", None)
    with pytest.raises(UnsupportedError, match=r"needs lmdb: pip install 'sscaffe\[data\]'"):
        LmdbSource(path)


def test_a_damaged_page_is_an_error(path):
    content = bytearray((path / "data.mdb").read_bytes())
    content[8192:] = b"\xaa" * (len(content) - 8192)
    (path / "data.mdb").write_bytes(content)
    with pytest.raises(DataError, match="db is damaged"):
        LmdbSource(path)
