"""Notice that training has diverged, and say where."""

import math
from functools import partial

import numpy as np

from sscaffe.blob import Blob
from sscaffe.errors import DivergedError
from sscaffe.net import Net
from sscaffe.proto import caffe_pb2

# What is not finite is for the solver to notice, which says more than NumPy's warning.
unwarned = partial(np.errstate, over="ignore", invalid="ignore", divide="ignore")

_DECAYS = ("weight_decay", "block_group_decay", "breadth_decay", "kernel_shape_decay")


def require_finite_loss(
    loss: float, net: Net, settings: caffe_pb2.SolverParameter, iteration: int
) -> None:
    """Check the loss of an iteration.

    Raises
    ------
    DivergedError
        If it is not a finite number; the message names the first layer in which something is not.
    """
    if not math.isfinite(loss):
        raise DivergedError(
            f"loss: expected a finite number at iteration {iteration}, got {loss}{_where(net)}; "
            f"{_advice(settings)}"
        )


def require_finite_weights(net: Net, settings: caffe_pb2.SolverParameter, iteration: int) -> None:
    """Check the weights after an iteration.

    Raises
    ------
    DivergedError
        If one of them is not a finite number; the message names the layer.
    """
    for param in net.learnable_params:
        if not _is_finite(param.blob):
            raise DivergedError(
                f"{param.name}: expected finite numbers at iteration {iteration}, got NaN or "
                f"infinity; {_advice(settings)}"
            )


def _where(net: Net) -> str:
    for layer, top in zip(net.layers, net.tops, strict=True):
        if not all(_is_finite(blob) for blob in layer.blobs):
            return f", first of all in the weights of layer {layer.name!r}"
        if not all(_is_finite(blob) for blob in top):
            return f", first of all in the output of layer {layer.name!r}"
    return ""


def _is_finite(blob: Blob) -> bool:
    # Sums are quick, and finite only if every element is; very large elements may overflow them.
    total = blob.device.kernels.sum_of_squares(blob.data_tensor)
    return math.isfinite(total) or bool(blob.xp.isfinite(blob.const_data).all())


def _advice(settings: caffe_pb2.SolverParameter) -> str:
    decays = [
        f"{name} ({getattr(settings, name):g})" for name in _DECAYS if getattr(settings, name)
    ]
    others = f" or {', '.join(decays)}" if decays else ""
    return f"lower base_lr ({settings.base_lr:g}){others}"
