"""What ranks tell ``sscaffe launch``, amid what they write to stderr.

Every MPI brings the stderr of its ranks to where it was started, from whatever host; so nothing
else has to be opened or found. The launcher takes the news out of what it shows.
"""

import array
import contextlib
import fcntl
import os
import re
import stat
import termios
import time
from dataclasses import dataclass

LAUNCH = "SSCAFFE_LAUNCH"
"""Set for the ranks that `sscaffe launch` started, to a word that no other launch has."""
DEADLINE = "SSCAFFE_DEADLINE"
# How `sscaffe launch` was called, up to the --, for who wants to go on.
LAUNCHED = "SSCAFFE_LAUNCHED"
"""The seconds that a step may take, if they were given."""

_NEWS = re.compile(rb"\x1e(\w+) (\d+) ([\d.]+) (\d+) ([\w.:-]*)\x1f")
_BEGUN = re.compile(rb"\x1e[\w .:-]{0,120}\Z")
_ODD = re.compile(r"[^\w.:-]", re.ASCII)
_LONGEST = 60  # characters of a place
_LOOK = 0.01  # seconds


@dataclass(frozen=True)
class News:
    """What a rank tells.

    Attributes
    ----------
    kind : str
        ``alive``, now and then; ``expired``, if its watchdog ends it; ``left``, if it ends.
    rank : int
        Whose news it is.
    silence : float
        After so many seconds without news it is lost.
    steps : int
        How many it has done.
    at : str
        The line of Python that it runs; empty if it waits for other ranks.
    """

    kind: str
    rank: int
    silence: float
    steps: int
    at: str = ""


def tell(news: News) -> None:
    """Write news to stderr, if `sscaffe launch` is there to read them."""
    if LAUNCH in os.environ:
        at = _ODD.sub("_", news.at[-_LONGEST:])
        text = f"\x1e{news.kind} {news.rank} {news.silence:.1f} {news.steps} {at}\x1f"
        os.write(2, text.encode())  # short enough to stay in one piece


def wait_until_read(seconds: float) -> None:
    """Wait until what was written to stderr and stdout is read, where a pipe takes it.

    Launchers take a rank's pipes; Hydra drops what is left in them when a rank aborts.

    Parameters
    ----------
    seconds : float
        After which it is given up.
    """
    end = time.monotonic() + seconds
    while any(map(_unread, (1, 2))) and time.monotonic() < end:
        time.sleep(_LOOK)


def _unread(descriptor: int) -> int:
    """Return the bytes in a pipe."""
    count = array.array("i", [0])
    with contextlib.suppress(OSError):
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            fcntl.ioctl(descriptor, termios.FIONREAD, count)
    return count[0]


class Ear:
    """Takes the news out of a stream of bytes."""

    def __init__(self) -> None:
        self._rest = b""

    def listen(self, data: bytes) -> tuple[bytes, list[News]]:
        """Return what is to be shown, and the news; what may be half of some waits."""
        data = self._rest + data
        begun = _BEGUN.search(data)
        self._rest = begun[0] if begun else b""
        data = data[: len(data) - len(self._rest)]
        heard = [
            News(kind.decode(), int(rank), float(silence), int(steps), at.decode())
            for kind, rank, silence, steps, at in _NEWS.findall(data)
        ]
        return _NEWS.sub(b"", data), heard
