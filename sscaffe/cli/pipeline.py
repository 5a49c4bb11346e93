"""Train, sparsify, fine-tune, squeeze and time a net: one job that can be stopped and go on."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import click

from sscaffe import pipeline
from sscaffe.cli import options, ssl_flags
from sscaffe.cli.flags import CaffeCommand
from sscaffe.cli.results import print_json, print_table
from sscaffe.cli.settings import apply_settings
from sscaffe.cli.signals import Signals
from sscaffe.errors import SscaffeError
from sscaffe.glog import logger
from sscaffe.layer import TEST
from sscaffe.net import Net
from sscaffe.net.rules import test_state
from sscaffe.progress import progress
from sscaffe.proto import caffe_pb2
from sscaffe.prototxt import read_net
from sscaffe.solver import Solver
from sscaffe.solver.settings import checked
from sscaffe.timing import fill_inputs, stand_in_for_missing_data, time_in_turns

_EPILOG = (
    "Example: sscaffe pipeline models/lenet/lenet_solver.prototxt --ssl filter,shape "
    "--lambda 0.004 --out runs/lenet"
)
_LAMBDA = "Strength of group lasso; auto, the default: where it weighs as much as the loss."
_SET = "Change the solver of SSL, as in target_flops=0.25."
_STAGES = f"Only these: {', '.join(pipeline.STAGES)}."
_RUNS = 50  # of each net that is timed

Later = dict[str, Callable[[pipeline.Pipeline], pipeline.Stage]]
"""What the stages after the trainings do."""


@click.command(cls=CaffeCommand, short_help="Train, sparsify, fine-tune, squeeze.", epilog=_EPILOG)
@click.argument("solver", metavar="SOLVER")
@ssl_flags.kinds
@click.option("--out", required=True, metavar="DIR", help="The folder of the run.")
@click.option("--layers", default="", metavar="NAMES", help="Which, with commas and wildcards.")
@click.option("--lambda", "strength", default="auto", metavar="NUMBER|auto", help=_LAMBDA)
@click.option("--batches", default=10, metavar="NUMBER", help="For --lambda auto.")
@click.option("--proximal", is_flag=True, help="Take proximal steps: exact zeros, no threshold.")
@options.weights(required=False)
@click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE", help=_SET)
@click.option("--stages", default="", metavar="NAMES", help=_STAGES)
@click.option("--log", default="", metavar="FILE", help="Of the log; in DIR by default.")
@options.as_json
def command(solver: str, out: str, stages: str, log: str, as_json: bool, **flags: Any) -> int:
    """Train the net of SOLVER, make it sparse, fine-tune, squeeze and time it.

    Run the same command again to go on where it was stopped. With --weights, the baseline is
    trained already. The folder gets nets, solvers, snapshots, pipeline.json and pipeline.log, which
    sscaffe report shows.
    """
    stopped: list[int] = []
    with options.logged(log):
        plan = _plan(solver, **flags)
        quiet = contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext()
        later: Later = {"squeeze": partial(_squeeze, quiet), "time": _time}

        def train(one: Solver, state: str) -> bool:
            status = _train(one, state)
            stopped.extend([status] if status else [])
            return not status

        job = pipeline.Pipeline(plan, Path(out), later, train, apply_settings)
        _check(job)
        job.prepare()
        with _also_logged("" if log else str(job.folder / "pipeline.log")):
            job.run(options.split(stages) or pipeline.STAGES)
    print_json(job.done) if as_json else _print(job)
    if stopped:
        click.echo("stopped: run the same command again to go on", err=True)
    return stopped[0] if stopped else 0


def _plan(
    solver: str,
    *,
    kinds: str,
    layers: str,
    strength: str,
    batches: int,
    proximal: bool,
    weights: str,
    settings: tuple[str, ...],
) -> pipeline.Plan:
    number: float | None = None
    if strength != "auto":
        number = options.positive("lambda", strength, "or auto")
    return pipeline.Plan(
        source=solver,
        weights=weights,
        kinds=tuple(options.split(kinds)),
        layers=tuple(options.split(layers)),
        strength=number,
        batches=batches,
        proximal=proximal,
        settings=settings,
    )


@contextlib.contextmanager
def _also_logged(path: str) -> Iterator[None]:
    """Log to a file as well, if there is one."""
    handler = options.log_to_file(path) if path else None
    try:
        yield
    finally:
        if handler:
            logger.removeHandler(handler)
            handler.close()


def _check(job: pipeline.Pipeline) -> None:
    """Say what is wrong before anything is trained."""
    if job.plan.batches < 1:
        raise SscaffeError(f"batches: expected 1 or more, got {job.plan.batches}")
    settings = caffe_pb2.SolverParameter()
    settings.CopyFrom(job.base.solver)
    apply_settings(settings, job.plan.settings)
    checked(settings)


def _train(solver: Solver, state: str) -> int:
    """Train until the end or a signal; return the exit status."""
    signals = Signals(solver, "stop", "snapshot")
    name = solver.net.name or "training"
    with signals.handled(), progress(name, solver.iter, solver.param.max_iter) as advance:
        solver.callbacks.append(lambda one: advance(one.iter, f"loss {one.smoothed_loss:.4g}"))
        solver.solve(state or None)
    return signals.status


def _squeeze(quiet: AbstractContextManager[Any], job: pipeline.Pipeline) -> pipeline.Stage:
    from sscaffe.cli import main

    net, weights = job.folder / "squeezed.prototxt", job.folder / "squeezed.caffemodel"
    words = ["squeeze", "--model", job.base.net_file, "--weights", job.weights("finetune")]
    words += ["--force", "--out-model", str(net), "--out-weights", str(weights)]
    with quiet:
        status = main(words)
    if status:
        raise SscaffeError(f"squeeze: ended with status {status}")
    return {"net": str(net), "weights": str(weights)}


def _time(job: pipeline.Pipeline) -> pipeline.Stage:
    """Time a forward pass of the test net: as trained first, sparse, and squeezed."""
    files = {name: (job.base.net_file, job.weights(name)) for name in ("baseline", "finetune")}
    if "squeeze" in job.done:
        files["squeezed"] = job.done["squeeze"]["net"], job.weights("squeeze")
    nets = [_opened(*pair) for pair in files.values()]
    for net in nets:
        fill_inputs(net)
    timings = time_in_turns(nets, _RUNS)
    for net in nets:
        net.close()
    return {name: one.forward.median for name, one in zip(files, timings, strict=True)}


def _opened(model: str, weights: str) -> Net:
    param = read_net(model)
    param = stand_in_for_missing_data(param, state=test_state(param))
    return Net(param, TEST, weights=weights.split(","), source=model)


def _print(job: pipeline.Pipeline) -> None:
    rows: list[tuple[Any, ...]] = []
    names = list(dict.fromkeys(name for s in job.done.values() for name in _scores(s)))
    for stage in pipeline.STAGES[:3]:
        if stage in job.done:
            found = job.done[stage]
            scores = [_scores(found).get(name) for name in names]
            rows.append((stage, found["iterations"], *scores, 100 * found["flops"]))
    if rows:
        print_table(["stage", "iterations", *names, "FLOP %"], rows)
    for layer, kept in job.done.get("finetune", {}).get("kept", {}).items():
        sizes = f"{kept['rows']} x {kept['columns']}"
        click.echo(f"{layer}: {sizes} -> {kept['kept_rows']} x {kept['kept_columns']}")
    if "time" in job.done:
        times = job.done["time"]
        first = times["baseline"]
        cells = [(name, ms, first / ms) for name, ms in times.items()]
        print_table(["forward pass", "ms", "x baseline"], cells)
    logger.info("the state of the run is in %s", job.folder / pipeline.STATE)


def _scores(stage: pipeline.Stage) -> dict[str, float]:
    tests = stage.get("test") or [{}]
    return {name: mean for name, mean in tests[0].items() if isinstance(mean, float)}
