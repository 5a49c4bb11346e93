"""LmdbSource: the records of an LMDB, over and over, from any place in it."""

import itertools
import struct
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

from sscaffe.data.datum import DatumDecoder
from sscaffe.errors import DataError, UnsupportedError

Array = npt.NDArray[Any]
Images: TypeAlias = Array | Sequence[Array]
_Records: TypeAlias = Generator[tuple[bytes, bytes], int | None, None]

# Databases whose pixels take no more bytes than this are read once and kept; what is kept takes no
# more memory than the pages of the database would.
LARGEST_KEPT = 256 * 2**20

_CHUNK = 1024  # records decoded at once

# Layout of a meta page of LMDB's data.mdb: a page header, then the magic number and version; the
# page size stands in the record of the free list, the last page and transaction at the end.
_META = struct.Struct("<16xII16xI92xQQ")
_MAGIC = 0xBEEFC0DE

# A process may open a database only once, so sources of the same one share it.
_open_databases: "WeakValueDictionary[str, Any]" = WeakValueDictionary()


class LmdbSource:
    """The records of an LMDB of Datums, in the order of their keys, starting over at the end.

    Parameters
    ----------
    path : Path
        The folder of the database.
    channels : int, optional
        Make 1 or 3 channels of image files in records; as many as they have by default.
    keep : int
        Read the database once and keep it if its pixels take no more bytes than this.

    Attributes
    ----------
    first : ndarray, shape (C, H, W)
        The image of the first record.
    record_count : int
        How many records there are.

    Raises
    ------
    DataError
        If there is no database, it is damaged or empty, or its first record is not a Datum.
    UnsupportedError
        If lmdb is not installed.
    """

    def __init__(self, path: Path, channels: int | None = None, keep: int = LARGEST_KEPT) -> None:
        self.path = path
        self._keep = keep
        self._decoder = DatumDecoder(channels)
        self._database = open_database(path)
        self.record_count = int(self._database.stat()["entries"])
        if not self.record_count:
            raise DataError(f"source: {path} holds no records")
        self._position = 0
        self._records: _Records | None = None
        self._left_out = 0  # records that the next read passes over
        self._kept: tuple[Array, Array] | None = None
        self.first, _ = self._decode(*next(_iterate(self._database, 0)))

    def state(self) -> dict[str, int]:
        """Return the place of the next record, to be given to `restore`."""
        return {"record": self._position}

    def restore(self, state: dict[str, int]) -> None:
        """Go to a place that `state` returned.

        Raises
        ------
        DataError
            If the database does not have that many records.
        """
        record = int(state["record"])
        if not 0 <= record < self.record_count:
            raise DataError(
                f"source: expected a place among the {self.record_count} records of {self.path}, "
                f"got {record}; the database is not the one that was trained on"
            )
        self._go_to(record)

    def skip(self, count: int) -> None:
        """Leave out so many records."""
        end = self._position + count
        if self._records is None or end >= self.record_count:
            self._go_to(end % self.record_count)
            return
        # To go on from where one is takes less time than to start from the first record.
        self._position = end
        self._left_out += count

    def read(self, count: int) -> tuple[Images, Array]:
        """Return the next images and labels.

        Parameters
        ----------
        count : int
            How many records; 1 or more.

        Returns
        -------
        images : ndarray, shape (count, C, H, W), or list of arrays (C, H, W)
            Not to be written to. A list where the shapes or kinds of the images differ.
        labels : ndarray of int32, shape (count,)

        Raises
        ------
        DataError
            If a record is not a Datum, with its key.
        """
        self.load()
        start = self._position
        self._position = (start + count) % self.record_count
        if self._kept is None:
            return self._read_next(start, count)
        images, labels = self._kept
        if start + count <= self.record_count:
            return images[start : start + count], labels[start : start + count]
        places = np.arange(start, start + count) % self.record_count
        return images[places], labels[places]

    def load(self) -> bool:
        """Read the whole database if it is small enough; return whether it is in memory now."""
        if self._keep:
            self._kept = self._read_all()
            self._keep = 0
        return self._kept is not None

    def close(self) -> None:
        """Let go of the database."""
        self._records = self._database = None

    def _go_to(self, record: int) -> None:
        self._position = record
        self._records, self._left_out = None, 0

    def _read_all(self) -> tuple[Array, Array] | None:
        """Return all images and labels, or None if they are too many or not alike."""
        size = self.first.size * self.record_count
        if self.first.dtype != np.uint8 or size > self._keep:
            return None
        images = np.empty((self.record_count, *self.first.shape), np.uint8)
        labels = np.empty(self.record_count, np.int32)
        records = _iterate(self._database, 0)
        for start in range(0, self.record_count, _CHUNK):
            chunk = list(itertools.islice(records, _CHUNK))
            place = slice(start, start + len(chunk))
            found = self._decoder.decode_alike([value for _, value in chunk], images[place])
            if found is None:
                return None
            labels[place] = found
        del records
        self.close()
        return images, labels

    def _read_next(self, start: int, count: int) -> tuple[Images, Array]:
        chunk = list(itertools.islice(self._from(start), count))
        while len(chunk) < count:
            self._records, self._left_out = None, 0
            chunk += itertools.islice(self._from(0), count - len(chunk))
        if not self._position:
            self._records = None
        alike = np.empty((count, *self.first.shape), np.uint8)
        labels = self._decoder.decode_alike([value for _, value in chunk], alike)
        if labels is not None:
            return alike, labels
        decoded = [self._decode(*record) for record in chunk]
        return [image for image, _ in decoded], np.array([label for _, label in decoded], np.int32)

    def _from(self, record: int) -> Iterator[tuple[bytes, bytes]]:
        if self._records is None:
            self._records = _iterate(self._database, record)
        if not self._left_out:
            return self._records
        left_out, self._left_out = self._left_out, 0
        return itertools.chain([self._records.send(left_out)], self._records)

    def _decode(self, key: bytes, record: bytes) -> tuple[Array, int]:
        try:
            return self._decoder.decode(record)
        except DataError as error:
            raise DataError(f"{error}; it is record {key!r} of {self.path}") from error


