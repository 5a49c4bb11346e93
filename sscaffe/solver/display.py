"""What the solver logs, in the words that the public parsers of Caffe's logs know."""

import time
from collections.abc import Mapping, Sequence

from sscaffe.blob import Array, Param
from sscaffe.glog import logger
from sscaffe.net import Net
from sscaffe.proto import caffe_pb2
from sscaffe.solver.regularizers import Regularizer, blocks_of
from sscaffe.sparsity import (
    is_structured,
    zero_blocks,
    zero_columns,
    zero_elements,
    zero_rows,
)

_MUCH = 10  # times the loss: what regularization hardly ever should be


def log_loss(iteration: int, loss: float) -> None:
    """Log the smoothed loss."""
    logger.info("Iteration %d, loss = %g", iteration, loss)


class Speed:
    """How fast the training is, from one display to the next."""

    def __init__(self) -> None:
        self._last: tuple[int, float] | None = None  # iteration and time of the last display

    def begin(self, iteration: int) -> None:
        """Start to count here, if that was not done before."""
        self._last = self._last or (iteration, time.monotonic())

    def forget(self) -> None:
        """Let the next `begin` start to count."""
        self._last = None

    def log(self, iteration: int) -> None:
        """Log the speed since the last time, on a line that no parser takes for a loss."""
        before, now = self._last, (iteration, time.monotonic())
        self._last = now
        if before and before[0] < now[0]:
            speed = (now[0] - before[0]) / max(now[1] - before[1], 1e-9)
            logger.info("    Speed: %.4g iter/s", speed)


def log_rate(iteration: int, rate: float) -> None:
    """Log the learning rate."""
    logger.info("Iteration %d, lr = %g", iteration, rate)


def log_outputs(net: Net, word: str, values: Mapping[str, Array]) -> None:
    """Log the outputs of a net, each value on a line.

    Parameters
    ----------
    net : Net
        The net.
    word : str
        ``Train`` or ``Test``.
    values : mapping
        The value of each output.
    """
    number = 0
    for name, array in values.items():
        weight = net.blob_loss_weights[name]
        for value in array.flat:
            loss = f" (* {weight:g} = {weight * value:g} loss)" if weight else ""
            logger.info("    %s net output #%d: %s = %g%s", word, number, name, value, loss)
            number += 1


def log_sparsity(params: Sequence[Param], threshold: float) -> None:
    """Log how sparse the weights are, a line for each blob of two or more axes.

    Others get one too where a group lasso or a mask acts on them, as on factors of Scale.

    Parameters
    ----------
    params : sequence of Param
        Statistics are left out.
    threshold : float
        Elements of smaller magnitude count as zero; rows, columns and blocks are exactly zero.
    """
    for param in params:
        if not param.learns or not (is_structured(param) or param.mask is not None):
            continue
        matrix = param.host_data.reshape(param.matrix_shape)
        blocks = "".join(
            f" block({xdimen},{ydimen}) {zero_blocks(matrix, ydimen, xdimen):.1f}%"
            for ydimen, xdimen in blocks_of(param)
        )
        logger.info(
            "    Sparsity %s: elem %.1f%% col %.1f%% row %.1f%%%s",
            param.name,
            zero_elements(matrix, threshold),
            zero_columns(matrix),
            zero_rows(matrix),
            blocks,
        )


def log_regularization(regularization: float, loss: float, iteration: int) -> None:
    """Log the terms that the regularizers add, and the whole loss.

    A first term that is much larger than the loss is warned of.
    """
    logger.info(
        "    Total regularization terms: %g loss+regular. : %g",
        regularization,
        regularization + loss,
    )
    if iteration == 0 and 0 < _MUCH * loss < regularization:
        logger.warning(
            "Total regularization terms are %.3g times the loss; if accuracy falls or the loss "
            "grows, choose smaller decays",
            regularization / loss,
        )


def log_start(
    params: Sequence[Param],
    regularizers: Sequence[Sequence[Regularizer]],
    settings: caffe_pb2.SolverParameter,
    threshold: float,
) -> None:
    """Log each term of each parameter, and what becomes of small weights."""
    for param, terms in zip(params, regularizers, strict=True):
        rows, columns = param.matrix_shape
        for term in terms:
            logger.info("%s (%d x %d): %s", param.name, rows, columns, term.describe(param))
    if settings.regularization_step == caffe_pb2.SolverParameter.PROXIMAL:
        logger.info(
            "regularization_step: PROXIMAL; after each update, groups whose norm is at most "
            "lr x lambda become 0 and the others shrink by that much"
        )
    if threshold:
        scope = caffe_pb2.SolverParameter.PruneScope.Name(settings.prune_scope)
        logger.info(
            "After each update, weights of magnitude less than %g become 0 (prune_scope: %s)",
            threshold,
            scope,
        )
