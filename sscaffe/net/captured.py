"""Passes over a net on a device that can record them: asked for once, then launched as a whole.

A pass over a net of small layers spends more time in Python than on the device. As long as no shape
and no array changes, what it asks for is the same every time.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any, cast

from sscaffe.blob import Blob
from sscaffe.blob_lists import data_tensors, diff_tensors, writes
from sscaffe.errors import UnsupportedError
from sscaffe.glog import logger
from sscaffe.kernels import Kernels
from sscaffe.net.step import Step
from sscaffe.tensor import Fresh, Tensor

if TYPE_CHECKING:
    from sscaffe.device_tensor import DeviceTensor

PASSES_BEFORE = 2  # that find their memory, choose kernels and prepare weights
_MOST = 4  # recordings of one part: gradients may start from 0 or not

_serial = itertools.count()


@dataclass
class Recording:
    """One recording, and what it leaves behind."""

    launch: Callable[[], None]
    left: list[tuple[Tensor, Fresh]]  # the tensors that it sets
    result: Any


class Recorded:
    """Consecutive layers in one direction, none of which touches the host.

    Parameters
    ----------
    work : callable
        Runs them, and returns their part of the loss: a number, or an array () of the device.
    steps : sequence of Step
        The layers.
    kernels : Kernels
        Those of the device.
    by_version : bool
        Whether kernels prepare forms of the weights, so that other values are another recording.
    forward : sequence of Recorded, optional
        For layers that run backward, those that ran them forward.

    Notes
    -----
    What layers keep from forward for backward is the arrays of the last pass or recording that
    called them. So there is one recording forward at a time, and one backward belongs to it: it is
    dropped when the layers were called forward since.
    """

    def __init__(
        self,
        work: Callable[[], Any],
        steps: Sequence[Step],
        kernels: Kernels,
        by_version: bool,
        forward: "Sequence[Recorded] | None" = None,
    ) -> None:
        self._work, self._kernels, self._forward = work, kernels, forward
        self.called = next(_serial)  # changes whenever the layers themselves run
        self._blobs = list(blobs_of(steps))
        self._weights = [blob for step in steps for blob in step.layer.blobs]
        self._by_version = by_version
        # Layers read the weight of their loss on the host; those that others write to are no such.
        losses = [] if forward is None else [loss for step in steps for loss in step.losses]
        self._losses = [loss for loss in losses if not (loss.has_reader or loss.is_in_place)]
        self._seen: Any = None
        self._held: list[Any] = []  # the arrays of what was seen: no others have their ids
        self._passes: dict[Any, int] = {}
        self._recordings: dict[Any, Recording] = {}
        self._may_record = True

    def run(self) -> Any:
        """Run the layers, by a recording where there is one that still holds."""
        if not self._may_record:
            return self._call()
        tensors = self._tensors()
        for tensor in filter(_is_on_host, tensors):
            tensor.read()
        seen = self._look(tensors)
        if seen != self._seen:
            self._passes, self._recordings = {}, {}
            self._note(tensors)
        # Members of an enum have a hash that Python works out.
        key = tuple(map(id, map(_get_fresh, tensors)))
        if (recording := self._recordings.get(key)) is not None:
            return _launched(recording)
        passes = self._passes[key] = self._passes.get(key, 0) + 1
        if self._forward is None:
            self._recordings = {}
        if passes <= PASSES_BEFORE or len(self._recordings) == _MOST:
            result = self._call()
            self._note(self._tensors())
            return result
        return self._record(key)

    def forget(self) -> None:
        """Drop what is recorded, as the layers ran by themselves."""
        self._passes, self._recordings, self._seen, self._held = {}, {}, None, []
        self.called = next(_serial)

    def _call(self) -> Any:
        self.called = next(_serial)
        return self._work()

    def _record(self, key: Any) -> Any:
        results: list[Any] = []
        before = _states(self._tensors())
        try:
            launch = self._kernels.record(lambda: results.append(self._call()))
        except BaseException as error:
            # Nothing was done of what tensors have been told.
            for tensor, state in _states(self._tensors()).items():
                if tensor in before and state != before[tensor]:
                    tensor.set_fresh(before[tensor][0])
            if not isinstance(error, UnsupportedError):
                raise
            logger.warning("the net runs layer by layer: %s", error)
            self._may_record = False
            return self._call()
        now = _states(self._tensors())
        left = [(tensor, now[tensor][0]) for tensor in now if before.get(tensor) != now[tensor]]
        recording = self._recordings[key] = Recording(launch, left, results[0])
        self._note(self._tensors())
        return _launched(recording)

    def _note(self, tensors: Sequence[Tensor]) -> None:
        self._seen, self._held = self._look(tensors), list(map(_get_array, tensors))

    def _look(self, tensors: Sequence[Tensor]) -> Any:
        """Return what a recording depends on: shapes, where arrays are, perhaps the weights."""
        shapes = list(map(_get_shape, self._blobs))
        # The arrays themselves would be compared element by element.
        arrays, calls = list(map(id, map(_get_array, tensors))), self._forward or ()
        losses = [loss.blob.diff_tensor.version for loss in self._losses]
        return shapes, arrays, self._versions(), [one.called for one in calls], losses

    def _tensors(self) -> "list[DeviceTensor]":
        tensors = data_tensors(self._blobs)
        if self._forward is not None:
            tensors = tensors + diff_tensors(self._blobs)
        return cast(list["DeviceTensor"], tensors)

    def _versions(self) -> list[int]:
        return [blob.data_version for blob in self._weights] if self._by_version else []


def _states(tensors: Sequence[Tensor]) -> dict[Tensor, tuple[Fresh, int]]:
    """Return which place of each tensor is fresh, and how often it was set."""
    places = [tensor.fresh for tensor in tensors]
    return dict(zip(tensors, zip(places, writes(tensors), strict=True), strict=True))


def _launched(recording: Recording) -> Any:
    recording.launch()
    for tensor, fresh in recording.left:
        tensor.set_fresh(fresh)
    return recording.result


_get_shape = attrgetter("_shape")
_get_array = attrgetter("_plain")
_get_fresh = attrgetter("_fresh")
_is_on_host = attrgetter("_host_is_fresh")


def publish(blobs: Sequence[Blob]) -> None:
    """Bring arrays of the host that somebody outside still holds up to date."""
    tensors = cast(list["DeviceTensor"], data_tensors(blobs) + diff_tensors(blobs))
    for tensor in tensors:
        if tensor.has_host_array:
            tensor.publish()


def blobs_of(steps: Sequence[Step]) -> Iterator[Blob]:
    """Yield the blobs of layers, each once."""
    known: set[int] = set()
    for step in steps:
        for blob in (*step.bottom, *step.top, *step.layer.blobs):
            if id(blob) not in known:
                known.add(id(blob))
                yield blob


class RecordedPass:
    """A pass in one direction: recorded parts, and between them layers that touch the host.

    Parameters
    ----------
    parts : sequence
        What runs, in this order.
    steps_of : function of a part
        Returns its layers.
    run : function of a part
        Runs one, and returns its part of the loss.
    kernels, by_version, forward
        As `Recorded` takes them.
    """

    def __init__(
        self,
        parts: Sequence[Any],
        steps_of: Callable[[Any], Sequence[Step]],
        run: Callable[[Any], Any],
        kernels: Kernels,
        by_version: bool,
        forward: "RecordedPass | None" = None,
    ) -> None:
        def on_host(part: Any) -> bool:
            return any(step.layer.uses_host for step in steps_of(part))

        self._work: list[Callable[[], Any]] = []
        self.recorded: list[Recorded] = []
        before = None if forward is None else forward.recorded
        for uses_host, group in groupby(parts, on_host):
            some = list(group)
            work = _all_of(some, run)
            if uses_host:
                self._work.append(work)
            else:
                steps = [step for part in some for step in steps_of(part)]
                self.recorded.append(Recorded(work, steps, kernels, by_version, before))
                self._work.append(self.recorded[-1].run)

    def run(self) -> Any:
        """Run the pass, and return the loss: a number, or an array () of the device."""
        return add_up(work() for work in self._work)


def _all_of(parts: Sequence[Any], run: Callable[[Any], Any]) -> Callable[[], Any]:
    return lambda: add_up(run(part) for part in parts)


def add_up(terms: Iterator[Any]) -> Any:
    """Return the sum of numbers and arrays (), without work for those that are the number 0."""
    total: Any = 0.0
    for term in terms:
        if not (isinstance(term, float | int) and term == 0):
            total = term if isinstance(total, float) and total == 0 else total + term
    return total
