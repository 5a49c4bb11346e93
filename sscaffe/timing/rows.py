"""A net row by row: each layer, or chain of layers that runs as one, in both directions."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from sscaffe import sparsity
from sscaffe.layer import Layer
from sscaffe.net import Net
from sscaffe.net.norm_step import NormStep
from sscaffe.net.plan import Unit
from sscaffe.timing.spread import Spread, milliseconds

Progress = Callable[[int, str], None]
"""Takes the number of steps done, and a few words."""


@dataclass(frozen=True)
class LayerTiming:
    """What was measured of a row, and what is known of its work."""

    name: str  # such as "conv1", or "conv1 + relu1" where these run as one
    type: str  # of the first layer
    members: list[str]  # the names of its layers
    types: list[str]
    kernel: str  # which code ran; empty for layers that have no choice
    forward: Spread
    backward: Spread | None  # None if it was not run
    macs: int | None  # multiply-adds of one dense forward pass; None for layers without weights
    kept_macs: int | None  # of them, those in rows and columns that are not zero
    zero_columns: float | None  # per cent of the weight matrix's columns
    zero_rows: float | None  # per cent of its rows


@dataclass(frozen=True)
class NetTiming:
    """What was measured of a net."""

    layers: list[LayerTiming]
    forward: Spread  # of plain forward passes, each timed as a whole
    backward: Spread | None  # the rows of a backward pass added up
    total: Spread  # forward and backward together
    rows: Spread  # the rows of a forward pass added up; each costs two looks at the clock
    iterations: int

    @property
    def macs(self) -> int:
        """Multiply-adds of a dense forward pass, of all layers that have weights."""
        return sum(layer.macs or 0 for layer in self.layers)

    @property
    def kept_macs(self) -> int:
        """Those of them in rows and columns that are not zero."""
        return sum(layer.kept_macs or 0 for layer in self.layers)


@runtime_checkable
class Weighted(Protocol):
    """A layer that multiplies by a weight matrix."""

    @property
    def kernel_description(self) -> str:
        """Which code computes it."""

    def macs(self) -> int:
        """Return the multiply-adds of a dense forward pass."""

    def kept_macs(self) -> int:
        """Return those in rows and columns that are not zero."""


def time_net(
    net: Net,
    iterations: int = 50,
    *,
    backward: bool = True,
    warm_up: int = 3,
    advance: Progress | None = None,
) -> NetTiming:
    """Run a net again and again, and time every row of it, and all of it.

    Parameters
    ----------
    net : Net
        A net whose inputs hold what it should compute with: see `fill_inputs`.
    iterations : int
        Runs that count. Each is a forward pass row by row, one in a piece, and the backward pass.
    backward : bool
        Run the backward pass too.
    warm_up : int
        Runs before those that count: they pay for memory and prepared weights.
    advance : callable, optional
        Called after each run.

    Returns
    -------
    NetTiming
        Times in ms.
    """
    nets = [net]
    return time_in_turns(nets, iterations, backward=backward, warm_up=warm_up, advance=advance)[0]


def time_in_turns(
    nets: Sequence[Net],
    iterations: int = 50,
    *,
    backward: bool = False,
    warm_up: int = 3,
    advance: Progress | None = None,
) -> list[NetTiming]:
    """Time several nets that are to be compared: run for run, each of them once.

    A machine that others use slows them all alike, so ratios of their times mean something.
    Parameters are those of `time_net`, for each net.
    """
    watches = [_Watch(net, backward) for net in nets]
    for _ in range(max(warm_up, 1)):
        for watch in watches:
            watch.run()
    for watch in watches:
        watch.start()
    for number in range(iterations):
        for watch in watches:
            watch.run()
        if advance:
            advance(number + 1, f"{watches[-1].whole[-1]:.3g} ms")
    return [watch.timing() for watch in watches]


class _Watch:
    """Runs a net and notes how long each row took."""

    def __init__(self, net: Net, backward: bool) -> None:
        self.net, self.has_backward = net, backward
        net.run_forward()  # what cannot run says so here, with its place
        if backward:
            net.clear_param_diffs()
            net.run_backward()  # from here on it runs in units that can be run backward
        self.start()

    def start(self) -> None:
        """Forget what was noted so far."""
        self.units = list(self.net.units)
        self.whole: list[float] = []  # of each run, ms of a forward pass
        self.forward: list[list[float]] = []  # of each run, ms of each row
        self.backward: list[list[float]] = []

    def run(self) -> None:
        self.forward.append([self._milliseconds(unit.forward) for unit in self.units])
        self.whole.append(self._milliseconds(self.net.run_forward))
        if self.has_backward:
            self.net.clear_param_diffs()
            times = [self._backward(unit) for unit in reversed(self.units)]
            self.backward.append(times[::-1])

    def _milliseconds(self, run: Callable[[], object]) -> float:
        return milliseconds(run, self.net.device)

    def _backward(self, unit: Unit) -> float:
        """Run a row backward, as Caffe does for its times: also where there is no loss."""
        net = self.net

        def run() -> None:
            if isinstance(unit.step, NormStep):
                unit.step.backward()
                return
            for place in reversed(unit.places):
                flags = net.bottom_need_backward[place]
                net.layers[place].backward(net.tops[place], flags, net.bottoms[place])

        return self._milliseconds(run)

    def timing(self) -> NetTiming:
        backward_sums = [sum(run) for run in self.backward]
        # A column of the runs is a row of the table.
        forward = [Spread.of(times) for times in zip(*self.forward, strict=True)]
        backward = [Spread.of(times) for times in zip(*self.backward, strict=True)]
        rows = itertools.zip_longest(self.units, forward, backward)
        totals = [a + b for a, b in itertools.zip_longest(self.whole, backward_sums, fillvalue=0)]
        return NetTiming(
            [self._row(unit, ahead, back) for unit, ahead, back in rows],
            Spread.of(self.whole),
            Spread.of(backward_sums) if backward_sums else None,
            Spread.of(totals),
            Spread.of([sum(run) for run in self.forward]),
            len(totals),
        )

    def _row(self, unit: Unit, forward: Spread, backward: Spread | None) -> LayerTiming:
        layers = [self.net.layers[place] for place in unit.places]
        names = [layer.name for layer in layers]
        types = [layer.type for layer in layers]
        first = (" + ".join(names), layers[0].type, names, types)
        if not isinstance(layers[0], Weighted):
            return LayerTiming(*first, "", forward, backward, *[None] * 4)
        kernel = layers[0].kernel_description
        return LayerTiming(*first, kernel, forward, backward, *work(layers[0]))


def work(layer: Layer) -> tuple[int, int, float, float]:
    """Return multiply-adds of a layer, those kept, and its per cent of zero columns and rows."""
    assert isinstance(layer, Weighted)
    weights = layer.blobs[0]
    matrix = weights.host_data.reshape(weights.shape[0], -1)
    zeros = sparsity.zero_columns(matrix), sparsity.zero_rows(matrix)
    return layer.macs(), layer.kept_macs(), *zeros
