"""Write an LMDB, whole or not at all."""

import itertools
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sscaffe.data.sources import import_lmdb
from sscaffe.errors import DataError

_OWN_FILES = {"data.mdb", "lock.mdb"}
_CHUNK = 1024  # records in a transaction
_FIRST_MAP_SIZE = 2**24


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
    lmdb = import_lmdb()
    target = Path(path)
    require_replaceable(target)
    temporary = target.with_name(f".{target.name}.tmp.{os.getpid()}")
    try:
        with lmdb.open(
            str(temporary), map_size=_FIRST_MAP_SIZE, lock=False, sync=False
        ) as database:
            count = _put_all(database, iter(records))
            database.sync(True)
        _put_in_place(temporary, target)
    except (OSError, lmdb.Error) as error:
        raise DataError(f"{target}: cannot be written as an LMDB: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return count


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


def _put_all(database: Any, records: Any) -> int:
    lmdb = import_lmdb()
    count = 0
    while chunk := list(itertools.islice(records, _CHUNK)):
        while True:
            try:
                _put(database, chunk)
                break
            except lmdb.MapFullError:
                database.set_mapsize(2 * database.info()["map_size"])
        count += len(chunk)
    return count


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
