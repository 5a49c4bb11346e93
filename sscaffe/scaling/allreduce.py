"""How long ranks take to add their gradients up: measured by ranks started for it."""

import json
import shlex
import subprocess
import sys
from collections.abc import Sequence

from sscaffe.errors import SscaffeError
from sscaffe.launch import MpiExec

_SECONDS = 120  # after which the ranks have got stuck
_SMALL = (4, 256, 4096, 65536, 1 << 20)

Points = list[tuple[int, float]]


def sizes_for(total: int) -> list[int]:
    """Return the bytes to measure with, up to those of a whole gradient."""
    return [size for size in _SMALL if size < total] + [total]


def measure_allreduce(ranks: int, sizes: Sequence[int], mpiexec: MpiExec) -> Points:
    """Start ranks, and time their Allreduce of several sizes.

    Parameters
    ----------
    ranks : int
        How many; 2 or more.
    sizes : sequence of int
        Bytes.
    mpiexec : MpiExec
        What starts them.

    Returns
    -------
    list of (int, float)
        Bytes and seconds.

    Raises
    ------
    SscaffeError
        If they do not end, or fail.
    """
    program = [sys.executable, "-m", "sscaffe.scaling.ranks", *map(str, sizes)]
    words = mpiexec.command(program, ranks)
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise SscaffeError(
            f"mpiexec: {shlex.join(words)} has not ended after {_SECONDS} s"
        ) from error
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise SscaffeError(f"mpiexec: {shlex.join(words)} ended with {done.returncode}: {reason}")
    return [(int(size), float(seconds)) for size, seconds in json.loads(done.stdout)]
