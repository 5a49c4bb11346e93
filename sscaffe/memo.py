"""What was measured to choose by, kept in a file from run to run: by AUTO, and of cuDNN's plans.

The file is ``auto.json`` in ``$SSCAFFE_CACHE``, else in ``$XDG_CACHE_HOME/sscaffe``, else in
``~/.cache/sscaffe``. Whoever deletes it lets all be measured again.
"""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from sscaffe.errors import SscaffeError
from sscaffe.files import write_atomically
from sscaffe.glog import logger

_TRIES, _PAUSE = 200, 0.01  # to get the lock, and seconds between them

Times = dict[str, float]

_known: dict[str, Times] = {}
_read_from: Path | None = None
_told_of: set[Path] = set()  # files that a warning was given for: one is enough


def path() -> Path:
    """Return where the file is."""
    folder = os.environ.get("SSCAFFE_CACHE")
    if folder:
        return Path(folder, "auto.json")
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "sscaffe", "auto.json").expanduser()


def recall(key: str) -> Times | None:
    """Return the times in ms of each candidate, if they were measured before."""
    return _all().get(key)


def recall_of(key: str, names: Iterable[str]) -> Times | None:
    """Return the times in ms if they were measured before, of just these candidates."""
    known = recall(key)
    return known if known is not None and known.keys() == set(names) else None


def times(key: str, names: Iterable[str], measure: Callable[[], Times]) -> Times:
    """Return the times of these candidates, measured now if they are not known."""
    known = recall_of(key, names)
    if known is None:
        known = measure()
        remember(key, known)
    return known


def remember(key: str, times: Times) -> None:
    """Keep times, in this process and in the file; a file that cannot be written is no error."""
    known = _all()
    known[key] = times
    target = path()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(target):
            # Another process may have written since; what it measured is kept.
            merged = {**_load(target), **known}
            write_atomically(target, json.dumps(merged, indent=1, sort_keys=True).encode())
    except (OSError, SscaffeError) as error:
        _warn(target, "cannot be written", error, "AUTO measures again in the next process")


@contextlib.contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Keep other processes, and threads, from writing meanwhile; wait for them, but not for long.

    Without locks, or beside a process that was stopped, one might lose what another measured.
    """
    try:
        # Others may not write it, and need not.
        lock = os.open(target.with_suffix(".lock"), os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError:
        yield
        return
    try:
        for _ in range(_TRIES):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(_PAUSE)
            except OSError:  # This file system has none.
                break
        yield
    finally:
        os.close(lock)


def _all() -> dict[str, Times]:
    global _known, _read_from
    target = path()
    if _read_from != target:
        _known, _read_from = _load(target), target
    return _known


def _load(target: Path) -> dict[str, Times]:
    try:
        content = json.loads(target.read_text(encoding="utf-8"))
        return {
            str(key): {str(name): float(value) for name, value in times.items()}
            for key, times in content.items()
        }
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        _warn(target, "cannot be read", error, "AUTO measures again")
        return {}
    except (ValueError, AttributeError, TypeError) as error:
        _warn(target, "is damaged", error, "AUTO measures again and writes it anew")
        return {}


def _warn(target: Path, what: str, error: Exception, so: str) -> None:
    """Say once for each file what is wrong with it, and what follows."""
    if target not in _told_of:
        _told_of.add(target)
        logger.warning("%s, where AUTO keeps its times, %s (%s): %s", target, what, error, so)
