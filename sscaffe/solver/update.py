"""One update: what happens between the backward pass and the next forward pass."""

import math
from collections.abc import Sequence

from sscaffe.blob import Param
from sscaffe.glog import logger
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
        self._updates = [self._make_update(index, terms) for index, terms in enumerate(smooth)]

    def _make_update(self, index: int, terms: Sequence[Regularizer]) -> ParamUpdate:
        lassos = by_shrinking(self._settings, self.regularizers[index])
        if lassos:
            return ProximalUpdate(index, self.rule, terms, self.threshold, lassos)
        return make_update(index, self.rule, terms, self.threshold)

    @property
    def freezing_threshold(self) -> float:
        """The magnitude below which connectivity_mode takes weights for zero."""
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
        clip = clip_factor(self._params, self._settings.clip_gradients, want_value)
        total = 0.0
        for param, update in zip(self._params, self._updates, strict=True):
            try:
                total += update.apply(clip, rate, iteration, want_value)
            except MemoryError as error:
                error.add_note(f"  update: {param.name!r} {param.shape}")
                raise
        return total


def clip_factor(params: list[Param], limit: float, log: bool = False) -> float:
    """Return the factor that makes the norm of all gradients, taken together, at most `limit`.

    Parameters
    ----------
    params : list of Param
        The parameters.
    limit : float
        Negative for none.
    log : bool
        Log it where gradients are too large.
    """
    if limit < 0:
        return 1.0
    blobs = [param.blob for param in params]
    squares = [blob.device.kernels.sum_of_squares(blob.diff_tensor) for blob in blobs]
    norm = math.sqrt(sum(squares))
    if norm <= limit:
        return 1.0
    factor = limit / norm
    if log:
        logger.info(
            "Gradient clipping: scaling down gradients (L2 norm %g > %g) by scale factor %g",
            norm,
            limit,
            factor,
        )
    return factor
