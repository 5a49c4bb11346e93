"""Softmax and the loss of its labels on the CPU."""

from typing import Any

import numpy as np
import numpy.typing as npt

from sscaffe import _core
from sscaffe.kernels.operators import CountedLabels
from sscaffe.kernels.tape import run

Array = npt.NDArray[Any]


def set_softmax(scores: Array, out: Array) -> None:
    """See `Kernels.softmax`."""
    if out.dtype == np.float32:
        run(_core.softmax, scores, out)
        return
    np.subtract(scores, scores.max(axis=1, keepdims=True), out=out)
    np.exp(out, out=out)
    out /= out.sum(axis=1, keepdims=True)


def label_loss(
    probabilities: Array,
    labels: Array,
    ignored: int | None,
    divisor: int | None,
    counted: CountedLabels,
    loss: Array,
) -> bool:
    """See `Kernels.softmax_loss`."""
    if probabilities.dtype == np.float32:
        left_out = np.nan if ignored is None else ignored
        total, number = _core.softmax_loss(probabilities, labels, left_out, counted.labels)
    else:
        total, number = _sum_of_losses(probabilities, labels, ignored, counted.labels)
    counted.divided_by[0] = by = max(number if divisor is None else divisor, 1)
    loss[...] = total / by if number >= 0 else np.nan
    return number >= 0


def label_loss_backward(
    probabilities: Array, counted: CountedLabels, weight: float, diff: Array
) -> None:
    """See `Kernels.softmax_loss_backward`."""
    factor = diff.dtype.type(weight / float(counted.divided_by[0]))
    if diff.dtype == np.float32:
        _core.softmax_loss_backward(probabilities, counted.labels, factor, diff)
        return
    outer, classes, inner = probabilities.shape
    label = counted.labels.reshape(outer, 1, inner)
    is_label = np.arange(classes).reshape(1, -1, 1) == label
    diff[...] = np.where(label < 0, 0, factor * (probabilities - is_label))


def _sum_of_losses(
    probabilities: Array, labels: Array, ignored: int | None, indices: Array
) -> tuple[float, int]:
    classes, inner = probabilities.shape[1:]
    whole = np.trunc(labels)
    counts = np.full(labels.shape, True) if ignored is None else whole != ignored
    if not ((whole[counts] >= 0) & (whole[counts] < classes)).all():
        return 0.0, -1
    indices[...] = np.where(counts, whole, -1)
    places = np.nonzero(counts)[0]
    picked = probabilities[places // max(inner, 1), indices[places], places % max(inner, 1)]
    return -float(np.log(np.maximum(picked, np.finfo(np.float32).tiny)).sum()), places.size
