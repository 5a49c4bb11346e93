"""Programs on this machine or on others, over ssh, that are stopped from here.

What a remote shell started goes on when the shell dies. So hosts run ``python -m sscaffe.hosts
PROGRAM``, which sends SIGINT to the program as soon as its standard input ends: because this side
closes it, or is no more.
"""

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sscaffe.errors import SscaffeError
from sscaffe.machine import end_with_parent

# No questions, as nobody is there to answer; a host that is silent for a minute is gone.
SHELL = "ssh -o BatchMode=yes -o ServerAliveInterval=15 -o ServerAliveCountMax=4"
SHELL_FAILED = 255  # the exit status of ssh where the program has none

_PASSED_ON = ("OMP_NUM_THREADS", "PYTHONPATH")  # of the environment, and what starts with
_OURS = "SSCAFFE_"


@dataclass(frozen=True)
class Place:
    """Where a program runs, one at a time.

    Attributes
    ----------
    host : str
        For a remote shell; empty for this machine.
    shell : sequence of str
        The words of the remote shell, to which those of the host and the command are added.
    threads : int
        How many a program on this machine may use; 0 for all.
    """

    host: str = ""
    shell: Sequence[str] = ()
    threads: int = 0

    def start(self, words: Sequence[str], log: Path | None = None) -> subprocess.Popen[bytes]:
        """Start a program in the working directory of this one, which hosts share.

        Parameters
        ----------
        words : sequence of str
            The program and its arguments.
        log : Path, optional
            What it writes is added to this file; without one, only stderr is shown.
        """
        environment = dict(os.environ)
        if self.threads:
            environment.setdefault("OMP_NUM_THREADS", str(self.threads))
        with contextlib.ExitStack() as files:
            output = files.enter_context(log.open("ab")) if log else None
            return subprocess.Popen(
                [*self.shell, self.host, _remote(words, log)] if self.host else list(words),
                stdin=subprocess.PIPE if self.host else None,
                stdout=output or subprocess.DEVNULL,
                stderr=output,
                env=environment,
                # Ctrl-C comes from `stop` alone, once.
                start_new_session=True,
                preexec_fn=end_with_parent,
            )

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """Send SIGINT to a program that was started here."""
        if process.stdin:
            process.stdin.close()
        else:
            process.send_signal(signal.SIGINT)

    def run(self, words: Sequence[str]) -> int:
        """Run a program, and return its exit status."""
        process = self.start(words)
        try:
            return process.wait()
        except KeyboardInterrupt:
            self.stop(process)
            process.wait()
            raise
        finally:
            if process.stdin:
                process.stdin.close()


_NAME = re.compile(r"([A-Za-z0-9_][\w.-]*@)?[A-Za-z0-9][\w.-]*", re.ASCII)


def places(names: Sequence[str], shell: str = SHELL) -> list[Place]:
    """Return a place for each host.

    Raises
    ------
    SscaffeError
        If one is no name of a host, or the remote shell has no words.
    """
    words = shlex.split(shell)
    if not words:
        raise SscaffeError("remote_shell: expected a program such as ssh, got none")
    for name in names:
        if not _NAME.fullmatch(name):
            raise SscaffeError(f"hosts: expected names with commas, got {name!r}")
    return [Place(name, words) for name in names]


def _remote(words: Sequence[str], log: Path | None) -> str:
    """Return the command for the shell of a host."""
    known = [f"{k}={v}" for k, v in os.environ.items() if k in _PASSED_ON or k.startswith(_OURS)]
    program = shlex.join(["env", *known, sys.executable, "-m", "sscaffe.hosts", *words])
    command = f"cd {shlex.quote(str(Path.cwd()))} && exec {program}"
    return f"{command} >> {shlex.quote(str(log))} 2>&1" if log else command


def attend(words: Sequence[str]) -> int:
    """Run a program until it ends; send it SIGINT when standard input ends."""
    process = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=end_with_parent
    )
    once = threading.Lock()

    def stop(*_: object) -> None:
        if once.acquire(blocking=False):
            process.send_signal(signal.SIGINT)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    threading.Thread(target=_at_end_of_input, args=(stop,), daemon=True).start()
    status = process.wait()
    return status if status >= 0 else 128 - status


def _at_end_of_input(call: Callable[[], None]) -> None:
    while os.read(0, 4096):
        pass
    call()


if __name__ == "__main__":
    sys.exit(attend(sys.argv[1:]))
