"""Predict how well a training runs on many ranks, from what is measured on this machine."""

import logging

import click

from sscaffe import prototxt, scaling
from sscaffe.cli import options
from sscaffe.cli.flags import CaffeCommand
from sscaffe.cli.results import print_json
from sscaffe.cli.scaling_tables import print_scaling, scaling_json
from sscaffe.errors import SscaffeError
from sscaffe.glog import logger
from sscaffe.progress import progress

_EPILOG = """\b
Example: sscaffe scaling --solver models/lenet/lenet_solver.prototxt
Example: sscaffe scaling --solver solver.prototxt --network 20,1.2 --split-batch
Example: sscaffe scaling --solver solver.prototxt --mpiexec "mpiexec -hosts a,b -ppn 1"
"""
_RANKS = ",".join(str(2**power) for power in range(1, 11))
_NETWORK = "Do not measure reductions: take a message's latency in us and the bandwidth in GB/s."
_MPIEXEC = "What starts the ranks; with hosts, what is measured is the network between them."


@click.command(cls=CaffeCommand, short_help="Predict many ranks.", epilog=_EPILOG)
@click.option("--solver", required=True, metavar="FILE", help="What to train: a solver prototxt.")
@click.option("--n", default=2, metavar="N", help="Ranks that measure; 2 by default.")
@click.option("--ranks", default=_RANKS, metavar="N,N", help="Predict these; 2 to 1024 by default.")
@click.option("--network", default="", metavar="US,GB/S", help=_NETWORK)
@click.option("--mpiexec", default="", metavar="WORDS", help=_MPIEXEC)
@click.option("--split_batch", is_flag=True, help="Ranks share one batch, as in train.")
@click.option("--iterations", default=20, metavar="N", help="Steps that are timed; 20 by default.")
@options.shape
@options.as_json
def command(
    solver: str,
    n: int,
    ranks: str,
    network: str,
    mpiexec: str,
    split_batch: bool,
    iterations: int,
    shape: str | None,
    as_json: bool,
) -> int:
    """Measure a step and its reduction here, and predict 2 to 1024 ranks by the alpha-beta model.

    Weak scaling by default: each rank has the batch of the prototxt. With --split-batch, strong
    scaling: the ranks share it. "Overlapped" is the best case, where reductions cost no time of
    the processors while backward goes on; without it they follow backward.
    """
    for name, number, least in (("n", n, 2), ("iterations", iterations, 1)):
        if number < least:
            raise SscaffeError(f"{name}: expected {least} or more, got {number}")
    wanted, given = _numbers(ranks), _given(network) if network else None
    image = options.image_shape(shape)
    with options.logged():
        logger.setLevel(logging.WARNING)  # the same net is built several times
        param = prototxt.read_solver(solver)
        with progress("timing steps", 0, iterations, in_background=False) as advance:
            measured = scaling.measure(
                param,
                wanted,
                iterations,
                split_batch=split_batch,
                shape=image,
                network=given,
                ranks=n,
                mpiexec=mpiexec,
                advance=advance,
            )
    if as_json:
        print_json(scaling_json(measured, mpiexec))
    else:
        print_scaling(solver, measured, mpiexec)
    return 0


def _numbers(text: str) -> list[int]:
    words = options.split(text)
    if not words or not all(word.isdigit() and int(word) > 1 for word in words):
        raise SscaffeError(f"ranks: expected numbers above 1 with commas, got {text!r}")
    return sorted({int(word) for word in words})


def _given(text: str) -> tuple[float, float]:
    """Return the seconds a message and a byte that a flag gives."""
    words = options.split(text)
    if len(words) != 2:
        raise SscaffeError(f"network: expected LATENCY_US,GB_PER_S, got {text!r}")
    latency, bandwidth = (options.positive("network", word) for word in words)
    return 1e-6 * latency, 1e-9 / bandwidth
