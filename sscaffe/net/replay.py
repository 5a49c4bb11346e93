"""Repeating the forward pass of a compact net, without going through its layers."""

from collections.abc import Callable, Sequence
from operator import attrgetter

from sscaffe import _core
from sscaffe.blob import Blob
from sscaffe.blob_lists import data_tensors, native_places, places, writes
from sscaffe.kernels.tape import Tape
from sscaffe.net.step import Step
from sscaffe.tensor import Fresh, Shape, Tensor, Watched

# What a tape was made for: the tensors of the kept blobs with their shapes, and the weights with
# how often they were written.
_State = tuple[list[tuple[Tensor, Shape]], list[Tensor], list[int]]

_is_plain = attrgetter("data_tensor.is_plain")
_NATIVE = Fresh.NATIVE  # looking it up there takes ten times as long
PASSES_BEFORE = 2  # that prepare weights and find their memory


class Replay:
    """What a net of Input layers and kernels asks of the core, repeated while nothing changes.

    Parameters
    ----------
    steps : sequence of Step
        The net's.
    inputs, kept : sequence of Blob
        What is read first, and all that somebody may read afterwards.
    """

    def __init__(self, steps: Sequence[Step], inputs: Sequence[Blob], kept: Sequence[Blob]) -> None:
        self._steps, self._inputs, self._kept = steps, inputs, kept
        self._weights = [blob for step in steps for blob in step.layer.blobs]
        self._tape: Tape | None = None
        self._passes = 0  # without a tape since something changed
        self._seen: _State | None = None  # after the last pass
        self._changes = -1  # of watched tensors, when the weights were last looked at
        # Of the kept: where the tape leaves the value, which may have moved meanwhile.
        self._states: list[tuple[Tensor, Fresh, _core.Memory | None]] = []

    def repeat(self) -> bool:
        """Run the net by its tape, if there is one that still holds."""
        if self._tape is None or not self._holds():
            return False
        self._tape.replay()
        for tensor, fresh, native in self._states:
            tensor.set_fresh(fresh, native)
            if fresh is _NATIVE:
                tensor.publish()
        return True

    def run(self, forward: Callable[[], float]) -> float:
        """Run the net by its tape, or by `forward` where there is none that still holds."""
        if self.repeat():
            return 0.0
        state = self._state()
        if self._tape is not None or state != self._seen:
            self._tape, self._passes = None, 0
        if self._passes < PASSES_BEFORE or not self._may_record():
            self._passes += 1
            loss = forward()
            self._seen = self._state()
            return loss
        with Tape() as tape:
            loss = forward()
        self._seen = self._state()
        if self._seen == state:  # else it holds what is done once, such as a choice of kernels
            self._tape, self._changes = tape, -1
            for tensor in state[1]:
                tensor.watch()
            self._states = native_places(data_tensors(self._kept))
        return loss

    def _may_record(self) -> bool:
        return (
            all(step.layer.replays and not step.losses for step in self._steps)
            and all(blob.data_tensor.fresh is Fresh.PLAIN for blob in self._inputs)
            and not any(blob.data_tensor.is_held for blob in self._weights)
        )

    def _holds(self) -> bool:
        """Tell whether the tape would read and write what the layers would.

        A blob of another shape may have kept its tensor. Weights that are held could change unseen,
        but getting hold of them counts as a change.
        """
        assert self._seen is not None
        kept, weights, written = self._seen
        if places(self._kept) != kept:
            return False
        changes = Watched.changes
        if changes != self._changes:
            if data_tensors(self._weights) != weights or writes(weights) != written:
                return False
            self._changes = changes
        return all(map(_is_plain, self._inputs))

    def _state(self) -> _State:
        weights = data_tensors(self._weights)
        return places(self._kept), weights, writes(weights)
