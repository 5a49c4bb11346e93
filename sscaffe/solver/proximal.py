"""regularization_step: PROXIMAL. Group lassos shrink the weights after each update."""

from collections.abc import Sequence
from typing import Any

from sscaffe.errors import PrototxtError
from sscaffe.kernels import UpdateJob
from sscaffe.proto import caffe_pb2
from sscaffe.solver.param_update import ParamUpdate, make_update
from sscaffe.solver.regularizers import GroupLasso, Regularizer
from sscaffe.solver.updates import UpdateRule

_Settings = caffe_pb2.SolverParameter


def by_gradient(settings: _Settings, terms: Sequence[Regularizer]) -> list[Regularizer]:
    """Return the terms whose gradients are added to that of the loss."""
    if settings.regularization_step == _Settings.SUBGRADIENT:
        return list(terms)
    return [term for term in terms if not isinstance(term, GroupLasso)]


def by_shrinking(settings: _Settings, terms: Sequence[Regularizer]) -> list[GroupLasso]:
    """Return the other terms, small blocks first, which is exact where blocks are nested.

    Raises
    ------
    PrototxtError
        If the decay of one is negative.
    """
    if settings.regularization_step == _Settings.SUBGRADIENT:
        return []
    lassos = [term for term in terms if isinstance(term, GroupLasso)]
    for lasso in lassos:
        if lasso.decay < 0:
            raise PrototxtError(
                f"regularization_step: PROXIMAL can only shrink, got lambda {lasso.decay:g} for "
                f"group lasso by {lasso.kind}; use 0 or more, or SUBGRADIENT"
            )
    return sorted(lassos, key=lambda lasso: lasso.ydimen * lasso.xdimen)


class ProximalUpdate(ParamUpdate):
    """An update, and the proximal steps of group lassos after it.

    Parameters
    ----------
    index, rule, terms, threshold
        As for `ParamUpdate`; `terms` are those of the gradient.
    lassos : sequence of GroupLasso
        The others, in the order in which they are applied.

    References
    ----------
    Parikh and Boyd, "Proximal Algorithms", 2014. The comments of `regularization_step` in
    caffe.proto say what that means with momentum and with groups that overlap.
    """

    def __init__(
        self,
        index: int,
        rule: UpdateRule,
        terms: Sequence[Regularizer],
        threshold: float,
        lassos: Sequence[GroupLasso],
    ) -> None:
        super().__init__(index, rule, terms, threshold)
        # Without pruning, which comes last.
        self._update = make_update(index, rule, terms, 0.0)
        self._lassos = lassos

    def begin(self, clip: Any, rate: float, iteration: int, want_value: bool) -> float:
        """See `ParamUpdate.begin`."""
        param = self._param
        total = sum(lasso.value(param) for lasso in self._lassos) if want_value else 0.0
        # Blocks are of the row-major matrix: what is plain now, the update leaves plain.
        param.mutable_data  # noqa: B018 (asking makes them plain)
        return total + self._update.begin(clip, rate, iteration, want_value)

    def job(self, rate: float, iteration: int) -> UpdateJob | None:
        """See `ParamUpdate.job`."""
        return self._update.job(rate, iteration)

    def finish(self, rate: float) -> None:
        """See `ParamUpdate.finish`."""
        self._update.finish(rate)
        param, blob = self._param, self._param.blob
        kernels = blob.device.kernels
        reach, share = self._rule.shrinkage()
        for lasso in self._lassos:
            if limit := lasso.strength * reach * rate * param.lr_mult:
                history = self._rule.history_of(self._index)[0].mutable_data if share else None
                kernels.shrink_groups(
                    param.mutable_data.reshape(param.matrix_shape),
                    None if history is None else history.reshape(param.matrix_shape),
                    (lasso.ydimen, lasso.xdimen),
                    limit,
                    share,
                )
        if limit := self._limit():
            kernels.threshold(blob.data_tensor, limit)
