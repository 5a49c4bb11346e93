"""Team: what the solver of one rank asks of all of them."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

from sscaffe.blob import Blob
from sscaffe.glog import logger
from sscaffe.net import Net
from sscaffe.parallel import sharding
from sscaffe.parallel.agreement import INTERVAL, require_agreement
from sscaffe.parallel.means import GpuMeans, HostMeans, nccl_of
from sscaffe.parallel.reduction import Reduction
from sscaffe.parallel.watchdog import Watchdog
from sscaffe.parallel.world import World, started_with
from sscaffe.proto import caffe_pb2
from sscaffe.random_numbers import LARGEST, RandomNumbers

T = TypeVar("T")

_REMINDERS = 10  # of rank 0 that it works, within a deadline
_APART = 0x9E3779B1  # odd, so that ranks below 2**32 have seeds of their own


class Team:
    """The ranks that train one net. A solver that is alone has a team too, which costs nothing.

    Parameters
    ----------
    world : World, optional
        The ranks; this process alone by default.
    split_batch : bool
        Divide the batch by the number of ranks, so that all of them together have what is written.
    watchdog : Watchdog, optional
        Who ends this rank if it makes no steps.
    """

    def __init__(
        self,
        world: World | None = None,
        *,
        split_batch: bool = False,
        watchdog: Watchdog | None = None,
    ) -> None:
        self.world = world or World()
        self.split_batch = split_batch
        self._watchdog = watchdog or Watchdog(self.world.rank)  # which may not be started
        self._told = 0.0
        self._reduction: Reduction | None = None

    @property
    def is_first(self) -> bool:
        """Whether this rank is the one that tests, displays and writes files."""
        return self.world.is_first

    @property
    def is_alone(self) -> bool:
        """Whether there is one rank."""
        return self.world.size == 1

    def random_numbers(self, seed: int) -> RandomNumbers:
        """Return a stream, the same on all ranks; rank 0 draws a seed that is negative."""
        return RandomNumbers(self.world.broadcast(RandomNumbers(seed).seed))

    def part(self, rng: RandomNumbers) -> None:
        """Let a stream differ from rank to rank from here on; that of rank 0 goes on as it was."""
        if not self.is_first:
            seed = (rng.seed + _APART * self.world.rank) & LARGEST
            rng.set_state(RandomNumbers(seed).get_state())
            rng.seed = seed

    def set_random_state(self, rng: RandomNumbers, states: Sequence[bytes]) -> None:
        """Go to a place that ranks were at; those that there were not, to one of their own.

        Warns if there were more of them, or less.
        """
        if self.is_first and len(states) != self.world.size:
            logger.warning(
                "The snapshot was taken by %d %s, and %d %s on: data goes on from the same record, "
                "but a step has %d batches instead of %d (--split-batch: parts of one batch), and "
                "crops, mirrors and dropout are drawn anew: it is not the same training any more",
                len(states),
                "ranks" if len(states) > 1 else "rank",
                self.world.size,
                "go" if self.world.size > 1 else "goes",
                self.world.size,
                len(states),
            )
        if self.world.rank < len(states):
            rng.set_state(states[self.world.rank])
            return
        rng.set_state(states[0])
        seed = (int(rng.raw(1)[0]) + _APART * self.world.rank) & LARGEST
        rng.set_state(RandomNumbers(seed).get_state())

    def share_out(self, net: caffe_pb2.NetParameter, state: caffe_pb2.NetState) -> None:
        """Divide the batches of a net, if that was asked for."""
        if self.split_batch and not self.is_alone:
            sharding.split_batches(net, state, self.world.size)

    def join(self, net: Net, passes: int) -> None:
        """Train this net together: with the weights of rank 0, each on its own records.

        Parameters
        ----------
        net : Net
            The training net.
        passes : int
            Forward and backward passes in an iteration: iter_size.
        """
        if self.is_alone:
            return
        sharding.shard(net, self.world)
        nccl = nccl_of(self.world, net.device)
        if nccl is not None:
            self._watchdog.before_leaving.append(nccl.abort)
        means = GpuMeans(nccl, net.device) if nccl else HostMeans(self.world, net.device)
        self._reduction = Reduction(net, self.world, means=means)
        self.share_weights(net)
        logger.info(sharding.sentence(self.world, net, passes, self.split_batch))

    def share_weights(self, net: Net) -> None:
        """Give all ranks the weights and statistics of rank 0."""
        if not self.is_alone:
            self._share([param.blob for param in net.learnable_params])
            net.weights_generation += 1

    def share_history(self, history: Sequence[Blob]) -> None:
        """Give all ranks what the update rule of rank 0 remembers."""
        if not self.is_alone:
            self._share(history)

    def _share(self, blobs: Sequence[Blob]) -> None:
        for blob in blobs:
            values = blob.host_data.copy()
            self.world.broadcast_array(values)
            if not self.is_first:
                blob.set_data(values)

    def any(self, flag: bool) -> bool:
        """Tell whether a flag is set on some rank."""
        with self._watchdog.waiting():
            return bool(self.world.largest(int(flag)))

    def gather(self, value: T) -> list[T]:
        """Return the values of all ranks, in their order."""
        with self._watchdog.waiting():
            return self.world.gather(value)

    def mean(self, value: float) -> float:
        """Return the mean of the ranks' values."""
        return sum(self.gather(value)) / self.world.size

    @contextlib.contextmanager
    def alone(self, *, patiently: bool = False) -> Iterator[bool]:
        """Let rank 0 work alone: true for it; for the others false, once it is done.

        Parameters
        ----------
        patiently : bool
            It will not call `still_alone`.
        """
        with self._watchdog.patiently() if patiently else contextlib.nullcontext():
            with self._watchdog.waiting():
                while not self.is_first and self.world.hear_first():
                    self._watchdog.feed()
            self._watchdog.feed()
            try:
                yield self.is_first
            finally:
                if self.is_first:
                    self.world.tell_others(False)

    def still_alone(self) -> None:
        """Tell that rank 0 goes on working alone, so that no watchdog bites."""
        self._watchdog.feed()
        now = time.monotonic()
        if now - self._told > self._watchdog.deadline / _REMINDERS:
            self._told = now
            self.world.tell_others(True)

    def begin_last_pass(self) -> None:
        """Say that the next backward pass is the last of the iteration."""
        if self._reduction is not None:
            self._reduction.arm()

    def reduce(self, loss: float, flag: bool) -> tuple[float, bool]:
        """Make all gradients the means of the ranks'.

        Parameters
        ----------
        loss : float
            Of this rank.
        flag : bool
            Something that one rank may want.

        Returns
        -------
        float, bool
            The mean loss, and whether some rank has set the flag.
        """
        if self._reduction is None:
            return loss, flag
        with self._watchdog.waiting():
            loss, share = self._reduction.finish(loss, float(flag))
        return loss, share > 0

    def check(self, net: Net, history: Sequence[Blob], iteration: int) -> None:
        """End an iteration: compare the ranks' weights, each 100 iterations.

        Raises
        ------
        SscaffeError
            On all ranks, if they differ.
        """
        if not self.is_alone and iteration % INTERVAL == 0:
            with self._watchdog.waiting():
                require_agreement(self.world, net, history, iteration)
        self._watchdog.step()


def warn_if_alone() -> None:
    """Warn where MPI started several processes, and each is about to train by itself."""
    if (count := started_with()) > 1:
        logger.warning(
            "MPI started %d processes, and this solver trains alone, as each of them does on the "
            "same records and files; to train together: Solver(..., team=Team(current())), from "
            "sscaffe.parallel.team and sscaffe.parallel.world",
            count,
        )
