"""Reduction: the gradients of all ranks become their mean, while backward still runs.

They are taken in buckets, in the order in which the backward pass finishes them. A large gradient
is a bucket by itself and stays in its own memory, in whatever layout the kernels have it; small
ones lie together in a buffer. As soon as the last layer of a bucket is done its sum over the ranks
begins; it goes on whenever another layer is done, and what is left is waited for at the end.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from sscaffe.blob import Array, Param
from sscaffe.net import Net
from sscaffe.parallel.means import HostMeans, Means
from sscaffe.parallel.world import Sum, World
from sscaffe.tensor import Tensor

BUCKET = 4 << 20  # bytes
_LARGE = 4  # buckets of which are as large as one: what is larger is not copied
_FLOAT = 4


class _Bucket(Protocol):
    """Parameters whose gradients are summed at once."""

    place: int  # of the layer that is the last to add to one of them

    def gather(self) -> Array:
        """Return all of them as an array."""

    def scatter(self) -> None:
        """Take what is in that array now for their gradients."""


class _Large:
    """One parameter, whose gradient stays where it is."""

    def __init__(self, param: Param, place: int, means: Means) -> None:
        self.param, self.place, self._means = param, place, means

    def gather(self) -> Array:
        return self._means.own(self.param.blob)

    def scatter(self) -> None:
        self.param.blob.diff_tensor.publish()


class _Small:
    """Parameters whose gradients, or statistics, are copied to a buffer and back."""

    def __init__(self, params: Sequence[Param], place: int, means: Means) -> None:
        self.place, self._means = place, means
        self._buffer = means.buffer(sum(param.blob.count for param in params))
        self._parts: list[tuple[Tensor, Array]] = []
        end = 0
        for param in params:
            start, end = end, end + param.blob.count
            tensor = param.blob.diff_tensor if param.learns else param.blob.data_tensor
            self._parts.append((tensor, self._buffer[start:end]))

    def gather(self) -> Array:
        for tensor, values in self._parts:
            values[...] = self._means.read(tensor)
        return self._buffer

    def scatter(self) -> None:
        for tensor, values in self._parts:
            self._means.overwrite(tensor)[...] = values


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
    means : Means, optional
        Where gradients become means; by default on the host.
    """

    def __init__(
        self, net: Net, world: World, bucket: int = BUCKET, means: Means | None = None
    ) -> None:
        self._world = world
        self._means = means or HostMeans(world, net.device)
        self._buckets = self._cut(net, bucket)
        self._large = [one.param.blob for one in self._buckets if isinstance(one, _Large)]
        self._sums: list[tuple[Sum, Array]] = []
        self._is_armed = False
        calls = net.hooks.after_backward if net.device.is_cpu else net.hooks.alongside_backward
        calls.append(self._layer_done)

    def _cut(self, net: Net, size: int) -> list[_Bucket]:
        places, buckets = last_places(net), list[_Bucket]()
        params = [param for param in net.learnable_params if param.learns and param.lr_mult]
        params.sort(key=lambda param: -places[param.name])
        small: list[Param] = []
        for param in params:
            place = places[param.name]
            # What is left over has to wait for the statistics, and for the end.
            if _LARGE * _FLOAT * param.blob.count >= size:
                buckets.append(_Large(param, place, self._means))
                continue
            small.append(param)
            if _FLOAT * sum(one.blob.count for one in small) >= size:
                buckets.append(_Small(small, place, self._means))
                small = []
        small += statistics(net)
        return [*buckets, _Small(small, -1, self._means)] if small else buckets

    def arm(self) -> None:
        """Say that the next backward pass is the last of the iteration."""
        self._is_armed = True

    def finish(self, *numbers: float) -> list[float]:
        """Let all gradients be means from here on; return the means of some numbers."""
        self._is_armed = False
        if self._means.needs_agreement:
            self._means.agree(self._large)
        while len(self._sums) < len(self._buckets):
            self._start(self._buckets[len(self._sums)])
        mine = np.array(numbers, np.float32)
        last = self._world.start_sum(mine)
        for bucket, (one, _) in zip(self._buckets, self._sums, strict=True):
            one.wait()
            bucket.scatter()
        self._sums = []
        last.wait()
        return [float(number) / self._world.size for number in mine]

    def _layer_done(self, place: int) -> None:
        if not self._is_armed or self._means.needs_agreement:
            return
        waiting = self._buckets[len(self._sums) :]
        for bucket in waiting:
            if bucket.place < place:
                break
            self._start(bucket)
        for one, _ in self._sums:
            one.progress()

    def _start(self, bucket: _Bucket) -> None:
        array = bucket.gather()
        self._sums.append((self._means.start(array), array))


def statistics(net: Net) -> list[Param]:
    """Return the parameters that layers set by themselves as they train."""
    still = {layer.name for layer in net.layers if getattr(layer, "global_stats", False)}
    return [
        param
        for param in net.learnable_params
        if not param.learns and param.layer_name not in still
    ]


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
