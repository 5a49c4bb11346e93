"""In which way a compact net runs: the batch at once or in portions, parts joined by copies or not.

Activations of a large batch go through memory where those of one image stay in the caches. What is
faster is timed once for each batch size, and remembered with what AUTO measures.
"""

import hashlib
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from sscaffe import __version__, memo
from sscaffe.blob import Blob
from sscaffe.glog import logger
from sscaffe.net.fusion import Sharing
from sscaffe.net.plan import Plan
from sscaffe.net.replay import PASSES_BEFORE, Replay
from sscaffe.net.step import Step
from sscaffe.tensor import Fresh

Forward = Callable[[], float]

WORTH_IT = 0.99  # of the time of the whole batch: what is hardly faster is not taken
LARGE = 8  # images: what a larger batch is timed by, as that would take its memory
ROUNDS = 3
PASSES = 3  # of a round that are timed
IMAGES = 12  # or as many as make so many images


class Way(NamedTuple):
    """How a net runs."""

    batch: int  # images at once
    joined: bool  # whether parts of a Concat are made in its top

    @property
    def name(self) -> str:
        """What it is called in the file of times."""
        return f"{self.batch} at once{', joined' if self.joined else ''}"


class Ways:
    """Runs a compact net in the way that is fastest.

    Parameters
    ----------
    name : str
        The net's, for the log.
    plan : Plan
        What runs.
    steps : sequence of Step
        All layers.
    inputs, kept : sequence of Blob
        What is read first, and all that somebody may read afterwards.
    """

    def __init__(
        self,
        name: str,
        plan: Plan,
        steps: Sequence[Step],
        inputs: Sequence[Blob],
        kept: Sequence[Blob],
    ) -> None:
        self._name, self._plan, self._steps = name, plan, steps
        self._inputs, self._kept = inputs, kept
        self._others = _distinct(kept, inputs)
        self._portions = {id(blob): Blob() for blob in (*inputs, *self._others)}
        self._may_part = _images_are_apart(steps, inputs)
        self._chosen: dict[int, Way] = {}  # by the number of images
        self._way: Way | None = None
        self.replay = Replay(steps, inputs, kept)
        self._density = _density(steps) if self._may_part or plan.may_join else 0.0

    def run(self, forward: Forward) -> float:
        """Run the net, by `forward` where nothing is recorded that still holds."""
        if self.replay.repeat():
            return 0.0  # what it was recorded with tells the number of images, and so the way
        count = self._count()
        if count is None:
            return self._run(Way(0, joined=False), 0, forward)
        if count not in self._chosen:
            self._chosen[count] = self._choose(count, forward)
        return self._run(self._chosen[count], count, forward)

    def reshape(self, reshape: Callable[[bool], None]) -> None:
        """Let `reshape` take the layers to the inputs as they are; given True, those that need it.

        Many a script asks for it before each pass, and each portion needs what layers keep.
        """
        count = self._count()
        way = None if count is None else self._chosen.get(count)
        if count is None or way is None or way.batch == count or way != self._way:
            reshape(False)
            return
        with self._one_portion(way.batch):
            reshape(True)
            for blob in self._others:
                self._portions[id(blob)].reshape(count, *blob.shape[1:])

    def _count(self) -> int | None:
        """Return how many images there are, if it matters."""
        counts = {blob.shape[0] if blob.ndim else 0 for blob in self._inputs}
        count = counts.pop() if len(counts) == 1 else 0
        matters = self._plan.may_join if count == 1 else self._may_part
        return count if count and matters else None

    def _choose(self, count: int, forward: Forward) -> Way:
        whole = Way(min(count, LARGE), joined=False)
        ways = [whole, *([Way(1, joined=False)] if count > 1 else [])]
        ways += [Way(1, joined=True)] if self._plan.may_join else []
        names = [way.name for way in ways]
        times = memo.times(self._key(), names, lambda: self._measure(ways, forward))
        best = min(ways, key=lambda way: times[way.name] * (way == whole or 1 / WORTH_IT))
        if best == whole:
            return Way(count, joined=False)
        logger.info(
            "%s: %d images run %s; %.3g ms an image instead of %.3g",
            self._name,
            count,
            best.name,
            times[best.name],
            times[whole.name],
        )
        return best

    def _key(self) -> str:
        """Return what the times depend on, as a name for them."""
        text = "".join(str(step.layer.layer_param) for step in self._steps)
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        place = self._steps[0].layer.kernels.place()
        shapes = ", ".join(str(blob.shape) for blob in self._inputs)
        zeros = f"{20 * self._density:.0f}/20 dense"
        return f"sscaffe {__version__}; {place}; Net {digest}; {shapes}; {zeros}"

    def _measure(self, ways: Sequence[Way], forward: Forward) -> memo.Times:
        """Return the ms that an image takes in each way: the least of some rounds."""
        times: memo.Times = {}
        for _ in range(ROUNDS):
            for way in ways:
                took = self._time(way, forward) / way.batch
                times[way.name] = min(took, times.get(way.name, took))
        return times

    def _time(self, way: Way, forward: Forward) -> float:
        """Return the median time of a pass over as many images as run at once, in ms."""
        self._enter(way)
        passes = max(PASSES, IMAGES // way.batch)
        times = []
        with self._one_portion(way.batch):
            for i in range(PASSES_BEFORE + 1 + passes):
                begin = time.perf_counter()
                self.replay.run(forward)
                if i > PASSES_BEFORE:
                    times.append(1e3 * (time.perf_counter() - begin))
        return statistics.median(times)

    def _enter(self, way: Way) -> None:
        """Go over to a way, and forget what was recorded and kept for another."""
        if way != self._way:
            self._way = way
            self._plan.join(way.joined)
            self._plan.forget_memory()
            self.replay = Replay(self._steps, self._inputs, self._kept)

    def _run(self, way: Way, count: int, forward: Forward) -> float:
        self._enter(way)
        if way.batch == count:
            return self.replay.run(forward)
        with self._one_portion(way.batch):
            for start in range(0, count, way.batch):
                portion = slice(start, start + way.batch)
                for blob in self._inputs:
                    blob.new_data()[...] = self._portions[id(blob)].const_data[portion]
                self.replay.run(forward)
                for blob in self._others:
                    whole = self._portions[id(blob)]
                    whole.reshape(count, *blob.shape[1:])
                    whole.new_data()[portion] = blob.const_data
        return 0.0

    @contextmanager
    def _one_portion(self, batch: int) -> Iterator[None]:
        """Let the blobs that are kept hold a portion of what they hold; `_portions` has it all."""
        pairs = [(blob, self._portions[id(blob)]) for blob in (*self._inputs, *self._others)]
        for blob, other in pairs:
            blob.exchange(other)
        try:
            for blob in self._inputs:
                whole = self._portions[id(blob)]
                blob.reshape(batch, *whole.shape[1:])
            yield
        finally:
            for blob, other in pairs:
                blob.exchange(other)


def _distinct(blobs: Sequence[Blob], but: Sequence[Blob]) -> list[Blob]:
    """Return blobs once each, without some."""
    known = {id(blob) for blob in but}
    found = []
    for blob in blobs:
        if id(blob) not in known:
            known.add(id(blob))
            found.append(blob)
    return found


def _images_are_apart(steps: Sequence[Step], inputs: Sequence[Blob]) -> bool:
    """Tell whether nothing that becomes of an image depends on how many others there are."""
    sharing = Sharing(steps)
    given = {sharing.of(blob) for blob in inputs}
    changes = any(
        sharing.of(blob) in given
        for step in steps
        if step.bottom and not step.layer.shares_data
        for blob in step.top
    )
    apart = all(step.layer.treats_images_apart and not step.losses for step in steps)
    return apart and not changes and bool(inputs)


def _density(steps: Sequence[Step]) -> float:
    """Return the share of weights that are not zero."""
    blobs = [blob for step in steps for blob in step.layer.blobs[:1]]
    weights = [blob.const_data for blob in blobs if blob.data_tensor.fresh is not Fresh.GONE]
    size = sum(array.size for array in weights)
    return sum(int(np.count_nonzero(array)) for array in weights) / size if size else 1.0
