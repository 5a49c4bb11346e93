"""Predict how well a training runs on many ranks, from what is measured on this machine."""

import logging
import textwrap
from dataclasses import asdict, dataclass
from typing import Any

import click

from sscaffe import machine, prototxt
from sscaffe.cli import options
from sscaffe.cli.flags import CaffeCommand
from sscaffe.cli.results import Cell, print_json, print_table
from sscaffe.errors import SscaffeError
from sscaffe.glog import logger
from sscaffe.progress import progress
from sscaffe.proto import caffe_pb2
from sscaffe.scaling import (
    ALGORITHMS,
    Network,
    Prediction,
    Work,
    fit,
    measure_allreduce,
    measure_work,
    predict,
)
from sscaffe.scaling.allreduce import Points, launcher, sizes_for
from sscaffe.scaling.compute import measure_adding, split_batch as part_of, training_net
from sscaffe.scaling.model import fitted

_EPILOG = """\b
Example: sscaffe scaling --solver models/lenet/lenet_solver.prototxt
Example: sscaffe scaling --solver solver.prototxt --network 20,1.2 --split-batch
Example: sscaffe scaling --solver solver.prototxt --mpiexec "mpiexec -hosts a,b -ppn 1"
"""
_RANKS = ",".join(str(2**power) for power in range(1, 11))
_NETWORK = "Do not measure reductions: take a message's latency in us and the bandwidth in GB/s."
_MPIEXEC = "What starts the ranks; with hosts, what is measured is the network between them."


@dataclass(frozen=True)
class _Measured:
    """What the predictions are made of."""

    work: dict[int, Work]  # by the number of ranks that share the batch; 1 is the whole of it
    left_out: list[int]  # numbers of ranks that the batch has no parts for
    network: Network
    points: Points  # bytes and seconds of Allreduces; empty where the network was given
    ranks: int  # that took part in these


@click.command(cls=CaffeCommand, short_help="Predict many ranks.", epilog=_EPILOG)
@click.option("--solver", required=True, metavar="FILE", help="What to train: a solver prototxt.")
@click.option("--n", default=2, metavar="N", help="Ranks that measure; 2 by default.")
@click.option("--ranks", default=_RANKS, metavar="N,N", help=f"Predict these; {_RANKS} by default.")
@click.option("--network", default="", metavar="US,GB/S", help=_NETWORK)
@click.option("--mpiexec", default="", metavar="WORDS", help=_MPIEXEC)
@click.option("--split_batch", is_flag=True, help="Ranks share one batch, as in train.")
@click.option("--iterations", default=20, metavar="N", help="Steps that are timed; 20 by default.")
@options.shape
@options.as_json
def command(as_json: bool, **flags: Any) -> int:
    """Measure a step and its reduction here, and predict 2 to 1024 ranks by the alpha-beta model.

    Weak scaling by default: each rank has the batch of the prototxt. With --split-batch, strong
    scaling: the ranks share it. "Overlapped" is the best case, where reductions cost no time of
    the processors while backward goes on; without it they follow backward.
    """
    wanted = _numbers(flags["ranks"])
    for name, least in (("n", 2), ("iterations", 1)):
        if flags[name] < least:
            raise SscaffeError(f"{name}: expected {least} or more, got {flags[name]}")
    with options.logged():
        logger.setLevel(logging.WARNING)  # the same net is built many times
        measured = _measure(wanted, **flags)
    found = [
        predict(measured.work[1], measured.work[ranks], ranks, measured.network, algorithm)
        for ranks in wanted
        if ranks in measured.work
        for algorithm in ALGORITHMS
    ]
    if as_json:
        print_json(_json(measured, found, flags))
    else:
        _print(measured, found, flags)
    return 0


def _numbers(text: str) -> list[int]:
    words = options.split(text)
    if not words or not all(word.isdigit() and int(word) > 1 for word in words):
        raise SscaffeError(f"ranks: expected numbers above 1 with commas, got {text!r}")
    return sorted({int(word) for word in words})


def _given(text: str, adding: float) -> Network:
    """Return the network that a flag describes."""
    words = options.split(text)
    if len(words) != 2:
        raise SscaffeError(f"network: expected LATENCY_US,GB_PER_S, got {text!r}")
    latency, bandwidth = (options.positive("network", word) for word in words)
    return Network(1e-6 * latency, 1e-9 / bandwidth, adding)


def _measure(
    wanted: list[int],
    *,
    solver: str,
    n: int,
    network: str,
    mpiexec: str,
    split_batch: bool,
    iterations: int,
    shape: str | None,
    **_: Any,
) -> _Measured:
    if network:
        _given(network, 0.0)  # what is wrong with it is said before anything is measured
    else:
        launcher(mpiexec)
    param = prototxt.read_solver(solver)
    net = training_net(param, options.image_shape(shape))
    nets = {1: net}
    if split_batch:
        parts = {ranks: part_of(net, ranks) for ranks in wanted}
        nets |= {ranks: part for ranks, part in parts.items() if part is not None}
    work = {ranks: _work(param, part, ranks, iterations) for ranks, part in nets.items()}
    if not split_batch:
        work |= dict.fromkeys(wanted, work[1])
    left_out = [ranks for ranks in wanted if ranks not in work]
    size = work[1].size
    if network:
        return _Measured(work, left_out, _given(network, measure_adding(size)), [], 0)
    points = measure_allreduce(n, sizes_for(size), mpiexec)
    return _Measured(work, left_out, fit(points, n), points, n)


