"""What one rank computes in a step: timed on this machine, with the solver's own net."""

import statistics
import time
from collections.abc import Callable

import numpy as np

from sscaffe.blob import Param
from sscaffe.device import cpu
from sscaffe.errors import SscaffeError
from sscaffe.layer import TRAIN
from sscaffe.net import Net
from sscaffe.net.rules import is_included
from sscaffe.proto import caffe_pb2
from sscaffe.prototxt import read_net
from sscaffe.scaling.model import Bucket, Work
from sscaffe.solver import Solver
from sscaffe.timing import fill_inputs, stand_in_for_missing_data

BUCKET = 4 << 20  # bytes: large enough for its bandwidth, small enough to start early
_WARM_UP = 3
_NETS = ("train_net_param", "train_net", "net_param", "net")
_OF_NETS = (*_NETS, "test_net", "test_net_param", "test_iter", "test_state", "test_interval")
_NOT_OF_A_STEP = ("weights", "display", "snapshot", "debug_info")
_BATCHED = {
    "Data": "data_param",
    "ImageData": "image_data_param",
    "WindowData": "window_data_param",
    "HDF5Data": "hdf5_data_param",
    "MemoryData": "memory_data_param",
}

Shape = tuple[int, int, int]


def training_net(
    param: caffe_pb2.SolverParameter, shape: Shape | None = None
) -> caffe_pb2.NetParameter:
    """Return a solver's net as it trains, with random images where its data is not here.

    Parameters
    ----------
    param : SolverParameter
        Names the net.
    shape : (int, int, int), optional
        Channels, height and width of an image, where the layer itself does not tell.

    Raises
    ------
    SscaffeError
        If the solver names no net, it cannot be read, or the shape of its images is not known.
    """
    name = next((name for name in _NETS if param.HasField(name)), "net")
    given = getattr(param, name)
    net = caffe_pb2.NetParameter()
    net.CopyFrom(read_net(given) if isinstance(given, str) else given)
    state = caffe_pb2.NetState(phase=TRAIN)
    state.MergeFrom(net.state)
    state.MergeFrom(param.train_state)
    net = stand_in_for_missing_data(net, shape, state=state)
    rest = [layer for layer in net.layer if is_included(layer, state)]
    del net.layer[:]
    net.layer.extend(rest)
    return net


def split_batch(net: caffe_pb2.NetParameter, parts: int) -> caffe_pb2.NetParameter | None:
    """Return a net with a part of the batch, or None if the batch has no so many parts."""
    result = caffe_pb2.NetParameter()
    result.CopyFrom(net)
    for layer in result.layer:
        if layer.type in _BATCHED:
            settings = getattr(layer, _BATCHED[layer.type])
            if settings.batch_size % parts:
                return None
            settings.batch_size //= parts
        for shape in (*layer.input_param.shape, *layer.dummy_data_param.shape):
            if not shape.dim or shape.dim[0] % parts:
                return None
            shape.dim[0] //= parts
    return result


def measure_work(
    param: caffe_pb2.SolverParameter,
    net: caffe_pb2.NetParameter,
    iterations: int,
    advance: Callable[[int, str], None] | None = None,
) -> Work:
    """Time steps of one rank alone; weights stay as they are, at a learning rate of 0.

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

    Raises
    ------
    SscaffeError
        If the net cannot be built or run.
    """
    settings = caffe_pb2.SolverParameter()
    settings.CopyFrom(param)
    for name in (*_OF_NETS, *_NOT_OF_A_STEP):
        settings.ClearField(name)
    settings.net_param.CopyFrom(net)
    settings.base_lr, settings.solver_mode = 0.0, settings.CPU
    settings.display, settings.test_initialization = 0, False
    with Solver(settings, device=cpu()) as solver:
        fill_inputs(solver.net)
        watch = _Watch(solver)
        for number in range(-_WARM_UP, iterations):
            if number == 0:
                watch.runs.clear()
            watch.run()
            if advance and number >= 0:
                advance(number + 1, "")
        return watch.work()


class _Watch:
    """Runs steps, and notes when what of them was done."""

    def __init__(self, solver: Solver) -> None:
        self._solver, self._net = solver, solver.net
        self._net.hooks.after_backward.append(self._note)
        self._ends = [0.0] * len(self._net.layers)
        self.runs: list[tuple[float, float, float, list[float]]] = []

    def _note(self, place: int) -> None:
        self._ends[place] = time.perf_counter()

    def run(self) -> None:
        times = [time.perf_counter()]
        runs: tuple[Callable[[], object], ...] = (
            self._net.clear_param_diffs,
            self._net.run_forward,
            self._net.run_backward,
            self._solver.apply_update,
        )
        for part in runs:
            part()
            times.append(time.perf_counter())
        clear, forward, backward, update = np.diff(times).tolist()
        self.runs.append((forward, backward, clear + update, [t - times[2] for t in self._ends]))

    def work(self) -> Work:
        forward, backward, update, ends = zip(*self.runs, strict=True)
        median = statistics.median(backward)
        done = [statistics.median(times) for times in zip(*ends, strict=True)]
        buckets = tuple(
            Bucket(size, min(done[place], median)) for place, size in bucket_ends(self._net)
        )
        if not buckets:
            raise SscaffeError("net: expected parameters that learn, got none; nothing is reduced")
        return Work(
            batch_of(self._net),
            self._solver.param.iter_size,
            statistics.median(forward),
            median,
            statistics.median(update),
            buckets,
        )


def batch_of(net: Net) -> int:
    """Return the records of a pass: the first axis of the first top that no layer made."""
    for bottom, top in zip(net.bottoms, net.tops, strict=True):
        if not bottom and top and top[0].ndim:
            return int(top[0].shape[0])
    raise SscaffeError("net: expected a layer that brings data, got none")


def bucket_ends(net: Net, size: int = 0) -> list[tuple[int, int]]:
    """Return, for each bucket, the layer whose backward pass completes it, and its bytes.

    A bucket ends with the parameter that makes it `size` bytes or more, BUCKET by default.
    """
    size = size or BUCKET
    places = {name: place for place, name in enumerate(net.layer_names)}
    last: dict[object, int] = {}  # of each parameter, the layer that is last to add to its diff
    for param in net.all_params:
        key, place = _key(param), places[param.layer_name]
        last[key] = min(last.get(key, place), place)
    learning = [p for p in net.learnable_params if p.learns and p.spec.lr_mult]
    found: list[tuple[int, int]] = []
    for param in sorted(learning, key=lambda param: -last[_key(param)]):
        place, count = last[_key(param)], param.blob.count * param.blob.dtype.itemsize
        if found and found[-1][1] < size:
            found[-1] = (place, found[-1][1] + count)
        else:
            found.append((place, count))
    return found


def _key(param: Param) -> tuple[object, ...]:
    return (param.spec.name,) if param.spec.name else (param.layer_name, param.index)


def measure_adding(size: int, rounds: int = 9) -> float:
    """Return the seconds a byte that adding one gradient to another takes."""
    mine, other = (np.zeros(max(size // 4, 1), np.float32) for _ in range(2))
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        np.add(mine, other, out=mine)
        times.append(time.perf_counter() - start)
    return statistics.median(times) / mine.nbytes
