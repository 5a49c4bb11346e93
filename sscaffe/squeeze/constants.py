"""What layers make of channels that are the same everywhere, for any input, in TEST."""

import numpy as np

from sscaffe.blob import Blob
from sscaffe.layer import TEST
from sscaffe.layer_types import create_layer
from sscaffe.squeeze.graph import Array, Node, Value
from sscaffe.squeeze.weights import Dense


def of_dense(node: Node, bottom: Value) -> Array:
    """Return what each filter of a convolution, deconvolution or inner product emits; NaN: varies.

    A filter emits a constant if what it reads with weights that are not zero is constant, and does
    not meet the zeros of a padded border, unless it is zero itself.
    """
    dense = Dense(node)
    sums, active = dense.sums(bottom), dense.active(bottom)
    constant = bottom.constant
    varies = np.isnan(constant) if dense.is_uniform else ~(constant == 0)
    emits = dense.bias() + sums @ np.where(varies, 0, np.nan_to_num(constant))
    return np.where((active & varies).any(1), np.nan, emits)


def of_each(node: Node, bottom: Value) -> Array:
    """Return what a layer that treats each channel by itself makes of constants."""
    kind, constant = node.param.type, bottom.constant
    if kind == "BatchNorm":
        return _batch_norm(node, constant)
    if kind == "Scale":
        return _affine(node.blobs[0].reshape(-1), _second(node), constant)
    if kind == "Bias":
        return constant + node.blobs[0].reshape(-1)
    if kind == "PReLU":
        slope = np.broadcast_to(node.blobs[0].reshape(-1), constant.shape)
        return np.where(constant > 0, constant, slope * constant)
    if kind == "Pooling":
        return constant if _pools_evenly(node) else _zeros_only(constant)
    if kind in ("LRN", "MVN"):
        return _zeros_only(constant)
    if kind in ("Convolution", "DepthwiseConvolution"):  # depthwise
        return _depthwise(node, constant)
    return _elementwise(node, constant)


def of_sum(node: Node) -> Array:
    """Return what Eltwise makes of constants."""
    param, bottoms = node.param.eltwise_param, [bottom.constant for bottom in node.bottoms]
    stacked = np.stack(bottoms)
    if param.operation == param.SUM:
        coefficients = np.array(param.coeff or [1.0] * len(bottoms))
        return np.asarray(coefficients @ stacked)
    if param.operation == param.PROD:
        return np.where((stacked == 0).any(0), 0, stacked.prod(0))
    return np.asarray(stacked.max(0))  # NaN if any is


def _zeros_only(constant: Array) -> Array:
    return np.where(constant == 0, 0, np.nan)


def _affine(factor: Array, summand: Array, constant: Array) -> Array:
    # A factor of 0 makes a constant of anything.
    return np.where(factor == 0, summand, factor * constant + summand)


def _second(node: Node) -> Array:
    blobs = node.blobs
    return blobs[1].reshape(-1) if len(blobs) > 1 else np.zeros(blobs[0].size)


def _batch_norm(node: Node, constant: Array) -> Array:
    param = node.param.batch_norm_param
    if param.HasField("use_global_stats") and not param.use_global_stats:
        return np.full_like(constant, np.nan)
    mean, variance, weight = (blob.reshape(-1).astype(np.float64) for blob in node.blobs[:3])
    share = 1 / weight[0] if weight[0] else 0.0
    return (constant - mean * share) / np.sqrt(variance * share + param.eps)


def _pools_evenly(node: Node) -> bool:
    """Tell whether pooling leaves a constant as it is, also at the border."""
    param = node.param.pooling_param
    sides = (param.pad_l, param.pad_r, param.pad_t, param.pad_b)
    padded = any((param.pad, param.pad_h, param.pad_w, *sides))
    return bool(param.pool == param.MAX or (param.pool == param.AVE and not padded))


def _depthwise(node: Node, constant: Array) -> Array:
    dense = Dense(node)
    sums = node.blobs[0].reshape(len(constant), -1).sum(1, dtype=np.float64)
    zero = ~node.blobs[0].reshape(len(constant), -1).any(1)
    known = np.where(dense.is_uniform | (constant == 0), constant, np.nan)
    return np.asarray(np.where(zero, 0, sums * known) + dense.bias())


def _elementwise(node: Node, constant: Array) -> Array:
    """Run the layer itself."""
    layer = create_layer(node.param, TEST)
    x = Blob((1, len(constant), 1, 1))
    x.set_data(np.nan_to_num(constant).reshape(x.shape))
    y = Blob(x.shape)
    layer.setup([x], [y])
    layer.reshape([x], [y])
    layer.forward([x], [y])
    return np.where(np.isnan(constant), np.nan, y.host_data.reshape(-1).astype(np.float64))
