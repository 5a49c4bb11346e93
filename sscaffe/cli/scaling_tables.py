"""What ``sscaffe scaling`` prints: what was measured, what follows, and what that stands on."""

import textwrap
from dataclasses import asdict
from typing import Any

import click

from sscaffe import machine
from sscaffe.cli.results import Cell, print_table
from sscaffe.scaling import ALGORITHMS, Measured, Work
from sscaffe.scaling.model import fitted

_WIDTH = 100
_HEADINGS = ["ms\nreduced", "ms\na step", "% effi-\ncient", "% over-\nlapped"]
_MODEL = [
    "Each rank has a machine like this one to itself, and none is slower than the others: steps "
    "take what they took here. Tests and snapshots are not counted.",
    "A message of n bytes takes a + n b, whoever sends it and however many others do; a is the "
    "latency, 1 / b the bandwidth. Ring: 2 (p - 1) a + 2 (p - 1) / p n b. Recursive: the less of "
    "lg p (a + n b) and 2 lg p a + 2 (p - 1) / p n b. (Thakur, Rabenseifner, Gropp: Optimization "
    "of Collective Communication Operations in MPICH, 2005.)",
    "Efficient: speed of a rank over that of one alone, if the whole gradient is reduced after the "
    "backward pass. Overlapped: buckets are reduced one by one as backward leaves them, at no cost "
    "to it. That is the best case; what runs lies between.",
]
_GIVEN = "Latency and bandwidth are those given; what adding costs was measured."
_HOSTS = "Latency and bandwidth were fitted to the Allreduces above, with what adding costs in b."
_HERE = (
    " They ran within this machine: for a network, give its figures by --network, or start the "
    "ranks on it by --mpiexec."
)


def print_scaling(name: str, measured: Measured, mpiexec: str) -> None:
    """Print what was measured, the predictions, and the assumptions in words."""
    network = measured.network
    click.echo(f"{name} on {machine.place()}")
    _print_steps(measured)
    if measured.points:
        rows: list[list[Cell]] = [
            [size, 1e3 * seconds, 1e3 * fitted(size, measured.ranks, network)]
            for size, seconds in measured.points
        ]
        title = f"Allreduce of {measured.ranks} ranks:"
        print_table(["bytes", "ms\nmeasured", "ms\nfitted"], rows, title=title)
    bandwidth = f", {1e-9 / network.per_byte:.3g} GB/s" if network.per_byte else ""
    click.echo(f"network: {1e6 * network.latency:.3g} us a message{bandwidth}")
    _print_predictions(measured)
    for text in assumptions(measured, mpiexec):
        click.echo(textwrap.fill(text, _WIDTH, initial_indent="* ", subsequent_indent="  "))


def _print_steps(measured: Measured) -> None:
    works = {id(work): (ranks, work) for ranks, work in reversed(measured.works.items())}
    rows = [_row("alone", measured.alone)]
    for ranks, work in reversed(works.values()):
        rows.append(_row(f"one of {ranks}" if len(works) > 1 else "one of many", work))
    headings = ["a step", "records", "ms", "MB\nreduced", "buckets", "ms until\nthe first"]
    print_table(headings, rows, title="Steps of one rank, without waiting for others:")


def _row(name: str, work: Work) -> list[Cell]:
    row: list[Cell] = [name, work.batch, 1e3 * work.step]
    if not work.size:
        return [*row, None, None, None]
    return [*row, 1e-6 * work.size, len(work.buckets), 1e3 * work.buckets[0].ready]


def _print_predictions(measured: Measured) -> None:
    headings = ["ranks", "records\na step"]
    for name in ALGORITHMS:
        first, *others = _HEADINGS
        headings += [f"{name}:\n{first}", *others]
    rows: dict[int, list[Cell]] = {}
    for one in measured.predictions():
        row = rows.setdefault(one.ranks, [one.ranks, one.batch])
        row += [1e3 * one.reduction, 1e3 * one.step]
        row += [100 * one.efficiency, 100 * one.efficiency_overlapped]
    is_weak = all(work.batch == measured.alone.batch for work in measured.works.values())
    kind = "Weak scaling: each rank has" if is_weak else "Strong scaling: ranks share"
    title = f"{kind} a batch of {measured.alone.batch}. Predicted:"
    print_table(headings, list(rows.values()), title=title, digits=3)


def scaling_json(measured: Measured, mpiexec: str) -> dict[str, Any]:
    """Return all of it for JSON; times in seconds."""
    works = {id(work): work for work in measured.works.values()}
    return {
        "alone": asdict(measured.alone),
        "one_of_many": [asdict(work) for work in works.values()],
        "left_out": measured.left_out,
        "network": asdict(measured.network),
        "allreduce": {"ranks": measured.ranks, "bytes_and_seconds": measured.points},
        "predicted": [asdict(prediction) for prediction in measured.predictions()],
        "assumed": assumptions(measured, mpiexec),
    }


def assumptions(measured: Measured, mpiexec: str) -> list[str]:
    """Say in words what the predictions stand on."""
    texts = [*_MODEL, _HOSTS if measured.points else _GIVEN]
    if measured.points and not mpiexec:
        texts[-1] += _HERE
    if measured.left_out:
        numbers = ", ".join(map(str, measured.left_out))
        texts.append(f"Left out: {numbers} ranks, as the batch has no so many equal parts.")
    return texts
