"""What a net costs, layer by layer: parameters, multiply-adds and memory, dense and sparse."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sscaffe import sparsity
from sscaffe.blob import Blob, Param
from sscaffe.layer import Layer
from sscaffe.net import Net


@dataclass(frozen=True)
class LayerSummary:
    """What a layer costs.

    Kept is what is left without the zero rows and columns of the layer's own weight matrix;
    nonzero, without any zero. Multiply-adds are those of a forward pass of the whole batch; memory
    is in bytes.

    Attributes
    ----------
    shares : str
        The layer whose parameters it uses; they count there.
    activations : int
        Of the tops, without those that the layer writes in place or only passes on.
    """

    name: str
    type: str
    tops: dict[str, tuple[int, ...]]
    blobs: list[tuple[int, ...]]
    shares: str
    params: int
    kept_params: int
    nonzero_params: int
    macs: int
    kept_macs: int
    nonzero_macs: int
    activations: int
    weights: int
    kept_weights: int
    kept_rows: int | None  # of the weight matrix; None without one
    kept_columns: int | None  # those that any conv group needs


def summarize(net: Net) -> list[LayerSummary]:
    """Return what each layer of a net costs."""
    owners = {id(param.blob.data_tensor): param for param in reversed(net.all_params)}
    params: dict[str, list[Param]] = {}
    for param in net.all_params:
        params.setdefault(param.layer_name, []).append(param)
    seen: set[int] = set()
    rows = []
    for number, layer in enumerate(net.layers):
        names = [net.blob_names[i] for i in net.top_ids[number]]
        fresh = list(_fresh(net.tops[number], net.bottoms[number], seen))
        rows.append(_summary(layer, names, net.tops[number], fresh, params, owners))
    return rows


def _fresh(tops: list[Blob], bottoms: list[Blob], seen: set[int]) -> Iterator[Blob]:
    """Return the tops whose memory no blob before has."""
    for blob in tops:
        if id(blob.data_tensor) not in seen and all(blob is not bottom for bottom in bottoms):
            seen.add(id(blob.data_tensor))
            yield blob


def _summary(
    layer: Layer,
    names: list[str],
    tops: list[Blob],
    fresh: list[Blob],
    params: dict[str, list[Param]],
    owners: dict[int, Param],
) -> LayerSummary:
    own = [p for p in params.get(layer.name, []) if owners[id(p.blob.data_tensor)] is p]
    others = [p for p in params.get(layer.name, []) if owners[id(p.blob.data_tensor)] is not p]
    count = sum(p.blob.count for p in own)
    nonzero = sum(int(np.count_nonzero(p.host_data)) for p in own)
    kept, rows, columns = count, None, None
    matrix_param = next((p for p in params.get(layer.name, []) if _has_matrix(p)), None)
    macs = int(getattr(layer, "macs", int)())
    kept_macs, nonzero_macs = int(getattr(layer, "kept_macs", lambda: macs)()), macs
    if matrix_param is not None:
        matrix = matrix_param.host_data.reshape(matrix_param.matrix_shape)
        rows, columns = int(matrix.any(axis=1).sum()), int(matrix.any(axis=0).sum())
        if matrix_param in own:
            kept -= matrix.size - sparsity.kept_size(matrix, matrix_param.group)
        nonzero_macs = macs * int(np.count_nonzero(matrix)) // max(1, matrix.size)
    width = layer.dtype.itemsize
    return LayerSummary(
        name=layer.name,
        type=layer.type,
        tops={name: tuple(top.shape) for name, top in zip(names, tops, strict=True)},
        blobs=[tuple(blob.shape) for blob in layer.blobs],
        shares=owners[id(others[0].blob.data_tensor)].layer_name if others else "",
        params=count,
        kept_params=kept,
        nonzero_params=nonzero,
        macs=macs,
        kept_macs=kept_macs,
        nonzero_macs=nonzero_macs,
        activations=sum(blob.count for blob in fresh) * width,
        weights=count * width,
        kept_weights=kept * width,
        kept_rows=rows,
        kept_columns=columns,
    )


def _has_matrix(param: Param) -> bool:
    return param.index == 0 and len(param.shape) > 1 and param.learns and param.blob.count > 0
