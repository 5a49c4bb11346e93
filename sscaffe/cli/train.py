"""Train a net as a solver says: from scratch, from weights, or on from a snapshot."""

import contextlib
import os
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from sscaffe import prototxt
from sscaffe.cli import options
from sscaffe.cli.flags import CaffeCommand
from sscaffe.cli.results import print_json, print_table
from sscaffe.cli.settings import apply_settings
from sscaffe.cli.signals import EFFECTS, Signals
from sscaffe.device import gpu_count
from sscaffe.errors import DivergedError, SscaffeError
from sscaffe.glog import logger
from sscaffe.parallel.news import LAUNCH, LAUNCHED
from sscaffe.parallel.team import Team
from sscaffe.parallel.watchdog import Watchdog
from sscaffe.parallel.world import World, current
from sscaffe.progress import progress
from sscaffe.proto import caffe_pb2
from sscaffe.solver import Solver
from sscaffe.solver.lock import locked
from sscaffe.solver.newest import newest_complete
from sscaffe.solver.snapshot import prefix as snapshot_prefix
from sscaffe.tensorboard import TensorBoard

AUTO = "auto"  # the snapshot that is looked for
_SNAPSHOT = "Go on from this solverstate; auto: from the newest whole one, if there is one."
FAILURES = ("stop", "warn")
_FAILURE = "Where there is no room for a snapshot: stop, or warn, go on and try the next."
_SPLIT = "Divide the batch by the number of ranks; by default each has all of it, as in Caffe."
_EPILOG = "Example: sscaffe train --solver models/lenet/lenet_solver.prototxt --set max_iter=2000"


@click.command(cls=CaffeCommand, short_help="Train a net.", epilog=_EPILOG)
@click.option("--solver", required=True, metavar="FILE", help="What to do: a solver prototxt.")
@options.weights(required=False)
@click.option("--snapshot", default="", metavar="FILE|auto", help=_SNAPSHOT)
@click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE", help="Change the solver.")
@click.option("--sigint_effect", type=click.Choice(EFFECTS), default="stop", help="Of Ctrl-C.")
@click.option("--sighup_effect", type=click.Choice(EFFECTS), default="snapshot", help="Of SIGHUP.")
@click.option("--snapshot_failure", type=click.Choice(FAILURES), default="stop", help=_FAILURE)
@click.option("--split-batch", "split_batch", is_flag=True, help=_SPLIT)
@options.conv_mode("every convolution of the test nets")
@options.net_state
@options.gpu_option
@options.tf32
@options.allow_python
@click.option("--log", default="", metavar="FILE", help="Write the log to this file as well.")
@click.option("--tensorboard", default="", metavar="DIR", help="Write scalars there as well.")
@options.as_json
def command(as_json: bool, log: str, tensorboard: str, **flags: Any) -> int:
    """Train a net, go on with its training, or fine-tune it.

    Ctrl-C or SIGTERM: finish the iteration, take a snapshot, show how to go on; again: stop at
    once. SIGHUP or SIGUSR1: take a snapshot and go on.

    Started by mpiexec, all processes train one net, each on its own records.
    """
    world = current()
    with (
        options.logged(log, world),
        _watched(world) as watchdog,
        _solver(flags, Team(world, split_batch=flags["split_batch"], watchdog=watchdog)) as solver,
    ):
        signals = Signals(solver, flags["sigint_effect"], flags["sighup_effect"])
        start = time.monotonic()
        shows = contextlib.ExitStack()
        with signals.handled(), shows:
            if world.is_first:
                shows.enter_context(_shown(solver))
                shows.enter_context(_board(solver, tensorboard))
            _solve(solver, flags["snapshot"])
        status = world.largest(signals.status)
        results = _results(solver, time.monotonic() - start, ended=not status)
        if status:
            more = flags | {"log": log, "tensorboard": tensorboard, "ranks": world.size}
            results["resume"] = resume_command(more, solver.snapshot_path)
    if world.is_first:
        print_json(results) if as_json else _print(results)
    return status


@contextlib.contextmanager
def _watched(world: World) -> Iterator[Watchdog]:
    """Watch over this rank, where it may have to wait for others or somebody waits for it."""
    watchdog = Watchdog(world.rank)
    with watchdog if world.size > 1 or LAUNCH in os.environ else contextlib.nullcontext():
        yield watchdog


@contextlib.contextmanager
def _solver(flags: dict[str, Any], team: Team) -> Iterator[Solver]:
    """Make the solver, alone at its snapshots; `flags` gets the snapshot that was found."""
    world = team.world
    asked = flags["gpu"]
    if asked == "all" and world.size > 1:
        asked = str(world.place % max(gpu_count(), 1))  # a GPU for each rank of this machine
    options.device(asked)  # what is not there is refused first
    param = prototxt.read_solver(flags["solver"])
    wants_gpu = param.HasField("solver_mode") and param.solver_mode == param.GPU
    number = asked or (str(param.device_id) if wants_gpu else "")
    place = options.device(number, tf32=flags["tf32"])
    apply_settings(param, flags["settings"])
    if world.is_first:
        require_writable(param.snapshot_prefix)
    prefix = snapshot_prefix(param, root="", source=flags["solver"], net_name="")
    with locked(prefix) if world.is_first else contextlib.nullcontext():
        if flags["snapshot"] == AUTO:
            found = newest_complete(prefix) if world.is_first else ""
            flags["snapshot"] = world.broadcast(found)
            if flags["snapshot"]:
                flags["weights"] = ""
            else:
                logger.info("There are no snapshots at %s; training starts anew", prefix)
        _choose_weights(param, flags)
        with Solver(
            param,
            device=place,
            source=flags["solver"],
            test_conv_mode=flags["conv_mode"],
            allow_python=flags["allow_python"],
            team=team,
        ) as solver:
            if world.is_first and (param.snapshot or param.snapshot_after_train):
                solver.require_room()
            solver.goes_on_without_room = flags["snapshot_failure"] == "warn"
            yield solver


