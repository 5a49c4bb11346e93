"""The ``sscaffe`` command, also as ``python -m sscaffe``."""

import signal
import sys
from typing import NoReturn

from sscaffe.cli import INTERRUPTED, main
from sscaffe.parallel.world import joined


def run() -> NoReturn:
    """Run one command and leave; Ctrl-C does no more once it has ended."""
    try:
        status = main()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:
        status = INTERRUPTED
        joined().abort(status)
    sys.exit(status)


if __name__ == "__main__":
    run()
