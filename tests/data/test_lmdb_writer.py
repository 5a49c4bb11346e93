"""write_lmdb: whole or not at all, and never over something else."""

import lmdb
import pytest

from sscaffe.data import lmdb_writer
from sscaffe.data.lmdb_writer import write_lmdb
from sscaffe.errors import DataError


def content(path):
    with lmdb.open(str(path), readonly=True, lock=False) as database, database.begin() as reader:
        return list(reader.cursor())


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_writes_records_and_nothing_else(tmp_path):
    records = [(b"%04d" % i, b"x" * i) for i in range(3000)]
    assert write_lmdb(tmp_path / "db", records) == 3000
    assert content(tmp_path / "db") == records
    assert names(tmp_path) == ["db"]
    assert names(tmp_path / "db") == ["data.mdb"]


def test_takes_keys_in_any_order(tmp_path):
    write_lmdb(tmp_path / "db", [(b"b", b"1"), (b"a", b"2"), (b"b", b"3"), (b"c", b"4")])
    assert content(tmp_path / "db") == [(b"a", b"2"), (b"b", b"3"), (b"c", b"4")]


def test_grows(tmp_path, monkeypatch):
    monkeypatch.setattr(lmdb_writer, "_FIRST_MAP_SIZE", 2**15)
    monkeypatch.setattr(lmdb_writer, "_CHUNK", 8)
    records = [(b"%04d" % i, bytes([i]) * 10000) for i in range(60)]
    write_lmdb(tmp_path / "db", records)
    assert content(tmp_path / "db") == records


def test_replaces_a_database(tmp_path):
    write_lmdb(tmp_path / "db", [(b"a", b"old"), (b"z", b"old")])
    write_lmdb(tmp_path / "db", [(b"a", b"new")])
    assert content(tmp_path / "db") == [(b"a", b"new")]
    assert names(tmp_path) == ["db"]


def half_of_them():
    yield b"a", b"new"
    raise DataError("record: expected a Datum, got nothing")


def test_an_error_on_the_way_leaves_what_was_there(tmp_path):
    write_lmdb(tmp_path / "db", [(b"a", b"old")])
    with pytest.raises(DataError, match="got nothing"):
        write_lmdb(tmp_path / "db", half_of_them())
    assert content(tmp_path / "db") == [(b"a", b"old")]
    assert names(tmp_path) == ["db"]


@pytest.mark.parametrize("make", ["file", "folder"])
def test_refuses_a_place_where_something_else_is(tmp_path, make):
    target = tmp_path / "db"
    if make == "folder":
        target.mkdir()
        (target / "thesis.txt").write_text("x")
    else:
        target.write_text("x")
    with pytest.raises(DataError, match="db: expected an LMDB or nothing in this place"):
        write_lmdb(target, [])
    assert names(tmp_path) == ["db"]


def test_refuses_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="db: cannot be written as an LMDB"):
        write_lmdb(tmp_path / "nowhere" / "db", [])


def test_refuses_a_key_that_lmdb_does_not_take(tmp_path):
    with pytest.raises(DataError, match="db: cannot be written as an LMDB"):
        write_lmdb(tmp_path / "db", [(b"", b"x")])
    assert names(tmp_path) == []
