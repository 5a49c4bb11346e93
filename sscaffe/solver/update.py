"""One update: what happens between the backward pass and the next forward pass."""

import math

from sscaffe.blob import Param
from sscaffe.log import logger
from sscaffe.net import Net
from sscaffe.proto import caffe_pb2
from sscaffe.solver import display
from sscaffe.solver.regularizers import regularizers_of
from sscaffe.solver.settings import (
    SMALL_WEIGHT,
    is_pruned,
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
        self.regularizers = [regularizers_of(param, settings, root) for param in self._params]
        self.threshold = prune_threshold(settings, self.regularizers, disconnects)
        learning = [param for param in self._params if param.learns]
        warn_of_idle_decays(settings, learning)
        display.log_start(self._params, self.regularizers, settings, self.threshold)

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
        clip_gradients(self._params, self._settings.clip_gradients, want_value)
        total = 0.0
        for index, param in enumerate(self._params):
            if param.learns:
                normalize(param, self._settings.iter_size)
                for term in self.regularizers[index]:
                    total += term.apply(param, want_value)
                self.rule.compute(index, rate * param.lr_mult, iteration)
                subtract(param)
            if self.threshold and is_pruned(self._settings, param):
                param.blob.device.kernels.threshold(param.blob.data_tensor, self.threshold)
        return total


def clip_gradients(params: list[Param], limit: float, log: bool = False) -> None:
    """Scale all gradients down so that their norm, taken together, is at most `limit`.

    Parameters
    ----------
    params : list of Param
        The parameters.
    limit : float
        Negative for none.
    log : bool
        Log it where they are.
    """
    if limit < 0:
        return
    kernels = [param.blob.device.kernels for param in params]
    pairs = list(zip(kernels, (param.blob.diff_tensor for param in params), strict=True))
    norm = math.sqrt(sum(kernel.sum_of_squares(diff) for kernel, diff in pairs))
    if norm <= limit:
        return
    factor = limit / norm
    if log:
        logger.info(
            "Gradient clipping: scaling down gradients (L2 norm %g > %g) by scale factor %g",
            norm,
            limit,
            factor,
        )
    for kernel, diff in pairs:
        kernel.scale(diff, factor)


def normalize(param: Param, iter_size: int) -> None:
    """Divide a gradient that was summed over batches by their number."""
    if iter_size > 1:
        param.blob.device.kernels.scale(param.blob.diff_tensor, 1 / iter_size)


def subtract(param: Param) -> None:
    """Subtract the update in a parameter's diff from its data, but where it is disconnected."""
    blob = param.blob
    if param.mask is not None:
        diff = param.diff
        param.xp.multiply(diff, param.mask, out=diff)
    blob.device.kernels.add(blob.data_tensor, blob.diff_tensor, -1.0)
