"""Where layers are in data and in random numbers: noted in a state, and gone back to."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

from sscaffe.errors import WeightsError
from sscaffe.net import Net
from sscaffe.proto import caffe_pb2
from sscaffe.random_numbers import RandomNumbers

_NO_PLACE = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError)


@runtime_checkable
class DataSource(Protocol):
    """A layer that knows its place in its data."""

    def data_state(self) -> dict[str, Any]:
        """Return the place of the next batch; JSON can hold it."""

    def restore_data_state(self, state: dict[str, Any]) -> None:
        """Go to a place that `data_state` returned."""


@runtime_checkable
class Drawing(Protocol):
    """A layer that may draw random numbers from a stream of its own."""

    def random_state(self) -> tuple[int, int] | None:
        """Return seed and step of the stream, None if there is none."""

    def restore_random_state(self, seed: int, step: int) -> None:
        """Go to a place that `random_state` returned."""


class Places:
    """Where data layers and random numbers are now, to go back there.

    Parameters
    ----------
    nets : iterable of Net
        Whose data layers.
    rng : RandomNumbers
        What the nets draw from.
    """

    def __init__(self, nets: Iterable[Net], rng: RandomNumbers) -> None:
        self._rng, self._random_state = rng, rng.get_state()
        self._states = [
            (layer, layer.data_state())
            for net in nets
            for layer in net.layers
            if isinstance(layer, DataSource)
        ]

    def go_back(self) -> None:
        """Let everything go on from there."""
        for layer, state in self._states:
            layer.restore_data_state(state)
        self._rng.set_state(self._random_state)


def save_cursors(proto: caffe_pb2.SolverState, net: Net, test_nets: Sequence[Net]) -> None:
    """Note in a state where the data layers are."""
    for number, name, layer in _data_layers(net, test_nets):
        state = json.dumps(layer.data_state())
        proto.data_cursor.add(layer=name, test_net=number, state=state)


def restore_cursors(proto: caffe_pb2.SolverState, net: Net, test_nets: Sequence[Net]) -> None:
    """Let the data layers go on where a state says; those it does not know start anew.

    Raises
    ------
    DataError
        If the data has no such place.
    WeightsError
        If that is no place at all.
    """
    cursors = {(cursor.test_net, cursor.layer): cursor.state for cursor in proto.data_cursor}
    for number, name, layer in _data_layers(net, test_nets):
        if (number, name) not in cursors:
            continue
        text = cursors[number, name]
        try:
            layer.restore_data_state(json.loads(text))
        except _NO_PLACE as error:
            raise WeightsError(
                f"data_cursor: expected a place in the data of layer {name!r}, got {text!r}"
            ) from error


def random_states(net: Net) -> dict[str, tuple[int, int]]:
    """Return seed and step of each layer that draws from a stream of its own, by its name."""
    states = ((name, layer.random_state()) for name, layer in _drawing_layers(net))
    return {name: state for name, state in states if state is not None}


def save_random_states(
    proto: caffe_pb2.SolverState, of_ranks: Sequence[dict[str, tuple[int, int]]]
) -> None:
    """Note in a state what `random_states` returned on each rank."""
    for rank, states in enumerate(of_ranks):
        for name, (seed, step) in states.items():
            proto.layer_random_state.add(layer=name, rank=rank, seed=seed, step=step)


def restore_random_states(proto: caffe_pb2.SolverState, net: Net, rank: int) -> None:
    """Let layers go on where a state says this rank was; those it does not know start anew."""
    states = {one.layer: one for one in proto.layer_random_state if one.rank == rank}
    for name, layer in _drawing_layers(net):
        if name in states:
            layer.restore_random_state(states[name].seed, states[name].step)


def _drawing_layers(net: Net) -> Iterator[tuple[str, Drawing]]:
    for layer in net.layers:
        if isinstance(layer, Drawing):
            yield layer.name, layer


def _data_layers(net: Net, test_nets: Sequence[Net]) -> Iterator[tuple[int, str, DataSource]]:
    for number, one in enumerate((net, *test_nets), start=-1):
        for layer in one.layers:
            if isinstance(layer, DataSource):
                yield number, layer.name, layer
