"""How long each layer of a net takes."""

import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from sscaffe import sparsity
from sscaffe.errors import DataError
from sscaffe.layer import Layer
from sscaffe.log import logger
from sscaffe.net import Net
from sscaffe.proto import caffe_pb2
from sscaffe.random_numbers import RandomNumbers

_Mode = caffe_pb2.ConvolutionParameter
_SPARSE_MODES = (_Mode.LOWERED_CSRMM, _Mode.LOWERED_CCNMM, _Mode.DIRECT_SCONV)


@dataclass(frozen=True)
class Spread:
    """How long something took over many runs, in ms."""

    median: float
    low: float  # a tenth of the runs took less
    high: float  # a tenth of the runs took more
    mean: float

    @classmethod
    def of(cls, milliseconds: Sequence[float]) -> "Spread":
        """Sum up one number for each run."""
        ordered = sorted(milliseconds)
        last = len(ordered) - 1
        return cls(
            statistics.median(ordered),
            ordered[round(0.1 * last)],
            ordered[round(0.9 * last)],
            statistics.fmean(ordered),
        )


@dataclass(frozen=True)
class LayerTiming:
    """What was measured of one layer, and what is known of its work."""

    name: str
    type: str
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
    forward: Spread
    backward: Spread | None
    total: Spread  # forward and backward together
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
class _Weighted(Protocol):
    """A layer that multiplies by a weight matrix."""

    @property
    def kernel_description(self) -> str: ...

    def macs(self) -> int: ...

    def kept_macs(self) -> int: ...


def time_net(
    net: Net, iterations: int = 50, *, backward: bool = True, warm_up: int = 3
) -> NetTiming:
    """Run a net again and again, and time every layer of it.

    Parameters
    ----------
    net : Net
        A net whose inputs hold what it should compute with: see `fill_inputs`.
    iterations : int
        Runs that count.
    backward : bool
        Run the backward pass too.
    warm_up : int
        Runs before those that count: they pay for memory and prepared weights.

    Returns
    -------
    NetTiming
        Times in ms.
    """
    return time_in_turns([net], iterations, backward=backward, warm_up=warm_up)[0]


def time_in_turns(
    nets: Sequence[Net], iterations: int = 50, *, backward: bool = False, warm_up: int = 3
) -> list[NetTiming]:
    """Time several nets that are to be compared: run for run, each of them once.

    A machine that others use slows them all alike, so ratios of their times mean something.
    Parameters are those of `time_net`, for each net.
    """
    watches = [_Watch(net, backward) for net in nets]
    for _ in range(warm_up):
        for watch in watches:
            watch.run()
    for watch in watches:
        watch.forget()
    for _ in range(iterations):
        for watch in watches:
            watch.run()
    return [watch.timing() for watch in watches]


class _Watch:
    """Runs a net and notes how long each layer took."""

    def __init__(self, net: Net, backward: bool) -> None:
        self.net, self.has_backward = net, backward
        self.forget()

    def forget(self) -> None:
        self.forward: list[list[float]] = []  # of each run, ms of each layer
        self.backward: list[list[float]] = []

    def run(self) -> None:
        layers = range(len(self.net.layers))
        self.forward.append([_milliseconds(self.net.forward, i) for i in layers])
        if self.has_backward:
            self.net.clear_param_diffs()
            times = [_milliseconds(self._backward, i) for i in reversed(layers)]
            self.backward.append(times[::-1])

    def _backward(self, index: int, last: int) -> None:
        """Run one layer backward, as Caffe does for its times: also where there is no loss."""
        net = self.net
        flags = net.bottom_need_backward[index]
        net.layers[index].backward(net.tops[index], flags, net.bottoms[index])

    def timing(self) -> NetTiming:
        forward_sums = [sum(run) for run in self.forward]
        backward_sums = [sum(run) for run in self.backward]
        # A column of the runs is a layer.
        forward = [Spread.of(times) for times in zip(*self.forward, strict=True)]
        backward = [Spread.of(times) for times in zip(*self.backward, strict=True)]
        pairs = itertools.zip_longest(self.net.layers, forward, backward)
        totals = [a + b for a, b in itertools.zip_longest(forward_sums, backward_sums, fillvalue=0)]
        return NetTiming(
            [_layer_timing(layer, ahead, back) for layer, ahead, back in pairs],
            Spread.of(forward_sums),
            Spread.of(backward_sums) if backward_sums else None,
            Spread.of(totals),
            len(totals),
        )


