"""One update: what happens between the backward pass and the next forward pass."""

from collections.abc import Sequence
from typing import Any

from sscaffe.blob import Param
from sscaffe.device import cpu
from sscaffe.glog import logger
from sscaffe.kernels import UpdateOperator
from sscaffe.net import Net
from sscaffe.proto import caffe_pb2
from sscaffe.solver import display
from sscaffe.solver.param_update import ParamUpdate, make_update
from sscaffe.solver.proximal import ProximalUpdate, by_gradient, by_shrinking
from sscaffe.solver.regularizers import Ramp, Regularizer, regularizers_of
from sscaffe.solver.settings import (
    SMALL_WEIGHT,
    prune_threshold,
    warn_of_idle_decays,
)
from sscaffe.solver.updates import make_rule


class Updater:
    """Makes updates of gradients and applies them to the parameters of a net.

    Parameters
    ----------
    settings : SolverParameter
        What to do.
    net : Net
        The net in training.
    disconnects : bool
        Whether a connectivity_mode is in use.
    root : str
        The folder that a relative decay_proto starts from.

    Raises
    ------
    SscaffeError
        If a regularizer or the update rule cannot be had.
    """

    def __init__(
        self, settings: caffe_pb2.SolverParameter, net: Net, disconnects: bool, root: str
    ) -> None:
        self._settings, self._params = settings, net.learnable_params
        self.rule = make_rule(settings, self._params)
        self._ramp = Ramp()
        self.regularizers = [
            regularizers_of(param, settings, root, self._ramp) for param in self._params
        ]
        smooth = [by_gradient(settings, terms) for terms in self.regularizers]
        self.threshold = prune_threshold(settings, smooth, disconnects)
        learning = [param for param in self._params if param.learns]
        warn_of_idle_decays(settings, learning)
        display.log_start(self._params, self.regularizers, settings, self.threshold)
        device = self._params[0].blob.device if self._params else cpu()
        self._together = device.kernels.updates()
        self._updates = [self._make_update(index, terms) for index, terms in enumerate(smooth)]

    def _make_update(self, index: int, terms: Sequence[Regularizer]) -> ParamUpdate:
        lassos = by_shrinking(self._settings, self.regularizers[index])
        if lassos:
            return ProximalUpdate(index, self.rule, terms, self.threshold, lassos)
        return make_update(index, self.rule, terms, self.threshold)

    def freezing_threshold(self, is_factors: bool) -> float:
        """Return the magnitude below which connectivity_mode takes weights or factors for zero."""
        if is_factors and self._settings.prune_scope != caffe_pb2.SolverParameter.ALL:
            return 0.0  # Factors of Scale are small without being 0.
        return self.threshold if self._settings.HasField("prune_threshold") else SMALL_WEIGHT

    def apply(self, rate: float, iteration: int, want_value: bool = False) -> float:
        """Clip, normalize, regularize, make the updates, mask them, apply them, prune.

        Parameters
        ----------
        rate : float
            The learning rate, before lr_mult.
        iteration : int
            Iterations done.
        want_value : bool
            Work out the regularization terms, for the log.

        Returns
        -------
        float
            Their sum before the update; 0 if it is not wanted.
        """
        self._ramp.follow(iteration, self._settings.lasso_warmup_iter)
        limit = self._settings.clip_gradients
        clip = clip_factor(self._params, limit, want_value, self._together)
        total = 0.0
        for param, update in zip(self._params, self._updates, strict=True):
            try:
                total += update.begin(clip, rate, iteration, want_value)
            except MemoryError as error:
                error.add_note(f"  update: {param.name!r} {param.shape}")
                raise
        jobs = [update.job(rate, iteration) for update in self._updates]
        total += self._together.apply([job for job in jobs if job], clip, want_value)
        for update in self._updates:
            update.finish(rate)
        return total


def clip_factor(
    params: list[Param], limit: float, log: bool = False, updates: UpdateOperator | None = None
) -> Any:
    """Return the factor that makes the norm of all gradients, taken together, at most `limit`.

    Parameters
    ----------
    params : list of Param
        The parameters.
    limit : float
        Negative for none.
    log : bool
        Log it where gradients are too large.
    updates : UpdateOperator, optional
        What works it out.

    Returns
    -------
    number
        It may be an array () of the device.
    """
    if limit < 0 or not params:
        return 1.0
    if updates is None:
        updates = params[0].blob.device.kernels.updates()
    gradients = [param.blob.diff_tensor for param in params]
    factor, norm = updates.clip_factor(gradients, limit, log)
    if log and norm > limit:
        logger.info(
            "Gradient clipping: scaling down gradients (L2 norm %g > %g) by scale factor %g",
            norm,
            limit,
            limit / norm,
        )
    return factor
