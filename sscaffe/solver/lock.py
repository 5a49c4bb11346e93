"""One training at a time for each snapshot_prefix."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from sscaffe.errors import InUseError, SscaffeError
from sscaffe.files import temporaries
from sscaffe.glog import logger

_ENOUGH = 32  # bytes that a number of a process has at most


@contextlib.contextmanager
def locked(prefix: str, field: str = "snapshot_prefix", what: str = "training") -> Iterator[None]:
    """Keep other trainings from writing snapshots with a prefix until the block ends.

    The lock is the operating system's, on ``<prefix>.lock``; so it ends with the process, however
    that ends, and a file that was left behind keeps nobody out. With it, half-written files that
    killed trainings left are removed.

    Parameters
    ----------
    prefix : str
        What the names of the snapshots start with.
    field, what : str
        What chose the prefix, and what it is for, in errors; a sweep has a lock of its own.

    Raises
    ------
    InUseError
        If another process has the lock; the message has its number.
    SscaffeError
        If the file cannot be made.
    """
    path = Path(f"{prefix}.lock")
    descriptor = _acquire(path, field, what)
    try:
        before = _owner(descriptor)
        if before:
            logger.warning(
                "%s: taken over from process %s, which ended without a word", path, before
            )
        os.ftruncate(descriptor, 0)
        with contextlib.suppress(OSError):  # On a full disk the lock does without the number.
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        for left in temporaries(path.parent, f"{Path(prefix).name}_iter_"):
            logger.warning("%s: removed; a training was killed while it wrote this", left)
            left.unlink(missing_ok=True)
        yield
    finally:
        with contextlib.suppress(OSError):  # A folder that is read-only by now has its own error.
            path.unlink(missing_ok=True)
        os.close(descriptor)


def _acquire(path: Path, field: str, what: str) -> int:
    """Return the lock's file, locked."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise SscaffeError(
                f"{field}: {path} cannot be made: {error.strerror}; choose another {field}"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = _owner(descriptor) or "unknown"
            os.close(descriptor)
            raise InUseError(
                f"{field}: expected one {what} at a time, and process {owner} writes "
                f"here; wait for it, or choose another {field} ({path})"
            ) from None
        except OSError:
            logger.warning("%s: this file system has no locks; start no second %s", path, what)
            return descriptor
        if _is_still_there(path, descriptor):
            return descriptor
        os.close(descriptor)  # Its owner has just removed it.


def _is_still_there(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _owner(descriptor: int) -> str:
    return os.pread(descriptor, _ENOUGH, 0).decode(errors="replace").strip()
