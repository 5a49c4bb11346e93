"""Every mode of every layer, and the nets that follow from it, in one process."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sscaffe import machine
from sscaffe.device import Device
from sscaffe.glog import logger
from sscaffe.layer import TEST
from sscaffe.net import Net
from sscaffe.net.modes import set_modes
from sscaffe.proto import caffe_pb2
from sscaffe.timing import verdict
from sscaffe.timing.contest import LayerComparison, ModeTiming, contest, is_comparable
from sscaffe.timing.rounds import in_turns
from sscaffe.timing.rows import Progress
from sscaffe.timing.spread import Spread, milliseconds

__all__ = ["Comparison", "LayerComparison", "ModeTiming", "compare", "measured_peak"]

DENSE, LOWERED, BEST = "dense", "LOWERED_GEMM", "best modes"
_PEAK_SIZE = 1024
_PEAK_ROUNDS = 30


@dataclass(frozen=True)
class Comparison:
    """What was measured of a net in all its modes."""

    place: str  # the machine
    peak: float  # GFLOP/s of a matrix product, measured in this process
    layers: list[LayerComparison]
    nets: dict[str, Spread]  # whole forward passes: all dense, all lowered, each layer at its best
    rounds: int  # of the nets
    verdict: str  # on the whole net

    @property
    def modes(self) -> dict[str, str]:
        """For each layer that has several modes, the one to use."""
        if self.gains:
            return {layer.layer: layer.best for layer in self.layers}
        return {layer.layer: layer.field.dense for layer in self.layers}

    @property
    def gains(self) -> bool:
        """Whether the net as a whole is faster in the best modes of its layers than dense."""
        best = self.nets.get(BEST)
        return best is not None and best.median < self.nets[DENSE].median

    def per_cent_of_peak(self, timing: ModeTiming) -> float:
        """Return how near to the peak the multiply-adds that a mode does are done."""
        return 100 * 2e-6 * timing.macs / timing.layer.median / self.peak


def compare(net: Net, rounds: int | None = None, advance: Progress | None = None) -> Comparison:
    """Run every layer in every mode that it has, and the whole net in the best of them.

    Parameters
    ----------
    net : Net
        A net for TEST, whose inputs hold what it should compute with: see `fill_inputs`.
    rounds : int, optional
        Of each layer, and of the whole nets; by default as many as there is time for, but 5 at
        least.
    advance : callable, optional
        Called after each layer and after the nets; `steps` says how often.
    """
    tell = advance or (lambda done, words: None)
    net.run_forward()  # decides what AUTO uses, and with that how bottoms arrive
    device = net.device
    peak = measured_peak(device)
    layers: list[LayerComparison] = []
    for unit in net.units:
        if is_comparable(unit):
            layers.append(contest(unit, rounds))
            logger.info("Compared %s in %d rounds", layers[-1].layer, layers[-1].rounds)
            tell(len(layers), layers[-1].layer)
        unit.forward()
    times = _time_nets(net, layers, rounds)
    tell(len(layers) + 1, "whole net")
    spreads = {name: Spread.of(values) for name, values in times.items()}
    return Comparison(
        machine.place(),
        max(peak, measured_peak(device)),
        layers,
        spreads,
        len(times[DENSE]),
        verdict.of_net(spreads, layers),
    )


def steps(net: Net) -> int:
    """Return how often `compare` tells how far it is."""
    return sum(is_comparable(unit) for unit in net.units) + 1


def measured_peak(device: Device) -> float:
    """Return the GFLOP/s of a product of two matrices of 1024 x 1024, the best of some runs."""
    size, kernels = _PEAK_SIZE, device.kernels
    a, b, out = (device.xp.ones((size, size), "float32") for _ in range(3))
    times = [milliseconds(lambda: kernels.gemm(a, b, out), device) for _ in range(_PEAK_ROUNDS)]
    return 2e-6 * size**3 / min(times)


def _time_nets(
    net: Net, layers: list[LayerComparison], rounds: int | None
) -> dict[str, list[float]]:
    """Run whole nets in turns, and return the ms of each run."""
    dense = {layer.layer: layer.field.dense for layer in layers}
    lowered = {layer.layer: layer.field.lowered or layer.field.dense for layer in layers}
    best = {layer.layer: layer.best for layer in layers}
    wanted = {DENSE: dense, LOWERED: lowered, BEST: best}
    if best == dense:
        del wanted[BEST]
    nets = {name: _variant(net, modes) for name, modes in wanted.items()}
    try:
        return in_turns({name: _timed(each) for name, each in nets.items()}, rounds)
    finally:
        for each in nets.values():
            each.close()


def _timed(net: Net) -> Callable[[], float]:
    return lambda: milliseconds(net.run_forward, net.device)


def _variant(net: Net, modes: Mapping[str, str]) -> Net:
    """Return a net with the same weights and inputs, but other modes."""
    param = caffe_pb2.NetParameter()
    param.CopyFrom(net.param)
    set_modes(param, modes)
    first = net.layers[0]
    # Python layers that are there were allowed.
    other = Net(
        param, TEST, device=first.device, root=first.root, source=net.source, allow_python=True
    )
    other.share_with(net)
    for name in net.inputs:
        other.blobs[name].reshape(*net.blobs[name].shape)
        other.blobs[name].set_data(net.blobs[name].host_data)
    return other
