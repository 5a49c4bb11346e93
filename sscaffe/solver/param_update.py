"""What an update does to one parameter: in one pass, or in one pass for each operation."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from sscaffe.blob import Array, Param
from sscaffe.kernels import PackedMask, UpdateJob, UpdateStep
from sscaffe.solver.regularizers import L1, L2, GroupLasso, Regularizer
from sscaffe.solver.settings import is_pruned
from sscaffe.solver.updates import UpdateRule


class ParamUpdate(ABC):
    """Normalize, regularize, make the update, mask it, apply it, prune.

    Parameters
    ----------
    index : int
        Which parameter of the rule.
    rule : UpdateRule
        What makes the update of the gradient.
    terms : sequence of Regularizer
        What is added to the gradient.
    threshold : float
        Smaller weights become 0, if those of this parameter are pruned; 0 for none.
    """

    _mask: Array | None = None
    _packed: PackedMask | None = None

    def __init__(
        self,
        index: int,
        rule: UpdateRule,
        terms: Sequence[Regularizer],
        threshold: float,
    ) -> None:
        self._param: Param = rule.params[index]
        self._index, self._rule, self._terms = index, rule, terms
        self._mean, self._threshold = 1 / rule.settings.iter_size, threshold

    def _limit(self) -> float:
        """Return the magnitude below which weights become 0."""
        pruned = self._threshold and is_pruned(self._rule.settings, self._param)
        return self._threshold if pruned else 0.0

    def apply(self, clip: Any, rate: float, iteration: int, want_value: bool) -> float:
        """Do it for this parameter alone; see `begin` for the arguments and what is returned."""
        total = self.begin(clip, rate, iteration, want_value)
        if job := self.job(rate, iteration):
            updates = self._param.blob.device.kernels.updates()
            total += updates.apply([job], clip, want_value)
        self.finish(rate)
        return total

    @abstractmethod
    def begin(self, clip: Any, rate: float, iteration: int, want_value: bool) -> float:
        """Do what comes before `job`: all of it where there is no job.

        Parameters
        ----------
        clip : number
            The factor that clips the gradients of the net; may be an array () of the device.
        rate : float
            The learning rate, before lr_mult.
        iteration : int
            Iterations done.
        want_value : bool
            Work out the regularization terms.

        Returns
        -------
        float
            The sum, before the update, of those that are not the job's; anything if not wanted.
        """

    def job(self, rate: float, iteration: int) -> UpdateJob | None:
        """Return what the device is to do along with the jobs of other parameters."""
        return None

    def finish(self, rate: float) -> None:  # noqa: B027 (most have nothing to do)
        """Do what comes after `job`."""

    def _packed_mask(self) -> PackedMask | None:
        mask = self._param.mask
        if mask is not self._mask:
            self._mask, self._packed = mask, None
            if mask is not None:
                mask.flags.writeable = False  # What is written to it later would not be seen.
                self._packed = self._param.blob.device.kernels.packed_mask(mask)
        return self._packed


class FusedUpdate(ParamUpdate):
    """One pass over memory, for a rule that the device's kernels know."""

    _last: UpdateStep | None = None
    _made_for = (0.0, 0.0, 0)

    def __init__(
        self,
        index: int,
        rule: UpdateRule,
        terms: Sequence[Regularizer],
        threshold: float,
    ) -> None:
        super().__init__(index, rule, terms, threshold)
        self._history = rule.history_of(index)
        self._decays = [term for term in terms if isinstance(term, L1 | L2)]
        self._lassos = [term for term in terms if isinstance(term, GroupLasso)]
        self._l2 = sum(term.decay for term in self._decays if isinstance(term, L2))
        self._l1 = sum(term.decay for term in self._decays if isinstance(term, L1))

    @staticmethod
    def fits(param: Param, rule: UpdateRule, terms: Sequence[Regularizer]) -> bool:
        """Tell whether one pass can do what is to be done."""
        plain = all(isinstance(term, GroupLasso) or _is_plain(term) for term in terms)
        return plain and param.blob.dtype == np.float32 and rule.step(0, 0) is not None

    def begin(self, clip: Any, rate: float, iteration: int, want_value: bool) -> float:
        """See `ParamUpdate.begin`."""
        return sum(term.value(self._param) for term in self._decays) if want_value else 0.0

    def job(self, rate: float, iteration: int) -> UpdateJob:
        """See `ParamUpdate.job`."""
        param = self._param
        return UpdateJob(
            self._step(rate * param.lr_mult, iteration),
            param.blob,
            self._history,
            self._packed_mask(),
            [lasso.blocks() for lasso in self._lassos],
            param.name,
        )

    def finish(self, rate: float) -> None:
        """See `ParamUpdate.finish`."""
        self._param.blob.publish()

    def _step(self, rate: float, iteration: int) -> UpdateStep:
        key = rate, self._limit(), iteration if self._rule.counts_iterations else 0
        if self._last is None or key != self._made_for:
            step = self._rule.step(rate, iteration)
            assert step is not None
            self._made_for = key
            self._last = step._replace(mean=self._mean, l2=self._l2, l1=self._l1, limit=key[1])
        return self._last


class SeparateUpdate(ParamUpdate):
    """One pass for each operation, over arrays; statistics take part in clipping and pruning."""

    def begin(self, clip: Any, rate: float, iteration: int, want_value: bool) -> float:
        """See `ParamUpdate.begin`."""
        param, blob, total = self._param, self._param.blob, 0.0
        kernels = blob.device.kernels
        self._clip(clip)
        if param.learns:
            if self._mean != 1:
                kernels.scale(blob.diff_tensor, self._mean)
            for term in self._terms:
                total += term.apply(param, want_value)
            self._rule.compute(self._index, rate * param.lr_mult, iteration)
            self._subtract()
        if limit := self._limit():
            kernels.threshold(blob.data_tensor, limit)
        return total

    def _clip(self, factor: Any) -> None:
        blob = self._param.blob
        if not isinstance(factor, float | int):
            diff = self._param.mutable_diff
            diff *= factor
        elif factor != 1:
            blob.device.kernels.scale(blob.diff_tensor, factor)

    def _subtract(self) -> None:
        param, blob = self._param, self._param.blob
        mask = self._packed_mask()
        if mask is not None:
            mask.apply(param.mutable_diff)
        blob.device.kernels.add(blob.data_tensor, blob.diff_tensor, -1.0)


def make_update(
    index: int,
    rule: UpdateRule,
    terms: Sequence[Regularizer],
    threshold: float,
) -> ParamUpdate:
    """Return the best way to update a parameter; see `ParamUpdate` for the arguments."""
    param = rule.params[index]
    fused = param.learns and FusedUpdate.fits(param, rule, terms)
    return (FusedUpdate if fused else SeparateUpdate)(index, rule, terms, threshold)


def _is_plain(term: Regularizer) -> bool:
    return isinstance(term, L1 | L2) and term.scale is None
