"""Repeating the forward pass of a compact net, without going through its layers."""

from collections.abc import Callable, Sequence

from sscaffe.blob import Blob
from sscaffe.kernels.tape import Tape
from sscaffe.net.step import Step
from sscaffe.tensor import Fresh, Tensor

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
        self._passes = 0
        self._tensors: list[Tensor] = []
        self._versions: list[int] = []
        self._states: list[tuple[Tensor, Fresh]] = []

    def run(self, forward: Callable[[], float]) -> float:
        """Run the net by its tape, or by `forward` where there is none that still holds."""
        if self._tape is not None and self._holds():
            self._tape.replay()
            for tensor, fresh in self._states:
                tensor.set_fresh(fresh)
                tensor.publish()
            return 0.0
        self._tape = None
        if self._passes < PASSES_BEFORE or not self._may_record():
            self._passes += 1
            return forward()
        with Tape() as tape:
            loss = forward()
        self._tape, self._passes = tape, 0
        self._tensors = self._current()
        self._versions = self._weight_versions()
        self._states = [(blob.data_tensor, blob.data_tensor.fresh) for blob in self._kept]
        return loss

    def _may_record(self) -> bool:
        return (
            all(step.layer.replays and not step.losses for step in self._steps)
            and all(blob.data_tensor.fresh is Fresh.PLAIN for blob in self._inputs)
            and not any(blob.data_tensor.is_held for blob in self._weights)
        )

    def _holds(self) -> bool:
        """Tell whether the tape would read and write what the layers would."""
        return (
            self._current() == self._tensors
            and all(blob.data_tensor.is_plain for blob in self._inputs)
            and self._weight_versions() == self._versions
        )

    def _current(self) -> list[Tensor]:
        return [blob.data_tensor for blob in self._kept]

    def _weight_versions(self) -> list[int]:
        # An array that is held could change unseen, but getting hold of one counts as a change.
        return [blob.data_tensor.writes for blob in self._weights]
