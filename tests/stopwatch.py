"""Times that tests may hold a program to, whatever else the machine does."""

import resource
import subprocess
import threading
import time
from typing import Self

TICK = 0.01  # seconds from one look to the next
LONGEST = 0.1  # that count of what is between two looks
NAME = "stopwatch"  # of a thread


class Stopwatch:
    """Counts seconds, but those in which the machine stood still, or this process did.

    A virtual machine that is not given its processors stops for seconds. Nobody can react to
    anything meanwhile, so that no reaction is late because of that.
    """

    def __init__(self):
        self.seconds, self._stop = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._run, name=NAME, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._stop.set()
        self._thread.join()

    def _run(self):
        last = time.monotonic()
        while not self._stop.wait(TICK):
            now = time.monotonic()
            self.seconds, last = self.seconds + min(now - last, LONGEST), now


def wait_until(condition, within=60.0, why=lambda: ""):
    """Wait until a function returns something true, and return that.

    What it takes is not what is tested: `within` only ends a test that would never end.
    """
    with Stopwatch() as watch:
        while not (found := condition()):
            assert watch.seconds < within, f"waited in vain for {within} s {why()}"
            time.sleep(TICK)
        return found


def processor_seconds(words, **options):
    """Run a program to its end; return the time of the processor that it used."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(words, check=True, **options)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
