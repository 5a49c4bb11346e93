"""One layer in its place in a net: with its blobs, its part of the loss, and its name in errors."""

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar

from sscaffe.blob import Blob
from sscaffe.layer import Layer
from sscaffe.proto import caffe_pb2


class LossTop:
    """A top that is part of the loss.

    Its diff is the loss weight from the start and, as in Caffe, stays what a user makes of it.
    """

    __slots__ = ("_filled", "blob", "has_reader", "is_in_place", "weight")

    def __init__(self, blob: Blob, weight: float, is_in_place: bool) -> None:
        self.blob, self.weight = blob, weight
        self.is_in_place = is_in_place  # the layer itself overwrites its diff
        self.has_reader = False  # some later layer sets its diff
        self.fill_diff()

    def value(self) -> Any:
        """Return the weighted sum of its elements, just set: on a GPU an array () there."""
        if self.blob.diff_tensor is not self._filled and not self.has_reader:
            self.fill_diff()  # The layer has found out only now how many elements there are.
        if self.blob.device.is_cpu:
            return self.weight * float(self.blob.const_data.sum())
        values = self.blob.const_data.reshape(-1)
        total = values[0] if values.size == 1 else values.sum()
        return total if self.weight == 1 else total * self.weight

    def fill_diff(self) -> None:
        """Make its diff the loss weight."""
        self.blob.diff[...] = self.weight  # by way of the host: layers read the weight there
        self._filled = self.blob.diff_tensor

    def refresh_diff(self) -> None:
        """Put the loss weight back into a diff that a layer has overwritten."""
        if self.has_reader:
            self.blob.mutable_diff[...] += self.weight
        elif self.is_in_place:
            self.fill_diff()


class Step:
    """A layer with its bottoms and tops.

    Parameters
    ----------
    layer : Layer
        The layer.
    bottom_ids, top_ids : list of int
        The numbers of its blobs in `names` and `blobs`.
    names : sequence of str
        The names of all blobs of the net.
    blobs : sequence of Blob
        All blobs of the net.
    """

    __slots__ = (
        "_seen",
        "bottom",
        "bottom_ids",
        "bottom_names",
        "layer",
        "losses",
        "needs_backward",
        "propagate_down",
        "top",
        "top_ids",
    )

    def __init__(
        self,
        layer: Layer,
        bottom_ids: list[int],
        top_ids: list[int],
        names: Sequence[str],
        blobs: Sequence[Blob],
    ) -> None:
        self.layer = layer
        self.bottom_ids, self.top_ids = bottom_ids, top_ids
        self.bottom = [blobs[i] for i in bottom_ids]
        self.top = [blobs[i] for i in top_ids]
        self.bottom_names = [names[i] for i in bottom_ids]
        self.losses: list[LossTop] = []
        self.propagate_down = [False] * len(bottom_ids)
        self.needs_backward = False
        self._seen: Any = None

    def reshape(self) -> None:
        """Let the layer set the shapes of its tops."""
        self.layer.reshape(self.bottom, self.top)
        for loss in self.losses:
            loss.fill_diff()
        self._seen = self._look()

    def settle(self) -> bool:
        """Reshape the layer if its bottoms are not what they were; return whether they are not."""
        changed = bool(self.bottom) and self._seen != self._look()
        if changed:
            self.reshape()
        return changed

    def forward(self) -> Any:
        """Run the layer, reshaped if its bottoms are not what they were; return its loss."""
        self.settle()
        self.layer.forward(self.bottom, self.top)
        return sum([loss.value() for loss in self.losses]) if self.losses else 0.0

    @property
    def steps(self) -> "list[Step]":
        """The step itself, as a chain of steps has more."""
        return [self]

    def backward(self) -> None:
        """Run the layer backward, if anything needs it."""
        if self.needs_backward:
            for loss in self.losses:
                loss.refresh_diff()
            self.layer.backward(self.top, self.propagate_down, self.bottom)

    def describe_bottom(self) -> list[str]:
        """Return the name and shape of each bottom."""
        pairs = zip(self.bottom_names, self.bottom, strict=True)
        return [f"{name!r} {blob.shape}" for name, blob in pairs]

    def _look(self) -> Any:
        # Arrays too: a blob that was reshaped twice has its old shape, but not what it shared.
        return [(b.shape, b.data_tensor) for b in self.bottom], [b.shape for b in self.top]


_P = ParamSpec("_P")
_R = TypeVar("_R")


def one_at_a_time(
    method: Callable[Concatenate[Any, _P], _R],
) -> Callable[Concatenate[Any, _P], _R]:
    """Let threads that call such methods of one object, which has a `lock`, take turns."""

    def run(self: Any, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        with self.lock:
            return method(self, *args, **kwargs)

    functools.update_wrapper(run, method)
    return run


def loss_weights(steps: Sequence[Step], blobs: dict[str, Blob]) -> dict[str, float]:
    """Return the weight in the loss of each blob, by its name."""
    by_blob: dict[int, float] = {}
    for step in steps:
        for loss in step.losses:
            by_blob[id(loss.blob)] = by_blob.get(id(loss.blob), 0.0) + loss.weight
    return {name: by_blob.get(id(blob), 0.0) for name, blob in blobs.items()}


def add_location(
    error: Exception,
    layer_param: caffe_pb2.LayerParameter,
    source: str,
    bottom: Sequence[str] = (),
) -> None:
    """Add to an error which layer of which file it came from.

    Parameters
    ----------
    error : Exception
        The error.
    layer_param : LayerParameter
        The layer.
    source : str
        The file; may be empty.
    bottom : sequence of str
        Names and shapes of the layer's bottoms.
    """
    place = f" in {source}" if source else ""
    error.add_note(f"  layer:  {layer_param.name!r} ({layer_param.type}){place}")
    if bottom:
        error.add_note("  bottom: " + ", ".join(bottom))


@contextmanager
def located(
    layer_param: caffe_pb2.LayerParameter, source: str, bottom: Sequence[str]
) -> Iterator[None]:
    """Do as `add_location` to any error that leaves the block."""
    try:
        yield
    except Exception as error:
        add_location(error, layer_param, source, bottom)
        raise
