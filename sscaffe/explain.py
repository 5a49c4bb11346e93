"""What the groups of a net's group lasso are, and which sizes would do."""

from collections.abc import Sequence
from dataclasses import dataclass

from sscaffe.blob import Param
from sscaffe.net import Net
from sscaffe.proto import caffe_pb2
from sscaffe.sparsity import block_size, is_structured
from sscaffe.ssl.groups import meaning

_Spec = caffe_pb2.BlockGroupLassoSpec


@dataclass(frozen=True)
class Group:
    """The groups that one ``block_group_lasso`` makes."""

    kind: str  # as written: filter, ..., or block where it has sizes only
    is_a: str  # what a group really is
    ydimen: int  # rows of a group
    xdimen: int  # columns of a group
    count: int
    strength: float  # block_decay_mult
    note: str  # what to mind, if anything


@dataclass(frozen=True)
class Explanation:
    """A weight matrix and its groups."""

    layer: str
    type: str
    rows: int
    columns: int
    conv_groups: int
    kernel_count: int  # columns of one input channel
    ydimens: list[int]  # the sizes that tile it
    xdimens: list[int]
    groups: list[Group]


def explain(net: Net) -> list[Explanation]:
    """Return the weight matrices of a net with their groups, and factors of Scale that have some.

    Raises
    ------
    SscaffeError
        If blocks do not tile a matrix; the sentence has the sizes that would.
    """
    types = {layer.name: layer.type for layer in net.layers}
    params = [p for p in net.learnable_params if p.learns and not p.index and is_structured(p)]
    return [_explain(param, types[param.layer_name]) for param in params]


def _explain(param: Param, kind: str) -> Explanation:
    rows, columns = param.matrix_shape
    return Explanation(
        layer=param.layer_name,
        type=kind,
        rows=rows,
        columns=columns,
        conv_groups=param.group,
        kernel_count=param.kernel_count,
        ydimens=_divisors(rows),
        xdimens=_divisors(columns),
        groups=[_group(param, spec) for spec in param.spec.block_group_lasso],
    )


def _group(param: Param, spec: caffe_pb2.BlockGroupLassoSpec) -> Group:
    ydimen, xdimen = block_size(param, spec)
    rows, columns = param.matrix_shape
    named = _Spec.GroupKind.Name(spec.group).lower()
    real = _kind_of(param, ydimen, xdimen)
    height = rows // param.group
    note = ""
    if named == "block" and real in ("block", "shape") and ydimen == height:
        kernel = param.kernel_count
        note = f"not a channel: that is xdimen {kernel}" if kernel not in (1, xdimen) else ""
    count = rows // ydimen * (columns // xdimen)
    return Group(
        named,
        meaning(param, real, ydimen),
        ydimen,
        xdimen,
        count,
        float(spec.block_decay_mult),
        note,
    )


def _kind_of(param: Param, ydimen: int, xdimen: int) -> str:
    rows, columns = param.matrix_shape
    height, kernel = rows // param.group, param.kernel_count
    kinds = {
        (rows, columns): "depth",
        (height, kernel): "channel",
        (1, kernel): "filter2d",
        (height, 1): "shape",
        (1, columns): "filter",
    }
    return kinds.get((ydimen, xdimen), "block")


def _divisors(length: int) -> list[int]:
    return [size for size in range(1, length + 1) if length % size == 0]


def as_list(sizes: Sequence[int], most: int = 10) -> str:
    """Return sizes as text, those in the middle left out where there are many."""
    words = [str(size) for size in sizes]
    if len(words) > most:
        words = [*words[: most - 3], "..", *words[-2:]]
    return " ".join(words)
