"""The lambda at which group lasso weighs as much as the loss of the data."""

from collections.abc import Sequence
from typing import NamedTuple

from sscaffe.errors import PrototxtError
from sscaffe.glog import logger
from sscaffe.layer import TRAIN
from sscaffe.net import Net
from sscaffe.proto import caffe_pb2
from sscaffe.solver.regularizers import GroupLasso, regularizers_of

_Settings = caffe_pb2.SolverParameter


class Balance(NamedTuple):
    """What was measured."""

    loss: float  # of the data, the mean over the batches
    term: float  # of group lasso, where lambda is 1
    strength: float  # the lambda at which the term equals the loss
    batches: int


def balance(
    net: caffe_pb2.NetParameter, weights: Sequence[str], batches: int, source: str = ""
) -> Balance:
    """Measure it.

    Parameters
    ----------
    net : NetParameter
        The net of SSL; it reads its training data.
    weights : sequence of str
        Caffemodels to start from.
    batches : int
        How many to take the mean loss of.
    source : str
        The file that the net came from, for errors.

    Raises
    ------
    SscaffeError
        If the net cannot run, has no loss, or has no groups with weights that are not 0; or
        `batches` is not positive.
    """
    if batches < 1:
        raise PrototxtError(f"batches: expected 1 or more, got {batches}")
    ones = _Settings(block_group_decay=1)
    with Net(net, TRAIN, weights=list(weights), source=source) as built:
        loss = sum(built.run_forward() for _ in range(batches)) / batches
        term = sum(
            lasso.value(param)
            for param in built.learnable_params
            for lasso in regularizers_of(param, ones)
            if isinstance(lasso, GroupLasso)
        )
    if not loss > 0 or not term > 0:
        raise PrototxtError(
            f"lambda: auto needs a loss and weights that are not 0, got a loss of {loss:g} and "
            f"norms of {term:g} in all; give a number"
        )
    logger.info("loss of %d batches %g, sum of the norms of all groups %g", batches, loss, term)
    return Balance(loss, term, loss / term, batches)
