"""Reduction: the gradients of all ranks become their mean, while backward still runs.

The gradients of all parameters lie in one flat buffer, in the order in which the backward pass
finishes them, cut into buckets. As soon as the last layer of a bucket is done its sum over the
ranks begins; it goes on whenever another layer is done, and what is left is waited for at the end.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sscaffe.blob import Array, Param
from sscaffe.net import Net
from sscaffe.parallel.world import Sum, World

BUCKET = 4 << 20  # bytes
_FLOAT = 4


@dataclass(frozen=True)
class _Part:
    """A parameter and its place in the buffer."""

    param: Param
    values: Array

    def copy_in(self) -> None:
        blob = self.param.blob
        self.values[...] = (blob.host_diff if self.param.learns else blob.host_data).reshape(-1)

    def copy_out(self) -> None:
        blob, values = self.param.blob, self.values.reshape(self.param.shape)
        if self.param.learns:
            blob.set_diff(values)
        else:
            blob.set_data(values)


@dataclass(frozen=True)
class _Bucket:
    """Parameters whose gradients are summed at once."""

    parts: Sequence[_Part]
    values: Array
    place: int  # of the layer that is the last to add to one of them


class Reduction:
    """Means over the ranks, once each iteration.

    Parameters
    ----------
    net : Net
        Whose gradients. The statistics of its layers, such as those of BatchNorm, are averaged too,
        so that ranks never differ in them.
    world : World
        The ranks; two or more.
    bucket : int
        The bytes of a bucket, about.
    numbers : int
        How many numbers are averaged along with them.
    """

    def __init__(self, net: Net, world: World, bucket: int = BUCKET, numbers: int = 0) -> None:
        self._world = world
        places = last_places(net)
        params = [param for param in net.learnable_params if param.learns and param.lr_mult]
        params.sort(key=lambda param: -places[param.name])
        still = {layer.name for layer in net.layers if getattr(layer, "global_stats", False)}
        statistics = [
            param
            for param in net.learnable_params
            if not param.learns and param.layer_name not in still
        ]
        total = sum(param.blob.count for param in (*params, *statistics))
        self._flat = np.empty(total + numbers, np.float32)
        self._buckets = self._cut(params, statistics, places, bucket)
        self._numbers = self._flat[total:]
        self._sums: list[Sum] = []
        self._is_armed = False
        if net.device.is_cpu:
            net.hooks.after_backward.append(self._layer_done)

    def _cut(
        self,
        params: Sequence[Param],
        statistics: Sequence[Param],
        places: dict[str, int],
        size: int,
    ) -> list[_Bucket]:
        buckets: list[_Bucket] = []
        parts: list[_Part] = []
        start = end = 0
        for param in params:
            # The last bucket takes what is left: the statistics and the numbers go with it.
            if _FLOAT * (end - start) >= size:
                place = places[parts[-1].param.name]
                buckets.append(_Bucket(parts, self._flat[start:end], place))
                parts, start = [], end
            parts.append(_Part(param, self._flat[end : end + param.blob.count]))
            end += param.blob.count
        for param in statistics:
            parts.append(_Part(param, self._flat[end : end + param.blob.count]))
            end += param.blob.count
        return [*buckets, _Bucket(parts, self._flat[start:], -1)]

    def arm(self) -> None:
        """Say that the next backward pass is the last of the iteration."""
        self._is_armed = True

    def finish(self, *numbers: float) -> list[float]:
        """Wait until all gradients are means; return the means of the numbers."""
        self._numbers[...] = numbers
        self._is_armed = False
        while len(self._sums) < len(self._buckets):
            self._start(self._buckets[len(self._sums)])
        for bucket, one in zip(self._buckets, self._sums, strict=True):
            one.wait()
            bucket.values[...] /= self._world.size
            for part in bucket.parts:
                part.copy_out()
        self._sums = []
        return [float(number) for number in self._numbers]

    def _layer_done(self, place: int) -> None:
        if not self._is_armed:
            return
        while self._buckets[len(self._sums)].place >= place:
            self._start(self._buckets[len(self._sums)])
        for one in self._sums:
            one.progress()

    def _start(self, bucket: _Bucket) -> None:
        for part in bucket.parts:
            part.copy_in()
        self._sums.append(self._world.start_sum(bucket.values))


def last_places(net: Net) -> dict[str, int]:
    """Return, by its name, the number of the layer that is the last to add to each gradient."""
    numbers = {layer.name: number for number, layer in enumerate(net.layers) if layer.blobs}
    owners = {param.spec.name: param for param in net.learnable_params if param.spec.name}
    places: dict[str, int] = {}
    for param in net.all_params:
        name = owners.get(param.spec.name, param).name
        number = numbers[param.layer_name]
        places[name] = min(places.get(name, number), number)
    return places
