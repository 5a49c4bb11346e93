"""The command line: ``sscaffe <command>``, one file a command."""

import errno
import importlib
import sys
import traceback
from collections.abc import Sequence

import click

from sscaffe import __version__
from sscaffe.cli.flags import CaffeGroup
from sscaffe.cli.streams import forget_readers, open_missing
from sscaffe.errors import DivergedError, FullError, SscaffeError, UnsupportedError
from sscaffe.parallel.world import joined, started_with

# A command is imported when it is called, so that the help of all of them takes no time.
COMMANDS = {
    "train": "Train a net, go on with its training, or fine-tune it.",
    "init": "Add SSL to a net: write nets and solvers.",
    "pipeline": "Train, sparsify, fine-tune, squeeze and time: one job.",
    "launch": "Train on several ranks, on one machine or many.",
    "sweep": "Try many lambdas, and show what is best.",
    "scaling": "Predict how well many ranks would train.",
    "squeeze": "Make a sparse net physically smaller.",
    "convert": "Turn nets and weights into other formats.",
    "test": "Score a trained net.",
    "time": "Time a net layer by layer.",
    "upgrade": "Bring an old net, caffemodel or solver up to date.",
    "generate": "Write the prototxts of well-known nets.",
    "data": "Make databases of well-known data sets.",
    "convert_imageset": "Make a database of image files and their labels.",
    "compute_image_mean": "Compute the mean image of a database.",
    "extract_features": "Write what a trained net makes of its data.",
    "parse_log": "Make tables of the log of a training.",
    "draw": "Draw a net as a graph.",
    "summary": "Show layers, parameters, work and memory of a net.",
    "sparsity": "Show how sparse trained weights are.",
    "explain": "Show what the groups of a net are.",
    "diff": "Compare two nets, or two files of weights.",
    "report": "Make one HTML page of a training or a sweep.",
    "demo": "Train, sparsify, fine-tune and time a net: 2 minutes.",
    "device_query": "Show what this machine can run, and what is missing.",
}
ALIASES = {"doctor": "device_query", "draw_net": "draw"}

_STATUS = {DivergedError: 3, FullError: 4}
INTERRUPTED = 130  # what a shell reports for a program that SIGINT ended


class _Commands(CaffeGroup):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = cmd_name.replace("-", "_")
        name = ALIASES.get(name, name)
        if name not in COMMANDS:
            return None
        command = importlib.import_module(f"sscaffe.cli.{name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: sscaffe train --solver models/lenet/lenet_solver.prototxt",
)
@click.version_option(__version__)
@click.option("--debug", is_flag=True, help="Show where in the program an error arose.")
def commands(debug: bool) -> None:
    """Train Caffe nets, make them structurally sparse, and run them fast."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        What stands after ``sscaffe``; what the shell gave by default.

    Returns
    -------
    int
        The exit status: 0, or 1 for an error or a wrong flag, 3 for a training that diverged,
        4 for a file for which there is no room, 75 for a rank that stood still, 130 and 143 for
        one that SIGINT or SIGTERM ended.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = [word for word in words if word not in ("-debug", "--debug")]
    open_missing()
    try:
        return _run(arguments)
    except BrokenPipeError:
        forget_readers()
        return 1  # as click does where it meets this
    except SystemExit as end:  # of one rank, in the middle of things: the others would wait
        joined().abort(end.code if isinstance(end.code, int) else 1)
        raise
    except Exception as error:  # The one place where errors end.
        joined().wait_turn()
        if len(arguments) < len(words):
            traceback.print_exception(error)
        status = _tell(_name(arguments), error)
        joined().abort(status)
        return status


# What several processes may be asked for at once.
_TOGETHER = ("train", "device_query", "doctor")


def _require_alone(arguments: list[str]) -> None:
    name = arguments[0] if arguments else ""
    if (count := started_with()) > 1 and name in COMMANDS and name not in _TOGETHER:
        raise UnsupportedError(
            f"MPI started {count} processes, each of which would do all of it; leave "
            "mpiexec out, as only train works together"
        )


def _run(arguments: list[str]) -> int:
    try:
        _require_alone(arguments)
        status = commands.main(arguments or ["--help"], prog_name="sscaffe", standalone_mode=False)
        sys.stdout.flush()
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "sscaffe"
        click.echo(f"{path}: {error.format_message()}\n  see: {path} --help", err=True)
        return 1
    except click.Abort:
        return INTERRUPTED
    return status if isinstance(status, int) else 0


def _name(arguments: list[str]) -> str:
    """Return the command as it was called, such as ``sscaffe data mnist``."""
    flag = next((i for i, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    words = 2 if arguments[:1] in (["data"], ["generate"]) else 1  # what follows is files
    return " ".join(["sscaffe", *arguments[: min(flag, words)]])


def _tell(name: str, error: Exception) -> int:
    if isinstance(error, SscaffeError):
        what = str(error)
    elif isinstance(error, OSError) and error.errno == errno.ENOSPC:
        what = f"{error.filename or 'the output'}: {error.strerror}; the results were not written"
    elif isinstance(error, MemoryError):
        size = str(error).lower()
        whose = (
            "of the GPU"
            if type(error).__module__.startswith("cupy")
            else "that this process may use"
        )
        what = f"the memory {whose} is used up{f' ({size})' if size else ''}; "
        what += "use a smaller batch_size, or free memory"
    else:
        reason = (str(error).splitlines() or ["no reason given"])[0]
        what = f"sscaffe met a fault of its own: {type(error).__name__}: {reason}"
        what += "; run again with --debug to see where"
    if joined().size > 1:
        name = f"rank {joined().rank}: {name}"
    click.echo("\n".join([f"{name}: {what}", *getattr(error, "__notes__", [])]), err=True)
    return next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 1)
