"""One layer in all its modes, on the bottoms that a forward pass brings."""

import functools
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from sscaffe.blob import Blob
from sscaffe.errors import SscaffeError
from sscaffe.layer import TEST, Layer
from sscaffe.net.fusion import Absorbing, FusedStep
from sscaffe.net.modes import MODE_FIELDS, ModeField, set_mode
from sscaffe.net.plan import Unit
from sscaffe.net.step import Step
from sscaffe.proto import caffe_pb2
from sscaffe.timing.rounds import in_turns
from sscaffe.timing.rows import Weighted, work
from sscaffe.timing.spread import Spread, milliseconds
from sscaffe.weighted.base import NOTHING, Epilogue
from sscaffe.weighted.choice import WORTH_IT

_LAYER, _KERNEL, _LOWERING = "layer", "kernel", "lowering"
_WITHOUT_ZERO_ROWS = ("LOWERED_CCNMM", "CCNMM")
_WITH_ZEROS = ("LOWERED_GEMM", "DIRECT_DCONV", "GEMM")


@dataclass(frozen=True)
class ModeTiming:
    """What was measured of a layer in one mode; times in ms."""

    mode: str
    kernel: float  # without a change of the bottom's layout, lowering, or what follows
    lowering: float | None  # that part alone; None for a mode that does not lower
    layer: Spread  # all of it: on the bottom as it arrives, with the layers that run in one with it
    macs: int  # multiply-adds that this mode does
    description: str  # which code ran


@dataclass(frozen=True)
class LayerComparison:
    """A layer in every mode that it can run in."""

    name: str  # such as "conv1", or "conv1 + relu1" where these run as one
    layer: str  # the first of them
    type: str
    types: list[str]
    macs: int  # multiply-adds of a dense forward pass
    kept_macs: int  # of them, those in rows and columns that are not zero
    zeros: float  # per cent of the weights
    zero_columns: float
    zero_rows: float
    rounds: int
    modes: list[ModeTiming]
    refused: dict[str, str]  # modes that cannot run here, and why
    best: str  # the mode to use: dense, unless another one is clearly faster

    @property
    def field(self) -> ModeField:
        """The field that chooses the mode."""
        return MODE_FIELDS[self.type]

    def timing(self, mode: str | None) -> ModeTiming | None:
        """Return what was measured in a mode; None if it did not run."""
        return next((timing for timing in self.modes if timing.mode == mode), None)

    def speedup(self, timing: ModeTiming, over: str | None) -> float | None:
        """Return how many times as fast as in another mode the layer is."""
        other = self.timing(over)
        return other.layer.median / timing.layer.median if other else None


@runtime_checkable
class _Lowering(Protocol):
    """A layer that may lower its bottom."""

    def lower(self, bottom: Blob, weights: Blob) -> bool: ...


def is_comparable(unit: Unit) -> bool:
    """Tell whether a unit starts with a layer that has several modes, and weights."""
    return _first(unit).layer.type in MODE_FIELDS


def contest(unit: Unit, rounds: int | None = None) -> LayerComparison:
    """Run a unit in every mode of its first layer, in turns; its own tops stay as they are.

    Parameters
    ----------
    unit : Unit
        See `is_comparable`. Its bottoms hold what it should compute with.
    rounds : int, optional
        See `in_turns`.
    """
    layer, field = _first(unit).layer, MODE_FIELDS[_first(unit).layer.type]
    contestants, refused = {}, {}
    for mode in field.values:
        try:
            contestants[mode] = _Contestant(unit, mode)
        except SscaffeError as error:
            refused[mode] = str(error)
    times = in_turns(
        {
            (mode, part): run
            for mode, contestant in contestants.items()
            for part, run in contestant.runs().items()
        },
        rounds,
    )
    weights = layer.blobs[0].host_data
    zeros = 1 - float((weights != 0).mean()) if weights.size else 0.0
    macs, kept_macs, zero_columns, zero_rows = work(layer)
    done = dict.fromkeys(_WITHOUT_ZERO_ROWS, kept_macs) | dict.fromkeys(_WITH_ZEROS, macs)
    timings = []
    for mode, contestant in contestants.items():
        parts = {part: values for (owner, part), values in times.items() if owner == mode}
        used = done.get(mode, round(macs * (1 - zeros)))
        timings.append(_timing(mode, parts, used, contestant.description))
    layers = [step.layer for step in unit.step.steps]
    return LayerComparison(
        name=" + ".join(each.name for each in layers),
        layer=layer.name,
        type=layer.type,
        types=[each.type for each in layers],
        macs=macs,
        kept_macs=kept_macs,
        zeros=100 * zeros,
        zero_columns=zero_columns,
        zero_rows=zero_rows,
        rounds=len(next(iter(times.values()))),
        modes=timings,
        refused=refused,
        best=_best(timings, field.dense),
    )