def _layer_timing(layer: Layer, forward: Spread, backward: Spread | None) -> LayerTiming:
    if not isinstance(layer, _Weighted):
        return LayerTiming(layer.name, layer.type, "", forward, backward, *[None] * 4)
    weights = layer.blobs[0]
    matrix = weights.const_data.reshape(weights.shape[0], -1)
    return LayerTiming(
        layer.name,
        layer.type,
        layer.kernel_description,
        forward,
        backward,
        layer.macs(),
        layer.kept_macs(),
        sparsity.zero_columns(matrix),
        sparsity.zero_rows(matrix),
    )


def _milliseconds(run: Callable[[int, int], object], layer: int) -> float:
    start = time.perf_counter()
    run(layer, layer)
    return 1e3 * (time.perf_counter() - start)


def fill_inputs(net: Net, seed: int = 1701) -> None:
    """Fill the Input layers of a net: labels with 0, everything else with random numbers."""
    rng = RandomNumbers(seed)
    labels: set[int] = set()
    for layer, bottom, top in reversed(list(zip(net.layers, net.bottoms, net.tops, strict=True))):
        if layer.is_loss or layer.type == "Accuracy":
            labels.update(id(blob) for blob in bottom[1:])
        elif layer.type == "Split" and any(id(blob) in labels for blob in top):
            labels.add(id(bottom[0]))
        elif layer.type == "Input":
            for blob in top:
                values = rng.gaussian(0, 0 if id(blob) in labels else 1, blob.count)
                blob.set_data(values.reshape(blob.shape))


def is_sparse(param: caffe_pb2.NetParameter) -> bool:
    """Tell whether any layer asks for a sparse mode, which has no backward pass."""
    return any(
        layer.convolution_param.conv_mode in _SPARSE_MODES
        or layer.inner_product_param.gemm_mode != caffe_pb2.InnerProductParameter.GEMM
        for layer in param.layer
    )


def stand_in_for_missing_data(
    param: caffe_pb2.NetParameter,
    image_shape: tuple[int, int, int] | None = None,
    root: str = "",
) -> caffe_pb2.NetParameter:
    """Replace each Data layer whose LMDB is not there by an Input layer of the same shape.

    Parameters
    ----------
    param : NetParameter
        The net; it is left as it is.
    image_shape : (int, int, int), optional
        Channels, height and width of an image, where the layer itself does not tell.
    root : str
        The folder that relative paths start from; the working directory by default.

    Returns
    -------
    NetParameter
        The net that can be timed here.

    Raises
    ------
    DataError
        If the shape of the images is not known.
    """
    result = caffe_pb2.NetParameter()
    result.CopyFrom(param)
    for layer in result.layer:
        source = layer.data_param.source
        if layer.type == "Data" and not Path(root, source, "data.mdb").is_file():
            shape = image_shape or _shape_of_crop(layer)
            if shape is None:
                raise DataError(
                    f"source: there is no LMDB '{source}', and layer '{layer.name}' does not tell "
                    "the shape of its images; give it with --shape channels,height,width"
                )
            _become_input(layer, shape)
            size = " x ".join(str(dim) for dim in layer.input_param.shape[0].dim)
            logger.warning("%s: there is no LMDB %s; random images, %s", layer.name, source, size)
    return result


def _shape_of_crop(layer: caffe_pb2.LayerParameter) -> tuple[int, int, int] | None:
    crop, channels = layer.transform_param.crop_size, len(layer.transform_param.mean_value)
    # One mean_value serves any number of channels.
    return (channels, crop, crop) if crop and channels > 1 else None


def _become_input(layer: caffe_pb2.LayerParameter, image_shape: tuple[int, int, int]) -> None:
    batch = layer.data_param.batch_size
    layer.type = "Input"
    layer.ClearField("data_param")
    layer.ClearField("transform_param")
    layer.input_param.shape.add().dim.extend((batch, *image_shape))
    if len(layer.top) > 1:
        layer.input_param.shape.add().dim.append(batch)
