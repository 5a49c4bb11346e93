"""The outputs of a net, for one batch or over its test data."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sscaffe.blob import Array
from sscaffe.net import Net


@dataclass(frozen=True)
class Scores:
    """Means over batches."""

    loss: float
    outputs: dict[str, Array]


def outputs_of(net: Net) -> dict[str, Array]:
    """Return the outputs of a net as it last ran, to be read only."""
    return {name: net.blobs[name].const_data for name in net.outputs}


def score(net: Net, batches: int, is_stopped: Callable[[], bool]) -> Scores | None:
    """Run a net and return the mean of each output.

    Parameters
    ----------
    net : Net
        The net, forward only.
    batches : int
        How often to run it.
    is_stopped : callable
        Asked before each batch whether to give up; then the result is None.

    Raises
    ------
    SscaffeError
        If a layer cannot run.
    """
    loss = 0.0
    sums = {name: np.zeros(net.blobs[name].shape) for name in net.outputs}
    for _ in range(batches):
        if is_stopped():
            return None
        loss += net.forward()
        for name, values in outputs_of(net).items():
            sums[name] += values
    return Scores(loss / batches, {name: total / batches for name, total in sums.items()})
