"""What one rank does in a step: timed on this machine, with the solver's own net."""

import statistics
import time
from collections.abc import Callable

import numpy as np

from sscaffe.device import cpu
from sscaffe.errors import SscaffeError
from sscaffe.layer import TRAIN
from sscaffe.net.rules import is_included
from sscaffe.parallel.sharding import batch_size, split_batches
from sscaffe.parallel.team import Team
from sscaffe.parallel.world import Array, Sum, T, World
from sscaffe.proto import caffe_pb2
from sscaffe.prototxt import read_net
from sscaffe.scaling.model import Bucket, Work
from sscaffe.solver import Solver
from sscaffe.timing import fill_inputs, stand_in_for_missing_data

_WARM_UP = 3
_NETS = ("train_net_param", "train_net", "net_param", "net")
_OF_NETS = (*_NETS, "test_net", "test_net_param", "test_iter", "test_state", "test_interval")
_NOT_OF_A_STEP = ("weights", "snapshot", "debug_info", "lasso_warmup_iter")

Shape = tuple[int, int, int]


def training_net(
    param: caffe_pb2.SolverParameter, shape: Shape | None = None, ranks: int = 1
) -> caffe_pb2.NetParameter:
    """Return a solver's net as it trains, with random images where its data is not here.

    Parameters
    ----------
    param : SolverParameter
        Names the net.
    shape : (int, int, int), optional
        Channels, height and width of an image, where the layer itself does not tell.
    ranks : int
        How many share a batch.

    Raises
    ------
    SscaffeError
        If the solver names no net, it cannot be read, the shape of its images is not known, or its
        batch cannot be shared.
    """
    name = next((name for name in _NETS if param.HasField(name)), "net")
    given = getattr(param, name)
    net = caffe_pb2.NetParameter()
    net.CopyFrom(read_net(given) if isinstance(given, str) else given)
    state = caffe_pb2.NetState(phase=TRAIN)
    state.MergeFrom(net.state)
    state.MergeFrom(param.train_state)
    if ranks > 1:
        split_batches(net, state, ranks)
    net = stand_in_for_missing_data(net, shape, state=state)
    rest = [layer for layer in net.layer if is_included(layer, state)]
    del net.layer[:]
    net.layer.extend(rest)
    return net


def measure_work(
    param: caffe_pb2.SolverParameter,
    net: caffe_pb2.NetParameter,
    iterations: int,
    advance: Callable[[int, str], None] | None = None,
) -> tuple[Work, Work]:
    """Time steps of a rank that is alone and of one among others, in turns.

    Weights stay as they are: the learning rate is 0.

    Parameters
    ----------
    param : SolverParameter
        How to train.
    net : NetParameter
        What, from `training_net`.
    iterations : int
        Steps that count; the times are medians.
    advance : callable, optional
        Called after each step.

    Returns
    -------
    Work, Work
        Of the rank that is alone, whose gradient has no bytes to reduce, and of the other.

    Raises
    ------
    SscaffeError
        If the net cannot be built or run, or learns nothing.
    """
    settings = caffe_pb2.SolverParameter()
    settings.CopyFrom(param)
    for name in (*_OF_NETS, *_NOT_OF_A_STEP):
        settings.ClearField(name)
    settings.net_param.CopyFrom(net)
    settings.base_lr, settings.solver_mode = 0.0, settings.CPU
    settings.display = 0
    company = _Company()
    with (
        Solver(settings, device=cpu()) as alone,
        Solver(settings, device=cpu(), team=Team(company)) as one,
    ):
        if not any(p.learns and p.lr_mult for p in one.net.learnable_params):
            raise SscaffeError("net: expected parameters that learn, got none; nothing is reduced")
        for solver in (alone, one):
            fill_inputs(solver.net)
        times = []
        for number in range(-_WARM_UP, iterations):
            times.append(_seconds(alone))
            company.run(one)
            if advance and number >= 0:
                advance(number + 1, "")
        records = batch_size(one.net) * settings.iter_size
        step = statistics.median(times[_WARM_UP:])
        return Work(records, (Bucket(0, step),), 0.0), company.work(records)


def _seconds(solver: Solver) -> float:
    start = time.perf_counter()
    solver.step(1)
    return time.perf_counter() - start


class _Company(World):
    """The world of a rank whose partner never keeps it waiting; it notes what is asked of it."""

    size = 2

    def __init__(self) -> None:
        self._sizes: list[int] = []
        self._times: list[float] = []
        self._agreements = 0
        self._runs: list[list[float]] = []

    def gather(self, value: T) -> list[T]:
        """See `World.gather`."""
        return [value] * self.size

    def largest(self, value: int) -> int:
        """See `World.largest`."""
        self._agreements += 1
        return value

    def start_sum(self, array: Array) -> Sum:
        """See `World.start_sum`."""
        self._sizes.append(array.nbytes)
        self._times.append(time.perf_counter())
        return _Done()

    def run(self, solver: Solver) -> None:
        """Run a step, and note when each of its sums began."""
        self._sizes, self._times, self._agreements = [], [], 0
        start = time.perf_counter()
        solver.step(1)
        self._runs.append([t - start for t in (*self._times, time.perf_counter())])

    def work(self, records: int) -> Work:
        """Return the medians of the steps."""
        runs = np.array(self._runs[_WARM_UP:])
        ready = np.median(runs[:, :-1], axis=0).tolist()
        buckets = tuple(map(Bucket, self._sizes, ready))
        return Work(records, buckets, float(np.median(runs[:, -1] - runs[:, -2])), self._agreements)


class _Done:
    """A sum that took no time."""

    def progress(self) -> bool:
        return True

    def wait(self) -> None:
        pass


def measure_adding(size: int, rounds: int = 9) -> float:
    """Return the seconds a byte that adding one gradient to another takes."""
    mine, other = (np.zeros(max(size // 4, 1), np.float32) for _ in range(2))
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        np.add(mine, other, out=mine)
        times.append(time.perf_counter() - start)
    return statistics.median(times) / mine.nbytes
