"""Try many lambdas, each in a run of its own, and show what is best."""

import json
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from sscaffe import pipeline, sweep
from sscaffe.cli import options, ssl_flags
from sscaffe.cli.flags import CaffeCommand
from sscaffe.cli.results import print_json, print_table
from sscaffe.errors import SscaffeError
from sscaffe.hosts import SHELL, Place, places
from sscaffe.solver.lock import locked

_EPILOG = (
    "Example: sscaffe sweep models/lenet/lenet_solver.prototxt --ssl filter,shape "
    "--lambda 1e-4:1e-2:log --trials 12 --jobs 2 --out runs/sweep"
)
_OF = "As in sscaffe pipeline."
_HOSTS = "Run a trial at a time on each of these, over ssh: a,b. They share this folder and --out."
_SHELL = f"What reaches them; by default {SHELL}."
_SCORE = "The output of the test net to look at; higher is better, but for a loss."


@click.command(cls=CaffeCommand, short_help="Try many lambdas.", epilog=_EPILOG)
@click.argument("solver", metavar="SOLVER")
@ssl_flags.kinds
@click.option("--lambda", "span", required=True, metavar="LOW:HIGH:log|lin", help="Which.")
@click.option("--out", required=True, metavar="DIR", help="The folder of the sweep.")
@click.option("--trials", default=12, metavar="NUMBER", help="How many lambdas.")
@click.option("--jobs", default=1, metavar="NUMBER", help="How many at a time.")
@click.option("--hosts", default="", metavar="NAMES", help=_HOSTS)
@click.option("--remote_shell", default=SHELL, metavar="WORDS", help=_SHELL)
@click.option(
    "--sampler", type=click.Choice(["grid", "optuna"]), default="grid", help="Who chooses."
)
@click.option("--score", default="accuracy", metavar="OUTPUT", help=_SCORE)
@click.option("--layers", default="", metavar="NAMES", help=_OF)
@click.option("--proximal", is_flag=True, help=_OF)
@options.weights(required=False)
@click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE", help=_OF)
@options.as_json
def command(
    solver: str,
    span: str,
    out: str,
    trials: int,
    jobs: int,
    hosts: str,
    remote_shell: str,
    sampler: str,
    score: str,
    as_json: bool,
    **flags: Any,
) -> int:
    """Run SSL and fine-tuning of SOLVER with many lambdas; print a table with its Pareto front.

    The baseline is trained once, or its --weights are given. Run the same command again to go on
    where it was stopped; with more --trials if they are Optuna's.
    """
    for name, number in (("trials", trials), ("jobs", jobs)):
        if number < 1:
            raise SscaffeError(f"{name}: expected 1 or more, got {number}")
    found, folder, where = sweep.parse_range(span), Path(out), _places(jobs, hosts, remote_shell)
    choose = sweep.grid_sampler(found, trials) if sampler == "grid" else None
    with options.logged():
        choose = choose or sweep.optuna_sampler(found)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SscaffeError(f"out: {out} cannot be made: {error.strerror}") from error
        with locked(str(folder / "sweep"), "out", "sweep"):
            words = _words(solver, folder, flags, where[0])
            job = sweep.Sweep(folder, choose, words, _scorer(score))
            _check(job, found.grid(trials) if sampler == "grid" else [])
            ended = job.run(trials, where)
    _print(job, as_json, score)
    if not ended:
        click.echo("stopped: run the same command again to go on", err=True)
    return 0 if ended else 130


def _places(jobs: int, hosts: str, remote_shell: str) -> list[Place]:
    """Return where trials run, one in each."""
    names = options.split(hosts)
    if not names:
        return [Place(threads=max(1, (os.cpu_count() or 1) // jobs))] * jobs
    if jobs > 1:
        raise SscaffeError("jobs: not together with hosts; name a host twice for two trials on it")
    return places(names, remote_shell)


def _words(
    solver: str, folder: Path, flags: Mapping[str, Any], place: Place
) -> Callable[[float, Path], Sequence[str]]:
    """Return what makes the command of a trial; train the baseline first if need be."""
    start = [sys.executable, "-m", "sscaffe", "pipeline", solver, "--ssl", flags["kinds"]]
    if flags["layers"]:
        start += ["--layers", flags["layers"]]
    for setting in flags["settings"]:
        start += ["--set", setting]
    start += ["--proximal"] if flags["proximal"] else []
    weights = flags["weights"] or _baseline(start, folder / "baseline", place)

    def words(strength: float, out: Path) -> list[str]:
        stages = ",".join(pipeline.TRAININGS)
        return [
            *(*start, "--lambda", repr(strength), "--weights", weights),
            *("--out", str(out), "--stages", stages),
        ]

    return words


def _baseline(start: Sequence[str], out: Path, place: Place) -> str:
    state, command = out / pipeline.STATE, [*start, "--out", str(out), "--stages", "baseline"]
    status = place.run(command)
    if status:
        raise SscaffeError(f"baseline: {shlex.join(command[3:])} ended with status {status}")
    done = json.loads(state.read_text(encoding="utf-8"))["done"]
    return str(done["baseline"]["weights"])


def _scorer(name: str) -> Callable[[Mapping[str, Any]], float]:
    def score(stage: Mapping[str, Any]) -> float:
        outputs = (stage["test"] or [{}])[0]
        if not isinstance(outputs.get(name), float):
            there = ", ".join(outputs) or "none, as the solver has no test_iter"
            raise SscaffeError(f"score: expected an output of the test net, got {name!r}; {there}")
        value = float(outputs[name])
        return -value if "loss" in name.lower() else value

    return score


def _check(job: sweep.Sweep, grid: Sequence[float]) -> None:
    """Refuse to go on with a grid that is another than before."""
    for number, strength in enumerate(grid):
        trial = job.trials.get(number)
        if trial and trial.strength != strength:
            raise SscaffeError(
                f"lambda: trial {number} of {job.folder} has {trial.strength:g}, the grid now has "
                f"{strength:g}; ask for the same range and --trials, or choose another --out"
            )


def _print(job: sweep.Sweep, as_json: bool, score: str) -> None:
    trials = [job.trials[number] for number in sorted(job.trials)]
    front = sweep.pareto(trials)
    if as_json:
        print_json([asdict(trial) | {"pareto": trial.number in front} for trial in trials])
        return
    rows = [
        (
            f"{trial.number}{'*' if trial.number in front else ''}",
            trial.strength,
            None if trial.score is None else abs(trial.score),
            None if trial.flops is None else 100 * trial.flops,
            trial.reason or trial.status,
        )
        for trial in trials
    ]
    print_table(["trial", "lambda", score, "FLOP %", "state"], rows)
    click.echo("*: no other trial is better in both")
