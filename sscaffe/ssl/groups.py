"""What the groups of a net are: how many, of what size, of which layer."""

from dataclasses import dataclass

from sscaffe.blob import Param
from sscaffe.layer import TRAIN
from sscaffe.net import Net
from sscaffe.proto import caffe_pb2
from sscaffe.sparsity import block_size
from sscaffe.timing import stand_in_for_missing_data
from sscaffe.timing.inputs import ImageShape

_Spec = caffe_pb2.BlockGroupLassoSpec

MEANING = {
    "block": "a block of the weight matrix",
    "filter": "a filter: what makes one output channel, a row",
    "channel": "what all filters of a conv group read of one input channel",
    "shape": "one place in all filters of a conv group, a column",
    "depth": "the whole layer",
    "filter2d": "what one filter reads of one input channel",
}

# Of a blob of one axis, as Scale has it.
_OF_FACTORS = {
    "block": "a part of the layer's factors",
    "filter": "a factor: that of one channel",
    "depth": "all factors of the layer",
}


def meaning(param: Param, kind: str, ydimen: int) -> str:
    """Say what a group is.

    Parameters
    ----------
    param : Param
        What it is a group of.
    kind : str
        One of `MEANING`.
    ydimen : int
        Its rows.
    """
    if len(param.shape) != 1:
        return MEANING[kind]
    rows = param.shape[0]
    return _OF_FACTORS["depth" if ydimen == rows else "filter" if ydimen == 1 else "block"]


@dataclass(frozen=True)
class GroupRow:
    """The groups of one kind in one layer."""

    layer: str
    rows: int  # of the weight matrix
    columns: int
    kind: str
    count: int
    ydimen: int  # rows of a group
    xdimen: int
    meaning: str


def describe_groups(
    net: caffe_pb2.NetParameter, image_shape: ImageShape | None = None
) -> list[GroupRow]:
    """Return the groups that a training net names.

    Parameters
    ----------
    net : NetParameter
        The net.
    image_shape : (int, int, int), optional
        Channels, height and width of images whose database is not here, where the net does not
        tell.

    Raises
    ------
    SscaffeError
        If the net cannot be built, or blocks do not tile a matrix.
    """
    state = caffe_pb2.NetState()
    state.CopyFrom(net.state)
    state.phase = caffe_pb2.TRAIN
    found: list[GroupRow] = []
    with Net(stand_in_for_missing_data(net, image_shape, state=state), TRAIN) as built:
        for param in built.learnable_params:
            rows, columns = param.matrix_shape
            for spec in param.spec.block_group_lasso:
                ydimen, xdimen = block_size(param, spec)
                kind = _Spec.GroupKind.Name(spec.group).lower()
                count = rows // ydimen * (columns // xdimen)
                size = (kind, count, ydimen, xdimen, meaning(param, kind, ydimen))
                found.append(GroupRow(param.layer_name, rows, columns, *size))
    return found
