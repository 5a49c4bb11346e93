"""Train on several ranks: start them, watch over them, and restart them after a failure."""

import shlex
import sys
from collections.abc import Sequence

import click

from sscaffe import prototxt
from sscaffe.cli import options, train
from sscaffe.cli.flags import CaffeCommand
from sscaffe.cli.settings import apply_settings
from sscaffe.errors import SscaffeError
from sscaffe.glog import logger
from sscaffe.launch import Launcher, MpiExec
from sscaffe.launch.launcher import Resume
from sscaffe.launch.reach import require_hosts
from sscaffe.solver.newest import newest_complete, stamps
from sscaffe.solver.snapshot import prefix as snapshot_prefix

_EPILOG = (
    "Example: sscaffe launch -n 4 --max-restarts 3 -- train --solver "
    "models/lenet/lenet_solver.prototxt"
)
_HOSTS = "Where, over ssh: a,b or a:2,b:2; this machine by default."
_RESTARTS = "How often to go on from the newest snapshot after a failure."
_DEADLINE = "How long a step may take; by default 10 times the median step, at least 60."
_MPIEXEC = "The mpiexec to use, with flags of its own; that beside Python by default, else PATH's."


@click.command(cls=CaffeCommand, short_help="Train on several ranks.", epilog=_EPILOG)
@click.option("-n", "ranks", required=True, type=click.IntRange(1), help="How many ranks.")
@click.option("--hosts", default="", metavar="NAMES", help=_HOSTS)
@click.option("--max_restarts", default=0, type=click.IntRange(0), help=_RESTARTS)
@click.option("--deadline", default="", metavar="SECONDS", help=_DEADLINE)
@click.option("--mpiexec", default="", metavar="COMMAND", help=_MPIEXEC)
@click.argument("words", nargs=-1, metavar="-- train [FLAGS]")
def command(
    ranks: int, hosts: str, max_restarts: int, deadline: str, mpiexec: str, words: tuple[str, ...]
) -> int:
    """Run sscaffe train on several ranks, by MPI, and end all of them if one fails.

    A rank that dies, stops or is cut off ends the others; the training goes on from the newest
    whole snapshot that it has written, if restarts are left. The exit status is that of the
    training, or 75 if a rank stood still.

    Ctrl-C or SIGTERM: one snapshot, then the end; again: the end at once. SIGHUP or SIGUSR1: a
    snapshot.
    """
    if words[:1] != ("train",):
        raise SscaffeError(f"expected -- train and its flags, got {shlex.join(words)!r}")
    limit = options.positive("deadline", deadline) if deadline else None
    with options.logged():
        resume = _resume(words[1:], max_restarts)
        found = MpiExec.find(_words(mpiexec))
        require_hosts(options.split(hosts), found.words)
        launcher = Launcher(found, ranks, options.split(hosts), max_restarts, limit)
        return launcher.launch(_program(words), resume)


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError as error:
        raise SscaffeError(f"mpiexec: {command!r} cannot be read: {error}") from error


def _program(words: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "sscaffe", *words]


def _resume(flags: Sequence[str], max_restarts: int) -> Resume:
    """Return what finds the snapshots that the training will have written."""
    context = train.command.make_context("sscaffe train", list(flags))
    param = prototxt.read_solver(context.params["solver"])
    apply_settings(param, context.params["settings"])
    prefix = snapshot_prefix(param, root="", source=context.params["solver"], net_name="")
    if max_restarts and not param.snapshot:
        logger.warning(
            "max-restarts: the solver takes no snapshots on the way, so each restart begins anew; "
            "set snapshot in it"
        )
    older = () if context.params["snapshot"] == train.AUTO else stamps(prefix)

    def resume() -> tuple[str, list[str]]:
        snapshot = newest_complete(prefix, older=older)
        more = ["--snapshot", snapshot] if snapshot else []
        more += ["--weights", ""] if snapshot and context.params["weights"] else []
        return snapshot, _program(["train", *flags, *more])

    return resume
