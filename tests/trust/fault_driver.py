"""Write a snapshot over and over, each time with a fault at the next call of the writer.

Run as ``python -m tests.trust.fault_driver KIND FORMAT``; KIND is ``crash``, which ends the
process within the call, or ``error``, which lets the call fail. Writes a line for each point: which
call, on which file, and what was found afterwards.
"""

import contextlib
import errno
import os
import sys
from pathlib import Path

from sscaffe import files
from sscaffe.errors import SscaffeError
from sscaffe.solver.newest import newest_complete
from tests.solver.nets import assert_same, small_solver, weights_of
from tests.trust.jobs import say

CALLS = ("open", "write", "fsync", "replace")
CRASHED = 77
KEEP = 'momentum: 0.9 snapshot_prefix: "only" snapshot_format: '


class Fault:
    """Lets the call with a number, counted over all of `CALLS`, crash or fail."""

    def __init__(self, kind, number):
        self.kind, self.left, self.place = kind, number, ""
        for name in CALLS:
            setattr(os, name, self._wrapped(name, getattr(os, name)))

    def _wrapped(self, name, call):
        def run(*args, **kwargs):
            self.left -= 1
            if self.left:
                return call(*args, **kwargs)
            self.place = f"{name} {self._name(args[0])}"
            sys.stdout.write(self.place)
            sys.stdout.flush()
            if name == "write":  # half of it reaches the disk
                call(args[0], args[1][: len(args[1]) // 2])
            if self.kind == "crash":
                os._exit(CRASHED)
            raise OSError(errno.EIO, "Input/output error")

        return run

    @staticmethod
    def _name(file):
        path = file if isinstance(file, Path) else Path(f"/proc/self/fd/{file}").readlink()
        return Path(path).resolve().name


def write_with_fault(kind, number, form):
    """Write the second snapshot with a fault; return the status of the process that did it."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    solver = small_solver(KEEP + form)
    solver.restore(newest_complete("only"))
    solver.step(1)
    fault = Fault(kind, number)
    status = 0
    try:
        solver.snapshot()
    except SscaffeError as error:
        status = CRASHED if "Input/output error" in str(error) else 1
    os._exit(status if fault.place else 0)


def main(kind, form):
    """Go through all points until there are no more."""
    files.CHUNK = 512  # so that there are many writes
    first = small_solver(KEEP + form)
    first.step(3)
    first.snapshot()
    kept = {path: path.read_bytes() for path in Path().iterdir()}
    number = 1
    while True:
        status = write_with_fault(kind, number, form)
        if status == 0:
            break
        assert status == CRASHED, status
        newest = newest_complete("only")
        assert all(path.read_bytes() == content for path, content in kept.items())
        resumed = small_solver(KEEP + form)
        resumed.restore(newest)
        if resumed.iter == 3:
            assert_same(weights_of(resumed), weights_of(first))
        left = len([*Path().glob("*.tmp.*")])
        say(f": goes on from {resumed.iter}, {left} left")
        for path in set(Path().iterdir()) - set(kept):
            path.unlink()
        number += 1
    say(f"{number - 1} points")


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(*sys.argv[1:])
