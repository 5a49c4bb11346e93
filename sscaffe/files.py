"""Files that are either whole or not there."""

import errno
import glob
import os
from collections.abc import Callable
from pathlib import Path

from sscaffe.errors import FullError, SscaffeError

CHUNK = 1 << 24
"""Bytes of one call to the operating system."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


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
    FullError
        If there is no room for it; what stood there before still stands.
    SscaffeError
        If the file cannot be written for another reason; so it does then.
    """

    def write(temporary: Path) -> None:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(descriptor, rest[:CHUNK]) :]
        finally:
            os.close(descriptor)

    replace_atomically(path, write, len(content))


def replace_atomically(
    path: str | os.PathLike[str], write: Callable[[Path], None], size: int = 0
) -> None:
    """Let `write` fill a temporary file beside `path`, then move it into place.

    For writers that need a file name, such as HDF5; `write` flushes its own buffers.

    Parameters
    ----------
    path : path-like
        The file to replace.
    write : callable
        Called once with the path of the temporary file.
    size : int
        The bytes needed, if that is known, for the error.

    Raises
    ------
    FullError
        If there is no room for it; what stood there before still stands.
    SscaffeError
        If the file cannot be written for another reason; so it does then.
    """
    target = Path(path)
    if not target.absolute().parent.is_dir():
        raise SscaffeError(
            f"{target}: cannot be written: folder {target.parent} does not exist; make it first"
        )
    temporary = target.with_name(f"{target.name}.tmp.{os.getpid()}")
    try:
        write(temporary)
        _sync(temporary)
        temporary.replace(target)
        _sync(target.parent)
    except OSError as error:
        raise refusal(target, error, size) from error
    finally:
        temporary.unlink(missing_ok=True)


def refusal(path: Path, error: OSError, size: int = 0) -> SscaffeError:
    """Return what to say of a file that cannot be written: a FullError if it lacks room.

    Parameters
    ----------
    path : Path
        The file.
    error : OSError
        What the operating system said.
    size : int
        The bytes needed, if that is known.
    """
    what = f"{path}: cannot be written: {error.strerror or error}"
    if error.errno not in _FULL:
        return SscaffeError(what)
    needed = f"; {size} bytes are needed" if size else ""
    return FullError(f"{what}{needed}; make room, or choose another folder")


def temporaries(folder: Path, start: str) -> list[Path]:
    """Return what processes that were killed left behind of files whose names start so."""
    return [p for p in folder.glob(f"{glob.escape(start)}*.tmp.*") if p.suffix[1:].isdigit()]


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
