"""A net as channels: where each comes from, what it is if it never changes, and who reads it.

A channel keeps its identity through layers that treat each one by itself, such as ReLU, BatchNorm
and pooling. Eltwise ties the channels of its bottoms together: they stay or go as one.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sscaffe.proto import caffe_pb2

Array = npt.NDArray[Any]


@dataclass(eq=False)
class Value:
    """What a blob holds between the layer that sets it and those that read it.

    Attributes
    ----------
    name : str
        The blob's name.
    channels : ndarray of int, shape (C,)
        The identity of each channel along axis 1.
    width : ndarray of int, shape (C,)
        How many elements of axis 1 each is: more than one after a Flatten.
    constant : ndarray of float, shape (C,)
        What each channel holds everywhere, for any input, in TEST; NaN where that differs.
    spatial : int
        Elements of the axes after axis 1.
    batch : int
        Elements of axis 0.
    """

    name: str
    channels: Array
    width: Array
    constant: Array
    spatial: int
    batch: int

    def __post_init__(self) -> None:
        self.constant = np.where(np.isfinite(self.constant), self.constant, np.nan)

    def like(self, name: str, constant: Array) -> "Value":
        """Return the same channels in another blob."""
        return Value(name, self.channels, self.width, constant, self.spatial, self.batch)


@dataclass(eq=False)
class Node:
    """A layer with what it reads and sets.

    Attributes
    ----------
    param : LayerParameter
        The layer as written.
    blobs : list of ndarray
        Its weights.
    bottoms, tops : list of Value
        By place; bottoms are those of the layers before.
    kind : str
        What the layer is to channels: ``dense``, ``each``, ``join``, ``cut``, ``sum``, ``flatten``,
        ``copy``, ``end``, or ``twin`` of a layer of the same name in TEST.
    """

    param: caffe_pb2.LayerParameter
    blobs: list[Array]
    bottoms: list[Value] = field(default_factory=list)
    tops: list[Value] = field(default_factory=list)
    kind: str = "end"


class Channels:
    """The identities of all channels, which of them are tied, and which have to stay.

    Identities are numbers; `find` gives the one that stands for all that are tied to it.
    """

    def __init__(self) -> None:
        self._parents: list[int] = []
        self.reasons: dict[int, str] = {}

    def new(self, count: int) -> Array:
        """Return so many identities."""
        first = len(self._parents)
        self._parents.extend(range(first, first + count))
        return np.arange(first, first + count)

    def find(self, channel: int) -> int:
        """Return the channel that stands for all that are tied to this one."""
        while self._parents[channel] != channel:
            self._parents[channel] = self._parents[self._parents[channel]]
            channel = self._parents[channel]
        return channel

    def find_all(self, channels: Array) -> Array:
        """Return `find` of each."""
        return np.array([self.find(int(channel)) for channel in channels], int)

    def tie(self, a: Array, b: Array) -> None:
        """Tie channels together, pair by pair."""
        for one, other in zip(a, b, strict=True):
            self._parents[self.find(int(one))] = self.find(int(other))

    def keep(self, channels: Array, reason: str) -> None:
        """Say that channels have to stay, and why."""
        for channel in channels:
            self.reasons.setdefault(int(channel), reason)

    def __len__(self) -> int:
        return len(self._parents)


@dataclass(eq=False)
class Graph:
    """All layers of a net in their order, and the channels that flow through them."""

    nodes: list[Node]
    channels: Channels

    def readers(self, value: Value) -> list[tuple[Node, int]]:
        """Return the layers that read a value, each with the place of the bottom."""
        return [
            (node, i)
            for node in self.nodes
            for i, bottom in enumerate(node.bottoms)
            if bottom is value
        ]