def open_database(path: Path) -> Any:
    """Open an LMDB for reading.

    Parameters
    ----------
    path : Path
        Its folder.

    Returns
    -------
    lmdb.Environment
        It closes when the last reference goes.

    Raises
    ------
    DataError
        If there is no database, or it is damaged.
    UnsupportedError
        If lmdb is not installed.
    """
    lmdb = import_lmdb()
    check_database(path)
    name = str(path.resolve())
    database = _open_databases.get(name)
    if database is None:
        try:
            database = lmdb.open(name, readonly=True, lock=False, create=False)
        except lmdb.Error as error:
            raise DataError(f"source: {path} cannot be read as an LMDB: {error}") from error
        _open_databases[name] = database
    return database


def check_database(path: Path) -> None:
    """Refuse a folder that is no LMDB, or whose file is shorter than it says.

    A page that is missing from a mapped file would end the process, not raise an error.

    Raises
    ------
    DataError
        If so.
    """
    file = path / "data.mdb"
    if not path.exists():
        raise DataError(
            f"source: there is no {path}; make the database first, "
            f"or run from the folder that the path starts from (now {Path.cwd()})"
        )
    if not file.is_file():
        if (path / "CURRENT").exists():
            raise leveldb_refusal(f"source: expected an LMDB, got the LevelDB {path}")
        raise DataError(f"source: expected the folder of an LMDB, got {path} without data.mdb")
    try:
        size = file.stat().st_size
        needed = _needed_size(file)
    except OSError as error:
        raise DataError(f"source: {file} cannot be read: {error.strerror}") from error
    if needed is None:
        raise DataError(f"source: expected an LMDB, got {size} bytes of something else in {file}")
    if size < needed:
        raise DataError(
            f"source: expected {needed} bytes in {file}, got {size}; it is cut short, copy it again"
        )


def leveldb_refusal(what: str) -> DataError:
    """Return an error about a LevelDB, with notes that show how to make an LMDB of it."""
    error = DataError(
        f"{what}; make an LMDB from the images with sscaffe convert_imageset, or copy the records:"
    )
    error.add_note("  pip install plyvel lmdb")
    error.add_note(
        "  python -c \"import lmdb, plyvel; e = lmdb.open('NEW_LMDB', map_size=2**40); "
        "t = e.begin(write=True); [t.put(k, v) for k, v in plyvel.DB('OLD_LEVELDB')]; "
        't.commit()"'
    )
    return error


def _needed_size(file: Path) -> int | None:
    """Return how many bytes the pages of a data.mdb take, or None if it is not one."""
    with file.open("rb") as stream:
        first = stream.read(_META.size)
        if len(first) < _META.size:
            return None
        magic, version, page_size, last_page, transaction = _unpack(first)
        if magic != _MAGIC or version != 1 or not 256 <= page_size <= 65536:
            return None
        stream.seek(page_size)
        second = stream.read(_META.size)
    if len(second) < _META.size:
        return 2 * page_size
    other = _unpack(second)
    if other[0] == _MAGIC and other[4] > transaction:
        last_page = other[3]
    return (last_page + 1) * page_size


def _unpack(page: bytes) -> tuple[int, int, int, int, int]:
    """Return magic number, version, page size, last page and transaction."""
    magic, version, page_size, last_page, transaction = _META.unpack(page)
    return magic, version, page_size, last_page, transaction


def _iterate(database: Any, record: int) -> "_Records":
    """Yield the records from one on, key and value; leave out as many as it is sent."""
    lmdb = import_lmdb()
    try:
        with database.begin() as transaction, transaction.cursor() as cursor:
            is_there = cursor.first()
            for _ in range(record):
                is_there = cursor.next()
            while is_there:
                for _ in range((yield cursor.item()) or 0):
                    cursor.next()
                is_there = cursor.next()
    except lmdb.Error as error:
        raise DataError(f"source: {database.path()} is damaged: {error}") from error


def import_lmdb() -> ModuleType:
    """Return the module lmdb.

    Raises
    ------
    UnsupportedError
        If it is not installed.
    """
    try:
        import lmdb
    except ImportError as error:
        raise UnsupportedError("backend: LMDB needs lmdb: pip install 'sscaffe[data]'") from error
    module: ModuleType = lmdb
    return module
