"""All that predictions are made of, measured on this machine."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sscaffe.errors import UnsupportedError
from sscaffe.launch import MpiExec
from sscaffe.proto import caffe_pb2
from sscaffe.scaling.allreduce import Points, measure_allreduce, sizes_for
from sscaffe.scaling.compute import Shape, measure_adding, measure_work, training_net
from sscaffe.scaling.model import ALGORITHMS, Network, Prediction, Work, fit, predict

Progress = Callable[[int, str], None]


@dataclass(frozen=True)
class Measured:
    """What was measured, and for which numbers of ranks."""

    alone: Work  # of a rank without others
    works: dict[int, Work]  # of one among others, by how many they are
    left_out: list[int]  # numbers of ranks that cannot share the batch
    network: Network
    points: Points  # bytes and seconds of Allreduces; none where the network was given
    ranks: int  # that took part in these

    def predictions(self) -> list[Prediction]:
        """Predict a step with each algorithm of each number of ranks, in their order."""
        return [
            predict(self.alone, work, ranks, self.network, algorithm)
            for ranks, work in self.works.items()
            for algorithm in ALGORITHMS
        ]


def measure(
    param: caffe_pb2.SolverParameter,
    wanted: Sequence[int],
    iterations: int,
    *,
    split_batch: bool = False,
    shape: Shape | None = None,
    network: tuple[float, float] | None = None,
    ranks: int = 2,
    mpiexec: str = "",
    advance: Progress | None = None,
) -> Measured:
    """Measure a step and its reduction.

    Parameters
    ----------
    param : SolverParameter
        What to train.
    wanted : sequence of int
        Numbers of ranks to measure for.
    iterations : int
        Steps that are timed.
    split_batch : bool
        Let ranks share one batch.
    shape : (int, int, int), optional
        Channels, height and width of an image, where the data that would tell is not here.
    network : (float, float), optional
        Seconds a message and seconds a byte; by default Allreduces are measured.
    ranks : int
        How many measure Allreduces.
    mpiexec : str
        What starts them.
    advance : callable, optional
        Called after each step with the number of steps done.

    Raises
    ------
    SscaffeError
        If the net cannot be trained here, no number of ranks can share its batch, or ranks cannot
        be started.
    """
    found = _find(mpiexec) if network is None else None  # what is missing is told of first
    alone, one = measure_work(param, training_net(param, shape), iterations, advance)
    works = dict.fromkeys(wanted, one)
    if split_batch:
        nets = _shares(param, shape, wanted)
        works = {n: measure_work(param, net, iterations, advance)[1] for n, net in nets.items()}
    left_out = [number for number in wanted if number not in works]
    if found is None:
        assert network is not None
        given = Network(*network, measure_adding(one.size))
        return Measured(alone, works, left_out, given, [], 0)
    points = measure_allreduce(ranks, sizes_for(one.size), found)
    return Measured(alone, works, left_out, fit(points, ranks), points, ranks)


def _find(mpiexec: str) -> MpiExec:
    try:
        return MpiExec.find(shlex.split(mpiexec))
    except UnsupportedError as error:
        error.add_note("  or say what the network does: --network LATENCY_US,GB_PER_S")
        raise


def _shares(
    param: caffe_pb2.SolverParameter, shape: Shape | None, wanted: Sequence[int]
) -> dict[int, caffe_pb2.NetParameter]:
    """Return nets with the share of a batch that each rank has, where it can be divided."""
    nets, refused = {}, []
    for ranks in wanted:
        try:
            nets[ranks] = training_net(param, shape, ranks)
        except UnsupportedError as error:
            refused.append(error)
    if not nets:
        raise refused[0]
    return nets