def _work(
    param: caffe_pb2.SolverParameter, net: caffe_pb2.NetParameter, ranks: int, iterations: int
) -> Work:
    what = "timing a step" + (f" of {ranks} ranks" if ranks > 1 else "")
    with progress(what, 0, iterations, in_background=False) as advance:
        return measure_work(param, net, iterations, advance)


def _json(measured: _Measured, found: list[Prediction], flags: dict[str, Any]) -> dict[str, Any]:
    parts = {ranks: work for ranks, work in measured.work.items() if work is not measured.work[1]}
    return {
        "alone": asdict(measured.work[1]),
        "sharing": {ranks: asdict(work) for ranks, work in parts.items()},
        "left_out": measured.left_out,
        "network": asdict(measured.network),
        "allreduce": {"ranks": measured.ranks, "bytes_and_seconds": measured.points},
        "predicted": [asdict(prediction) for prediction in found],
        "assumed": _assumptions(measured, flags),
    }


def _print(measured: _Measured, found: list[Prediction], flags: dict[str, Any]) -> None:
    alone, network = measured.work[1], measured.network
    click.echo(f"{flags['solver']}: {alone.size / 4e6:.3g} M parameters that learn, {_ms(alone)}")
    click.echo(f"  on {machine.place()}")
    if measured.points:
        rows: list[list[Cell]] = [
            [size, 1e3 * seconds, 1e3 * fitted(size, measured.ranks, network)]
            for size, seconds in measured.points
        ]
        title = f"Allreduce of {measured.ranks} ranks, measured:"
        print_table(["bytes", "ms", "fitted ms"], rows, title=title)
    click.echo(
        f"a message: {1e6 * network.latency:.3g} us"
        + (f", {1e-9 / network.per_byte:.3g} GB/s" if network.per_byte else "")
    )
    headings = ["ranks", "records\na step"]
    for name in ALGORITHMS:
        headings += [f"{name}:\nreduced, ms", "step\nms", "efficient\n%", "overlapped\n%"]
    rows = []
    for first in range(0, len(found), len(ALGORITHMS)):
        group = found[first : first + len(ALGORITHMS)]
        row: list[Cell] = [group[0].ranks, group[0].batch]
        for one in group:
            row += [1e3 * one.reduction, 1e3 * one.step]
            row += [100 * one.efficiency, 100 * one.efficiency_overlapped]
        rows.append(row)
    kind = "strong scaling: ranks share" if flags["split_batch"] else "weak scaling: each rank has"
    print_table(headings, rows, title=f"predicted, {kind} a batch of {alone.batch}:", digits=3)
    for text in _assumptions(measured, flags):
        click.echo(textwrap.fill(text, 100, initial_indent="* ", subsequent_indent="  "))


def _ms(work: Work) -> str:
    """Say what a step takes."""
    passes = f", {work.passes} passes" if work.passes > 1 else ""
    return (
        f"{work.size / 1e6:.3g} MB to reduce in {len(work.buckets)} buckets;\n"
        f"a step of one rank: {1e3 * work.step:.3g} ms (forward {1e3 * work.forward:.3g}, backward "
        f"{1e3 * work.backward:.3g}, first bucket after {1e3 * work.buckets[0].ready:.3g} of it, "
        f"update {1e3 * work.update:.3g}{passes})"
    )


def _assumptions(measured: _Measured, flags: dict[str, Any]) -> list[str]:
    """Say in words what the predictions stand on."""
    texts = [
        "Each rank has a machine like this one to itself, and none is slower than the others: "
        "steps take what they took here. Tests and snapshots are not counted.",
        "A message of n bytes takes a + n b whoever sends it and however many others do, with "
        "a the latency and 1 / b the bandwidth. Ring: 2 (p - 1) a + 2 (p - 1) / p n b. Recursive: "
        "the less of lg p (a + n b) and 2 lg p a + 2 (p - 1) / p n b. (Thakur, Rabenseifner, "
        "Gropp: Optimization of Collective Communication Operations in MPICH, 2005.)",
        "Without overlap the whole gradient is reduced after backward. Overlapped, buckets are "
        "reduced one by one as backward leaves them, at no cost to it: the best case. What runs "
        "lies between.",
    ]
    if not measured.points:
        texts.append("Adding up was measured here; latency and bandwidth are those given.")
    elif flags["mpiexec"]:
        texts.append("Latency and bandwidth were fitted to the Allreduces above, additions too.")
    else:
        texts.append(
            "Latency and bandwidth were fitted to Allreduces within this machine. For a network, "
            "give its figures by --network, or start the ranks on it by --mpiexec."
        )
    if measured.left_out:
        numbers = ", ".join(map(str, measured.left_out))
        texts.append(f"Left out: {numbers} ranks, as the batch has no so many equal parts.")
    return texts
