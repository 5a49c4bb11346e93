"""Whether the hosts of a launch can be reached, before an MPI says in its own words that not."""

import itertools
import os
import shlex
import socket
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from sscaffe.errors import SscaffeError

_CONNECT = 10  # seconds
_LIMIT = 30.0  # seconds in all
# Where a batch system runs, an MPI starts its ranks by it and not by ssh.
_BATCH = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "COBALT_JOBID")
_CHOICES = ("launcher", "bootstrap", "rmk", "mca", "prtemca")
_PROGRAMS = ("launcher-exec", "bootstrap-exec")


def require_hosts(hosts: Sequence[str], mpiexec: Sequence[str]) -> None:
    """Check that a remote shell reaches the hosts, where ranks will be started by one.

    Parameters
    ----------
    hosts : sequence of str
        Names, or ``name:ranks``.
    mpiexec : sequence of str
        The words of mpiexec, whose flags may choose another shell.

    Raises
    ------
    SscaffeError
        If one cannot be reached.
    """
    flags = {
        word.lstrip("-"): value
        for word, value in itertools.pairwise([*mpiexec[1:], ""])
        if word.startswith("-")
    }
    shell = _shell(flags)
    here = {"localhost", "127.0.0.1", socket.gethostname(), flags.get("localhost", "")}
    names = dict.fromkeys(host.partition(":")[0] for host in hosts)
    others = [name for name in names if name not in here]
    if not shell or not others:
        return
    with ThreadPoolExecutor(len(others)) as pool:
        found = list(pool.map(lambda name: _why_not([*shell, name, "true"]), others))
    for name, why in zip(others, found, strict=True):
        if why:
            raise SscaffeError(
                f"host {name}: it cannot be reached ({why}); this has to work, without a "
                f"password: {shlex.join([*shell, name, 'true'])}"
            )


def _shell(flags: dict[str, str]) -> list[str]:
    """Return the words of the remote shell; none if ranks are started by something else."""
    for program in (os.environ.get("HYDRA_LAUNCHER_EXEC", ""), *map(flags.get, _PROGRAMS)):
        if program:
            return [program]
    is_chosen = os.environ.get("HYDRA_LAUNCHER", "ssh") != "ssh" or not flags.keys().isdisjoint(
        _CHOICES
    )
    if is_chosen or any(name in os.environ for name in _BATCH):
        return []
    return ["ssh", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={_CONNECT}"]


def _why_not(words: Sequence[str]) -> str:
    """Return what a remote shell says if it does not work; empty if it does."""
    try:
        run = subprocess.run(
            list(words),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_LIMIT,
        )
    except OSError as error:
        return f"{words[0]}: {error.strerror}"
    except subprocess.TimeoutExpired:
        return f"no answer within {_LIMIT:.0f} s"
    lines = run.stderr.strip().splitlines()
    return (lines[-1] if lines else f"status {run.returncode}") if run.returncode else ""
