"""Files that are either whole or not there."""

import os
from collections.abc import Callable
from pathlib import Path

from sscaffe.errors import SscaffeError


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file so that a crash leaves either the old one or the new one.

    Parameters
    ----------
    path : path-like
        The file to write; its folder must exist.
    content : bytes
        All of it.

    Raises
    ------
    SscaffeError
        If the file cannot be written; what stood there before still stands.
    """

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    replace_atomically(path, write)


def replace_atomically(path: str | os.PathLike[str], write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, then move it into place.

    For writers that need a file name, such as HDF5; `write` flushes its own buffers.

    Parameters
    ----------
    path : path-like
        The file to replace.
    write : callable
        Called once with the path of the temporary file.

    Raises
    ------
    SscaffeError
        If the file cannot be written; what stood there before still stands.
    """
    target = Path(path)
    temporary = target.with_name(f"{target.name}.tmp.{os.getpid()}")
    try:
        write(temporary)
        _sync(temporary)
        temporary.replace(target)
        _sync(target.parent)
    except OSError as error:
        raise SscaffeError(f"{target}: cannot be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
