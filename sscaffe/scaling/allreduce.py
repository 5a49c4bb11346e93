"""How long ranks take to add their gradients up: measured by ranks started for it."""

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from sscaffe.errors import SscaffeError, UnsupportedError

_SECONDS = 120  # after which the ranks have got stuck
_SMALL = (4, 256, 4096, 65536, 1 << 20)

Points = list[tuple[int, float]]


def launcher(words: str = "") -> list[str]:
    """Return what starts ranks: the words given, or the mpiexec of this environment or the system.

    Raises
    ------
    UnsupportedError
        If there is none.
    """
    if words:
        return shlex.split(words)
    beside = Path(sys.executable).with_name("mpiexec")
    found = str(beside) if beside.is_file() else shutil.which("mpiexec")
    if found is None:
        raise UnsupportedError(
            'mpiexec: there is none; pip install "sscaffe[mpi]", or say what the network does: '
            "--network LATENCY_US,GB_PER_S"
        )
    return [found]


def sizes_for(total: int) -> list[int]:
    """Return the bytes to measure with, up to those of a whole gradient."""
    return [size for size in _SMALL if size < total] + [total]


def measure_allreduce(ranks: int, sizes: Sequence[int], mpiexec: str = "") -> Points:
    """Start ranks, and time their Allreduce of several sizes.

    Parameters
    ----------
    ranks : int
        How many; 2 or more.
    sizes : sequence of int
        Bytes.
    mpiexec : str
        What starts them, with flags of its own, such as ``mpiexec -hosts a,b``.

    Returns
    -------
    list of (int, float)
        Bytes and seconds.

    Raises
    ------
    SscaffeError
        If they cannot be started, do not end, or fail.
    """
    words = [*launcher(mpiexec), "-n", str(ranks), sys.executable, "-m", "sscaffe.scaling.ranks"]
    words += map(str, sizes)
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=_SECONDS)
    except OSError as error:
        raise SscaffeError(f"mpiexec: {words[0]} cannot be run: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise SscaffeError(
            f"mpiexec: {shlex.join(words)} has not ended after {_SECONDS} s"
        ) from error
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise SscaffeError(f"mpiexec: {shlex.join(words)} ended with {done.returncode}: {reason}")
    return [(int(size), float(seconds)) for size, seconds in json.loads(done.stdout)]
