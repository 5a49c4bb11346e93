"""The program that starts ranks: where it is, whose it is, and how it wants to be called."""

import math
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sscaffe.errors import SscaffeError, UnsupportedError

_SECONDS = 20.0  # to tell its version
# What SIGINT and the like do to the ranks is for the ranks to say. Hydra passes SIGINT and SIGTERM
# on and dies of SIGHUP; Open MPI ends the ranks at once, and passes on two others.
_HYDRA = {signal.SIGHUP: signal.SIGUSR1}
_OPEN_MPI = {
    signal.SIGINT: signal.SIGUSR2,
    signal.SIGTERM: signal.SIGUSR2,
    signal.SIGHUP: signal.SIGUSR1,
}


@dataclass(frozen=True)
class MpiExec:
    """An mpiexec.

    Attributes
    ----------
    words : sequence of str
        How it is called, with flags that it always gets.
    is_open_mpi : bool
        Whether it is Open MPI's, not Hydra, which MPICH, Intel MPI and MVAPICH have.
    """

    words: Sequence[str]
    is_open_mpi: bool

    @classmethod
    def find(cls, words: Sequence[str] = ()) -> Self:
        """Return the one that is called so; by default that beside Python, else that of PATH.

        Raises
        ------
        UnsupportedError
            If there is none, or it does not run.
        """
        beside = Path(sys.executable).with_name("mpiexec")
        default = str(beside) if beside.exists() else shutil.which("mpiexec")
        if not words and not default:
            raise UnsupportedError(
                'launch: there is no mpiexec; pip install "sscaffe[mpi]", or load a module that '
                "has one"
            )
        words = words or [str(default)]
        try:
            run = subprocess.run(
                [words[0], "--version"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=_SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UnsupportedError(f"{words[0]} does not run: {error}") from error
        version = run.stdout + run.stderr
        return cls(words, "Open MPI" in version or "OpenRTE" in version or "PRRTE" in version)

    def command(
        self,
        program: Sequence[str],
        ranks: int,
        hosts: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Return the words that start a program.

        Parameters
        ----------
        program : sequence of str
            What each rank runs.
        ranks : int
            How many there are.
        hosts : sequence of str
            Where, each a name or ``name:ranks``; this machine by default. Neighbouring ranks are
            on one host.
        environment : mapping of str to str, optional
            What hosts are to know beside what they always get.
        """
        words = [*self.words, "-n", str(ranks)]
        places = ",".join(_slots(hosts, ranks))
        if self.is_open_mpi:
            # It would give each rank one core, whatever OMP_NUM_THREADS says.
            words += ["--oversubscribe", "--bind-to", "none"]
            words += ["--allow-run-as-root"] if os.geteuid() == 0 else []
            words += ["--host", places] if places else []
            for name in environment or {}:
                words += ["-x", name]  # the value is that of its own environment
        else:
            words += ["-hosts", places] if places else []
            for name, value in (environment or {}).items():
                words += ["-genv", name, value]
        return [*words, *program]

    def passes_on(self, number: signal.Signals) -> signal.Signals:
        """Return the signal for mpiexec that does to the ranks what `number` would do."""
        return (_OPEN_MPI if self.is_open_mpi else _HYDRA).get(number, number)


_HOST = re.compile(r"([A-Za-z0-9_][\w.-]*@)?[A-Za-z0-9][\w.-]*(:\d+)?", re.ASCII)


def ranks_per_host(hosts: Sequence[str], ranks: int) -> int:
    """Return how many ranks the host with the most of them has."""
    return max((int(place.rpartition(":")[2]) for place in _slots(hosts, ranks)), default=ranks)


def _slots(hosts: Sequence[str], ranks: int) -> list[str]:
    """Return the hosts as ``name:ranks``.

    Raises
    ------
    SscaffeError
        If numbers were given, and they are not those of all ranks.
    """
    for host in hosts:
        if not _HOST.fullmatch(host):
            raise SscaffeError(
                f"hosts: expected names, or name:ranks for each, with commas, got {host!r}"
            )
    named = [host.rpartition(":") for host in hosts]
    if all(not colon for _, colon, _ in named):
        each = math.ceil(ranks / len(hosts)) if hosts else 0
        counts = [max(0, min(each, ranks - each * i)) for i in range(len(hosts))]
        return [f"{host}:{count}" for host, count in zip(hosts, counts, strict=True) if count]
    if not all(name and number.isdecimal() for name, _, number in named):
        raise SscaffeError(
            f"hosts: expected names, or name:ranks for each, got {','.join(hosts)!r}"
        )
    total = sum(int(number) for _, _, number in named)
    if total != ranks:
        raise SscaffeError(f"hosts: expected {ranks} ranks, as -n says, got {total}")
    return [host for host in hosts if not host.endswith(":0")]