def _choose_weights(param: caffe_pb2.SolverParameter, flags: dict[str, Any]) -> None:
    if flags["weights"] and flags["snapshot"]:
        raise SscaffeError("weights: not together with snapshot, which has weights of its own")
    if flags["weights"] or flags["snapshot"]:
        param.ClearField("weights")
        param.weights.extend(options.split(flags["weights"]))
    if flags["level"]:
        param.train_state.level = flags["level"]
    param.train_state.stage.extend(options.split(flags["stage"]))


def _solve(solver: Solver, snapshot: str) -> None:
    try:
        solver.solve(snapshot or None)
    except DivergedError as error:
        if solver.snapshot_path:
            error.add_note(f"  last snapshot: {solver.snapshot_path}")
        raise


@contextlib.contextmanager
def _shown(solver: Solver) -> Iterator[None]:
    """Show how far the training is, where stderr is a terminal."""
    with progress(solver.net.name or "training", solver.iter, solver.param.max_iter) as advance:

        def show(one: Solver) -> None:
            advance(one.iter, f"loss {one.smoothed_loss:.4g}")

        solver.callbacks.append(show)
        try:
            yield
        finally:
            solver.callbacks.remove(show)


@contextlib.contextmanager
def _board(solver: Solver, folder: str) -> Iterator[None]:
    """Write scalars for TensorBoard, if a folder is given."""
    if not folder:
        yield
        return
    board = TensorBoard(solver, folder)
    try:
        yield
    finally:
        board.close()


def _results(solver: Solver, seconds: float, *, ended: bool) -> dict[str, Any]:
    interval = solver.param.test_interval
    # Any other test was of weights that are no longer those of the net.
    tests = solver.test_results if ended and interval and solver.iter % interval == 0 else []
    return {
        "iterations": solver.iter,
        "loss": solver.smoothed_loss,
        "test": [{name: mean.tolist() for name, mean in test.items()} for test in tests],
        "snapshot": solver.snapshot_path,
        "seconds": seconds,
    }


def _print(results: dict[str, Any]) -> None:
    rows: list[tuple[str, Any]] = [("iterations", results["iterations"]), ("loss", results["loss"])]
    for number, result in enumerate(results["test"]):
        for name, mean in result.items():
            if isinstance(mean, float):
                rows.append((f"test net #{number}, {name}", mean))
    rows += [("seconds", results["seconds"]), ("snapshot", results["snapshot"] or None)]
    print_table(["training", ""], rows)
    if "resume" in results:
        click.echo(f"go on with: {results['resume']}")


def require_writable(prefix: str) -> None:
    """Refuse a snapshot_prefix that no snapshot could be written to.

    Raises
    ------
    SscaffeError
        If its folder is missing, is no folder, or cannot be written to.
    """
    folder = Path(prefix) if prefix.endswith("/") or Path(prefix).is_dir() else Path(prefix).parent
    if not folder.exists():
        reason = f"folder {folder} does not exist in {Path.cwd()}; run from the folder that "
        reason += (
            f"the prototxt's paths start from, or make it: mkdir -p {shlex.quote(str(folder))}"
        )
    elif not folder.is_dir():
        reason = f"{folder} is not a folder; choose another snapshot_prefix"
    elif not os.access(folder, os.W_OK | os.X_OK):
        reason = f"folder {folder} cannot be written to; choose another snapshot_prefix"
    else:
        return
    raise SscaffeError(f"snapshot_prefix: {reason}")


def resume_command(flags: dict[str, Any], snapshot: str) -> str:
    """Return the command that goes on from a snapshot."""
    ranks = flags.get("ranks", 1)
    if launched := os.environ.get(LAUNCHED, ""):
        words = [*shlex.split(launched), "train"]
    else:
        words = [*(["mpiexec", "-n", str(ranks)] if ranks > 1 else []), "sscaffe", "train"]
    words += ["--solver", flags["solver"], "--snapshot", snapshot]
    for setting in flags["settings"]:
        words += ["--set", setting]
    for name in ("conv_mode", "level", "stage", "log", "tensorboard"):
        if flags.get(name):
            words += [f"--{name}", str(flags[name])]
    if flags.get("gpu"):
        words += ["--gpu", flags["gpu"]]
    if flags.get("tf32"):
        words.append("--tf32")
    if flags.get("split_batch"):
        words.append("--split-batch")
    if flags["allow_python"]:
        words.append("--allow-python-layers")
    for name, default in (
        ("sigint_effect", "stop"),
        ("sighup_effect", "snapshot"),
        ("snapshot_failure", "stop"),
    ):
        if flags.get(name, default) != default:
            words += [f"--{name}", flags[name]]
    return shlex.join(words)
