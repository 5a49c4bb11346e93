"""Writing a net without the channels that go."""

from typing import Any

import numpy as np

from sscaffe.glog import logger
from sscaffe.proto import caffe_pb2
from sscaffe.squeeze.choose import Choice
from sscaffe.squeeze.graph import Array, Graph, Node
from sscaffe.squeeze.weights import Dense

Blobs = dict[str, list[Array]]


def rewrite(
    param: caffe_pb2.NetParameter, graph: Graph, choice: Choice
) -> tuple[caffe_pb2.NetParameter, Blobs]:
    """Return the net and its weights without the channels that go.

    What they held is added to the biases of those that read them.
    """
    small, blobs = caffe_pb2.NetParameter(), Blobs()
    small.CopyFrom(param)
    del small.layer[:]
    for node in graph.nodes:
        layer = small.layer.add()
        layer.CopyFrom(node.param)
        if node.kind != "twin":
            blobs[layer.name] = list(node.blobs)
        if node.kind == "dense":
            blobs[layer.name] = _dense(layer, node, choice)
        elif node.kind == "each" and node.blobs:
            blobs[layer.name] = _each(layer, node, choice.kept(node.tops[0]))
        elif node.kind == "cut":
            _cut(layer, node, choice)
        elif node.kind == "flatten" and layer.type == "Reshape":
            layer.reshape_param.shape.dim[1] = -1
    for node, layer in zip(graph.nodes, small.layer, strict=True):
        if node.kind == "twin":
            _follow_twin(layer, small)
    return small, {name: arrays for name, arrays in blobs.items() if arrays}


def _dense(layer: caffe_pb2.LayerParameter, node: Node, choice: Choice) -> list[Array]:
    dense, bottom = Dense(node), node.bottoms[0]
    outputs, inputs = choice.kept(node.tops[0]), choice.kept(bottom)
    if outputs.all() and inputs.all():
        return list(node.blobs)
    weights = node.blobs[0]
    extra = dense.sums(bottom)[:, ~inputs] @ np.nan_to_num(bottom.constant[~inputs])
    bias = (dense.bias() + extra)[outputs].astype(weights.dtype)
    if layer.type == "InnerProduct":
        columns = np.repeat(inputs, dense.columns(bottom))
        transposed = layer.inner_product_param.transpose
        weights = weights[columns][:, outputs] if transposed else weights[outputs][:, columns]
    else:
        weights = _grouped(weights, dense, outputs, inputs)
    product = layer.type == "InnerProduct"
    settings: Any = layer.inner_product_param if product else layer.convolution_param
    settings.num_output = int(outputs.sum())
    _drop_blocks(layer, weights)
    if len(node.blobs) > 1:
        return [weights, bias.reshape((*node.blobs[1].shape[:-1], -1))]
    if extra[outputs].any():
        settings.bias_term = True
        return [weights, bias]
    return [weights]


def _drop_blocks(layer: caffe_pb2.LayerParameter, weights: Array) -> None:
    """Leave out group lassos whose blocks do not tile the smaller matrix."""
    rows, columns = weights.shape[0], weights[0].size
    for spec in layer.param[:1]:
        fitting = [
            block
            for block in spec.block_group_lasso
            if block.group != caffe_pb2.BlockGroupLassoSpec.BLOCK
            or not (rows % max(block.ydimen, 1) or columns % max(block.xdimen, 1))
        ]
        if len(fitting) < len(spec.block_group_lasso):
            logger.warning(
                "%s: block_group_lasso no longer fits the %d x %d weights, and is left out",
                layer.name,
                rows,
                columns,
            )
            del spec.block_group_lasso[:]
            spec.block_group_lasso.extend(fitting)


def _follow_twin(layer: caffe_pb2.LayerParameter, small: caffe_pb2.NetParameter) -> None:
    """Give a layer for TRAIN the sizes of that of the same name in TEST, which has its weights."""
    for other in small.layer:
        if other.name == layer.name and other is not layer and other.type == layer.type:
            for name in ("convolution_param", "inner_product_param"):
                if other.HasField(name):
                    mine, theirs = getattr(layer, name), getattr(other, name)
                    for field in ("num_output", "group", "bias_term"):
                        if field in theirs.DESCRIPTOR.fields_by_name and theirs.HasField(field):
                            setattr(mine, field, getattr(theirs, field))


def _grouped(weights: Array, dense: Dense, outputs: Array, inputs: Array) -> Array:
    """Cut out of each conv group the filters and input channels that stay."""
    parts = []
    rows, columns = np.split(outputs, dense.group), np.split(inputs, dense.group)
    if dense.type == "Deconvolution":  # (inputs, outputs per group, ...)
        for part, row, column in zip(np.split(weights, dense.group), rows, columns, strict=True):
            parts.append(part[column][:, row])
    else:
        for part, row, column in zip(np.split(weights, dense.group), rows, columns, strict=True):
            parts.append(part[row][:, column])
    return np.concatenate(parts)


def _each(layer: caffe_pb2.LayerParameter, node: Node, kept: Array) -> list[Array]:
    if layer.type == "PReLU" and layer.prelu_param.channel_shared:
        return list(node.blobs)
    if layer.type in ("Convolution", "DepthwiseConvolution"):
        layer.convolution_param.num_output = int(kept.sum())
        if layer.type == "Convolution":
            layer.convolution_param.group = int(kept.sum())
    blobs = []
    for i, blob in enumerate(node.blobs):
        if layer.type == "BatchNorm" and i == 2:
            blobs.append(blob)
        else:
            axis = blob.shape.index(len(kept)) if len(kept) in blob.shape else 0
            blobs.append(np.compress(kept, blob, axis=axis))
    return blobs


def _cut(layer: caffe_pb2.LayerParameter, node: Node, choice: Choice) -> None:
    sizes = [int(top.width[choice.kept(top)].sum()) for top in node.tops]
    del layer.slice_param.slice_point[:]
    layer.slice_param.slice_point.extend(np.cumsum(sizes)[:-1].tolist())