def _best(timings: list[ModeTiming], dense: str) -> str:
    """Return the fastest mode; what is hardly faster than dense is not taken."""
    return min(
        timings, key=lambda timing: timing.layer.median / (1 if timing.mode == dense else WORTH_IT)
    ).mode


def _timing(mode: str, times: dict[str, list[float]], macs: int, description: str) -> ModeTiming:
    kernel = statistics.median(times[_KERNEL])
    lowering = statistics.median(times[_LOWERING]) if _LOWERING in times else None
    if lowering is not None:
        kernel = max(kernel - lowering, 0.0)
    return ModeTiming(mode, kernel, lowering, Spread.of(times[_LAYER]), macs, description)


class _Contestant:
    """A unit as it would be in another mode, with tops of its own.

    The layer is made anew from its prototxt, so that all that follows from the mode is as it would
    be in a net.
    """

    def __init__(self, unit: Unit, mode: str) -> None:
        step = self._step = _first(unit)
        self._fused = unit.step if isinstance(unit.step, FusedStep) else None
        param = caffe_pb2.LayerParameter()
        param.CopyFrom(step.layer.layer_param)
        set_mode(param, mode)
        old = step.layer
        self._layer: Layer = type(old)(
            param, TEST, device=old.device, dtype=old.dtype, rng=old.rng, root=old.root
        )
        self._layer.blobs = old.blobs
        self._tops = [Blob((), old.dtype, old.device) for _ in step.top]
        self._layer.setup(step.bottom, self._tops)
        self._layer.reshape(step.bottom, self._tops)
        self._own_bottoms = [_like(blob) for blob in step.bottom]

    @property
    def description(self) -> str:
        """Which code runs."""
        return self._layer.kernel_description if isinstance(self._layer, Weighted) else ""

    def runs(self) -> dict[str, Callable[[], float]]:
        """Return what can be timed of it."""
        runs = {_LAYER: self._run_layer, _KERNEL: self._run_kernel}
        if self._lower():
            runs[_LOWERING] = lambda: milliseconds(self._lower, self._layer.device)
        return runs

    def _run_layer(self) -> float:
        bottoms = [blob.alias() for blob in self._step.bottom]
        epilogue = NOTHING
        if self._fused is not None:
            add = self._fused.epilogue.add
            epilogue = Epilogue(None if add is None else add.alias(), self._fused.epilogue.relu)
        return milliseconds(lambda: self._forward(bottoms, epilogue), self._layer.device)

    def _run_kernel(self) -> float:
        run = functools.partial(self._forward, self._own_bottoms, NOTHING)
        return milliseconds(run, self._layer.device)

    def _forward(self, bottoms: list[Blob], epilogue: Epilogue) -> None:
        if self._fused is None:
            self._layer.forward(bottoms, self._tops)
            return
        assert isinstance(self._layer, Absorbing)
        weights, bias = self._fused.weights()
        self._layer.forward_with(bottoms[0], weights, bias, self._tops[0], epilogue)

    def _lower(self) -> bool:
        if not isinstance(self._layer, _Lowering):
            return False
        weights = self._layer.blobs[0] if self._fused is None else self._fused.weights()[0]
        layer = self._layer
        return all(layer.lower(blob, weights) for blob in self._own_bottoms)


def _first(unit: Unit) -> Step:
    return unit.step.steps[0]


def _like(blob: Blob) -> Blob:
    """Return a blob with the same data, in the same layout, that may keep it in another one too."""
    if not blob.data_tensor.is_plain:
        return blob.alias()
    # A plain array that others hold might change, so nobody keeps it in another layout.
    copied = Blob(blob.shape, blob.dtype, blob.device)
    copied.set_data(blob.host_data)
    return copied
