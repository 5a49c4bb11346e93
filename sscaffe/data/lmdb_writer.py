"""Write an LMDB, whole or not at all."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sscaffe.data.sources import import_lmdb
from sscaffe.errors import DataError

_OWN_FILES = {"data.mdb", "lock.mdb"}
# A transaction ends at so many records or bytes, whichever comes first.
_CHUNK = 1024
_CHUNK_BYTES = 2**26
_FIRST_MAP_SIZE = 2**24


class LmdbWriter:
    """A new LMDB, there when the ``with`` block has ended well; one of that name is replaced.

    Parameters
    ----------
    path : path-like
        The folder of the database; the folder it is in must exist.

    Attributes
    ----------
    count : int
        How many records were put.

    Raises
    ------
    DataError
        If `path` is something else than an LMDB, or cannot be written.
    UnsupportedError
        If lmdb is not installed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._target = Path(path)
        self._lmdb = import_lmdb()
        require_replaceable(self._target)
        self._temporary = self._target.with_name(f".{self._target.name}.tmp.{os.getpid()}")
        self._chunk: list[tuple[bytes, bytes]] = []
        self._chunk_bytes = 0
        self.count = 0

    def __enter__(self) -> Self:
        try:
            self._database = self._lmdb.open(
                str(self._temporary), map_size=_FIRST_MAP_SIZE, lock=False, sync=False
            )
        except (OSError, self._lmdb.Error) as error:
            raise self._refusal(error) from error
        return self

    def put(self, key: bytes, value: bytes) -> None:
        """Write a record; best in the order of the keys; the last one of a key stays."""
        self._chunk.append((key, value))
        self._chunk_bytes += len(value)
        self.count += 1
        if len(self._chunk) >= _CHUNK or self._chunk_bytes >= _CHUNK_BYTES:
            self._commit()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._commit()
                self._database.sync(True)
            self._database.close()
            if kind is None:
                _put_in_place(self._temporary, self._target)
        except (OSError, self._lmdb.Error) as failure:
            raise self._refusal(failure) from failure
        finally:
            self._database.close()
            shutil.rmtree(self._temporary, ignore_errors=True)

    def _commit(self) -> None:
        while True:
            try:
                _put(self._database, self._chunk)
                break
            except self._lmdb.MapFullError:
                self._database.set_mapsize(2 * self._database.info()["map_size"])
            except self._lmdb.Error as error:
                raise self._refusal(error) from error
        self._chunk, self._chunk_bytes = [], 0

    def _refusal(self, error: Exception) -> DataError:
        return DataError(f"{self._target}: cannot be written as an LMDB: {error}")


def write_lmdb(path: str | os.PathLike[str], records: Iterable[tuple[bytes, bytes]]) -> int:
    """Write records to a new LMDB; an LMDB of that name is replaced when all are written.

    Parameters
    ----------
    path : path-like
        The folder of the database; the folder it is in must exist.
    records : iterable of (key, value)
        Best in the order of their keys; the last of those with the same key stays.

    Returns
    -------
    int
        How many records were written.

    Raises
    ------
    DataError
        If `path` is something else than an LMDB, or cannot be written.
    UnsupportedError
        If lmdb is not installed.
    """
    with LmdbWriter(path) as writer:
        for key, value in records:
            writer.put(key, value)
    return writer.count


def require_replaceable(path: Path) -> None:
    """Refuse a place where something else than an LMDB stands.

    Raises
    ------
    DataError
        If so.
    """
    if not path.exists():
        return
    content = {entry.name for entry in path.iterdir()} if path.is_dir() else None
    if content is None or not content <= _OWN_FILES:
        raise DataError(
            f"{path}: expected an LMDB or nothing in this place, got something else; "
            "choose another folder"
        )


def _put(database: Any, chunk: list[tuple[bytes, bytes]]) -> None:
    with database.begin(write=True) as transaction:
        with transaction.cursor() as cursor:
            last = cursor.key() if cursor.last() else b""
        for key, value in chunk:
            # Appending fills the pages; it is allowed only behind the last key.
            transaction.put(key, value, append=key > last)
            last = max(last, key)


def _put_in_place(temporary: Path, target: Path) -> None:
    old = target.with_name(f".{target.name}.old.{os.getpid()}")
    if target.exists():
        target.rename(old)
    try:
        temporary.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
    descriptor = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
