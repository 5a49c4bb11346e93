"""target_sparsity and target_flops: training ends when the net is small enough."""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from sscaffe.blob import Array, Param
from sscaffe.errors import PrototxtError
from sscaffe.glog import logger
from sscaffe.net import Net
from sscaffe.proto import caffe_pb2
from sscaffe.solver.regularizers import Regularizer


@runtime_checkable
class Counted(Protocol):
    """A layer that knows its multiply-adds."""

    def macs(self) -> int:
        """Return those of a forward pass with dense weights."""

    def kept_macs(self) -> int:
        """Return those that are left without rows and columns of zeros."""


class Trainer(Protocol):
    """What a target needs of a solver."""

    iter: int

    def test_all(self) -> list[dict[str, Array]]:
        """Run each test net."""

    def request_stop(self) -> None:
        """End the training after this iteration."""


def zero_share(params: Sequence[Param]) -> float:
    """Return the share of the weights of some params that is exactly zero."""
    zeros = sum(int((param.host_data == 0).sum()) for param in params)
    return zeros / max(1, sum(param.blob.count for param in params))


def kept_flops(net: Net) -> float:
    """Return the share of a net's multiply-adds that is left without rows and columns of zeros.

    Each layer counts by itself: the channels that a filter of zeros would have fed count still.
    """
    counted = [layer for layer in net.layers if isinstance(layer, Counted)]
    dense = sum(layer.macs() for layer in counted)
    return sum(layer.kept_macs() for layer in counted) / dense if dense else 1.0


class Target:
    """Ends the training of the solver that calls it, once something is reached.

    Parameters
    ----------
    field : str
        The field that asks for it.
    wanted : float
        Its value.
    interval : int
        Iterations from one look to the next.
    look : callable
        Returns how it stands now.
    rises : bool
        Whether more is better.
    """

    def __init__(
        self, field: str, wanted: float, interval: int, look: Callable[[], float], *, rises: bool
    ) -> None:
        self._field, self._wanted, self._interval = field, wanted, interval
        self._look, self._rises = look, rises

    def __call__(self, solver: Trainer) -> None:
        """Look, where it is time to; test and stop if it is reached."""
        if solver.iter % self._interval:
            return
        now = self._look()
        if now < self._wanted if self._rises else now > self._wanted:
            return
        logger.info(
            "%s: %.4g of %.4g is reached at iteration %d; training ends",
            self._field,
            now,
            self._wanted,
            solver.iter,
        )
        solver.test_all()
        solver.request_stop()


def targets(
    settings: caffe_pb2.SolverParameter, net: Net, regularizers: Sequence[Sequence[Regularizer]]
) -> list[Target]:
    """Return what a solver asks for, to be called after each iteration.

    Parameters
    ----------
    settings : SolverParameter
        target_sparsity and target_flops.
    net : Net
        The net in training.
    regularizers : sequence
        The terms of each of its learnable params.

    Raises
    ------
    PrototxtError
        If nothing in the net could get there.
    """
    pairs = zip(net.learnable_params, regularizers, strict=True)
    sparse = [param for param, terms in pairs if any(term.sparsifies for term in terms)]
    wanted = [name for name in ("target_sparsity", "target_flops") if settings.HasField(name)]
    if wanted and not sparse:
        raise PrototxtError(
            f"{wanted[0]}: nothing makes weights zero, as the solver and the net have neither "
            "group lasso nor L1; set block_group_decay and block_group_lasso, or leave it out"
        )
    every, found = settings.target_interval, list[Target]()
    if "target_sparsity" in wanted:
        share, look = settings.target_sparsity, lambda: zero_share(sparse)
        found.append(Target("target_sparsity", share, every, look, rises=True))
    if "target_flops" in wanted:
        share, look = settings.target_flops, lambda: kept_flops(net)
        found.append(Target("target_flops", share, every, look, rises=False))
    return found
