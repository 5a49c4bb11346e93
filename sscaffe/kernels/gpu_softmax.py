"""Softmax and the loss of its labels on a GPU."""

import functools
import math
from typing import Any

import numpy as np

from sscaffe.kernels.gpu_runtime import launch, launch_each, xp
from sscaffe.kernels.operators import CountedLabels

_FILE = "softmax.cu"
_THREADS = 128  # of a block with one row in each warp
_LOSS_THREADS = 1024
_MOST_PARTS = 256


def softmax(scores: Any, out: Any) -> None:
    """See `Kernels.softmax`."""
    outer, classes, inner = scores.shape
    if not scores.size:
        return
    if inner == 1:
        blocks, arguments = -(-outer * 32 // _THREADS), (scores, out, outer, classes)
        launch(_FILE, "softmax_rows", (blocks,), (_THREADS,), arguments, scores.dtype)
        return
    arguments = scores, out, classes, inner
    launch_each(_FILE, "softmax_places", outer * inner, arguments, scores.dtype)


def softmax_loss(
    probabilities: Any,
    labels: Any,
    ignored: int | None,
    divisor: int | None,
    counted: CountedLabels,
    loss: Any,
) -> bool:
    """See `Kernels.softmax_loss`; the labels are not known here."""
    outer, classes, inner = probabilities.shape
    dtype, places = probabilities.dtype, outer * inner
    left_out = math.nan if ignored is None else float(ignored)
    blocks = min(max(1, -(-places // (8 * _LOSS_THREADS))), _MOST_PARTS)
    parts = _parts(xp.cuda.runtime.getDevice()) if blocks > 1 else None
    result = 0 if divisor is None else max(divisor, 1), loss, counted.divided_by
    arguments = (
        places,
        probabilities,
        labels,
        left_out,
        counted.labels,
        parts,
        classes,
        inner,
        *result,
    )
    launch(_FILE, "softmax_loss", (blocks,), (_LOSS_THREADS,), arguments, dtype)
    if blocks > 1:
        launch(
            _FILE, "softmax_loss_of_parts", (1,), (_MOST_PARTS,), (parts, blocks, *result), dtype
        )
    return True


def softmax_loss_backward(
    probabilities: Any, counted: CountedLabels, weight: float, diff: Any
) -> None:
    """See `Kernels.softmax_loss_backward`."""
    _, classes, inner = probabilities.shape
    arguments = (
        probabilities,
        counted.labels,
        float(weight),
        counted.divided_by,
        diff,
        classes,
        inner,
    )
    launch_each(_FILE, "softmax_loss_backward", diff.size, arguments, diff.dtype)


@functools.cache
def _parts(device: int) -> Any:
    # Not of the moment: a graph that was captured goes on using it.
    return xp.empty((_MOST_PARTS, 2), np.float64)
