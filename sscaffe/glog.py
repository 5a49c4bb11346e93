"""Log lines in glog's form, on stderr, as Caffe's users and their parsers know them.

``I1123 09:15:00.123456  4711 solver.py:210] Iteration 100, loss = 0.2``
"""

import logging
import os
import sys
import time

_LETTERS = {logging.DEBUG: "I", logging.INFO: "I", logging.WARNING: "W", logging.ERROR: "E"}

logger = logging.getLogger("sscaffe")
logger.addHandler(logging.NullHandler())


class GlogFormatter(logging.Formatter):
    """Put glog's header in front of every line of a message.

    Parameters
    ----------
    speaker : str
        Put between header and line: which of several processes says it.
    """

    def __init__(self, speaker: str = "") -> None:
        super().__init__()
        self._speaker = speaker

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's lines, each with level, date, process and source."""
        local = time.localtime(record.created)
        microseconds = int(record.created % 1 * 1e6)
        header = (
            f"{_LETTERS.get(record.levelno, 'F')}{time.strftime('%m%d %H:%M:%S', local)}"
            f".{microseconds:06d} {os.getpid():5d} {record.filename}:{record.lineno}] "
            f"{self._speaker}"
        )
        lines = record.getMessage().split("\n")
        return "\n".join(header + line for line in lines)


def log_to_stderr(level: int = logging.INFO) -> logging.Handler:
    """Send sscaffe's log lines to stderr in glog's form; call it once, from a command.

    Parameters
    ----------
    level : int
        The least level shown, as in `logging`.

    Returns
    -------
    logging.Handler
        The handler, for a caller that wants to remove it.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(GlogFormatter())
    logger.addHandler(handler)
    logger.setLevel(level)
    return handler
