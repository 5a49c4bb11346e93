"""Which small weights become zero after an update."""

from collections.abc import Sequence

from sscaffe.blob import Param
from sscaffe.proto import caffe_pb2
from sscaffe.solver.regularizers import L2, Term

SPARSE_THRESHOLD = 1e-4  # of scnn, which applies it always


def threshold_of(
    param: caffe_pb2.SolverParameter, terms: Sequence[Sequence[Term]], disconnects: bool
) -> float:
    """Return the magnitude below which weights become zero.

    What prune_threshold says; where it is not set, 1e-4 if anything makes weights sparse (a group
    lasso, L1, a connectivity mode), else 0, so that plain training stays as Caffe's.
    """
    if param.HasField("prune_threshold"):
        return float(param.prune_threshold)
    sparse = any(not isinstance(term, L2) for own in terms for term in own)
    return SPARSE_THRESHOLD if sparse or disconnects else 0.0


def is_pruned(param: Param, scope: int) -> bool:
    """Tell whether prune_scope has the threshold apply to a parameter."""
    if scope == caffe_pb2.SolverParameter.ALL:
        return True
    return param.blob.ndim >= 2 and param.lr_mult > 0 and param.learns
