"""How sparse the weight matrices of a net or a file are, layer by layer."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from sscaffe import sparsity
from sscaffe.blob import Array, Param
from sscaffe.errors import SscaffeError
from sscaffe.glog import logger
from sscaffe.net import Net
from sscaffe.net.saved import read_saved
from sscaffe.proto import caffe_pb2
from sscaffe.solver.connectivity import mask_of

_Layer = caffe_pb2.LayerParameter


@dataclass(frozen=True)
class Weights:
    """A weight matrix by the name of its layer.

    Attributes
    ----------
    mode : int
        ``connectivity_mode`` of the layer.
    macs : int
        Multiply-adds of the layer with dense weights; 0 where they are not known.
    """

    param: Param
    mode: int
    macs: int = 0

    @property
    def is_matrix(self) -> bool:
        """Whether it is one, and not the factors of Scale as a single column."""
        return len(self.param.shape) > 1

    @property
    def matrix(self) -> Array:
        """The weights: a row for each filter or neuron."""
        return self.param.host_data.reshape(self.param.matrix_shape)


@dataclass(frozen=True)
class ZeroRow:
    """The zeros of a weight matrix. Shares are per cent; rows and columns are zero exactly."""

    layer: str
    rows: int
    columns: int
    nonzero: int
    element: float
    row: float
    column: float
    groups: list[dict[str, float]]  # row and column, for each conv group; none if there is one
    blocks: dict[str, float]  # by "ydimen x xdimen"
    kept: float  # what is left without zero rows and columns
    structured_speedup: float | None  # with zero rows and columns taken out; None if all is zero
    ideal_speedup: float | None  # with every zero taken out
    mode: str  # connectivity_mode of the layer
    frozen: float  # weights that this mode keeps at zero
    frozen_eltwise: float
    frozen_grpwise: float
    macs: int


def weights_of_net(net: Net) -> list[Weights]:
    """Return the weight matrices of a net; shared ones once.

    Factors of Scale are among them where SSL acted on them, or left zeros.
    """
    layers = dict(zip(net.layer_names, net.layers, strict=True))
    found = []
    for param in net.learnable_params:
        layer = layers[param.layer_name]
        if param.index or not param.learns or not _is_shown(param, layer.layer_param):
            continue
        macs = getattr(layer, "macs", None)
        mode = layer.layer_param.connectivity_mode
        found.append(Weights(param, mode, macs() if macs else 0))
    return found


def weights_of_file(path: str | os.PathLike[str]) -> list[Weights]:
    """Return the weight matrices of a caffemodel, with what it says of their groups.

    Raises
    ------
    WeightsError
        If the file cannot be read.
    """
    found = [(saved.weights, saved.param) for saved in read_saved(path).values()]
    return [
        Weights(param, layer.connectivity_mode)
        for param, layer in found
        if param is not None and _is_shown(param, layer)
    ]


def _is_shown(param: Param, layer: caffe_pb2.LayerParameter) -> bool:
    """Tell whether the first blob of a layer is a weight matrix, or factors that SSL may act on."""
    if sparsity.is_structured(param):
        return True
    is_scale = layer.type == "Scale" and len(layer.bottom) < 2
    return is_scale and (bool(layer.connectivity_mode) or not param.host_data.all())


def zero_table(
    weights: Iterable[Weights], threshold: float = sparsity.ELEMENT_THRESHOLD
) -> list[ZeroRow]:
    """Return the zeros of weight matrices.

    Parameters
    ----------
    weights : iterable of Weights
        The matrices.
    threshold : float
        Magnitude below which an element counts as zero.
    """
    return [_row(one, threshold) for one in weights]


def _row(one: Weights, threshold: float) -> ZeroRow:
    matrix, group = one.matrix, one.param.group
    height, width = matrix.shape
    parts = sparsity.split_groups(matrix, group)
    kept = sparsity.kept_size(matrix, group)
    nonzero = int(np.count_nonzero(matrix))
    frozen = {mode: 100 * float(1 - mask_of(matrix, mode, group).mean()) for mode in range(3)}
    return ZeroRow(
        layer=one.param.layer_name,
        rows=height,
        columns=width,
        nonzero=nonzero,
        **sparsity.percentages(matrix, threshold),
        groups=[{"row": sparsity.zero_rows(p), "column": sparsity.zero_columns(p)} for p in parts]
        if group > 1
        else [],
        blocks=dict(_blocks(one.param, matrix)),
        kept=100 * kept / matrix.size,
        structured_speedup=matrix.size / kept if kept else None,
        ideal_speedup=matrix.size / nonzero if nonzero else None,
        mode=_Layer.ConnectivityMode.Name(one.mode),
        frozen=frozen[one.mode],
        frozen_eltwise=frozen[_Layer.DISCONNECTED_ELTWISE],
        frozen_grpwise=frozen[_Layer.DISCONNECTED_GRPWISE],
        macs=one.macs,
    )


def _blocks(param: Param, matrix: Array) -> Iterator[tuple[str, float]]:
    for spec in param.spec.block_group_lasso:
        try:
            ydimen, xdimen = sparsity.block_size(param, spec)
        except SscaffeError as error:  # the file does not tell all that the net does
            logger.warning("%s: its blocks are not counted: %s", param.layer_name, error)
            continue
        yield f"{ydimen} x {xdimen}", sparsity.zero_blocks(matrix, ydimen, xdimen)
