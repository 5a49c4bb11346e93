"""The outputs of a net, for one batch or over its test data."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sscaffe.blob import Array
from sscaffe.glog import logger
from sscaffe.net import Net
from sscaffe.proto import caffe_pb2
from sscaffe.random_numbers import RandomNumbers
from sscaffe.solver import display
from sscaffe.solver.cursors import Places

OnBatch = Callable[[int, dict[str, Array]], bool]
"""Takes the number of a batch and the outputs, and tells whether to go on."""


@dataclass(frozen=True)
class Scores:
    """Means over batches."""

    loss: float
    outputs: dict[str, Array]
    batches: int


def outputs_of(net: Net) -> dict[str, Array]:
    """Return the outputs of a net as it last ran, to be read only."""
    return {name: net.blobs[name].host_data for name in net.outputs}


def score(net: Net, batches: int, on_batch: OnBatch | None = None) -> Scores:
    """Run a net and return the mean of each output.

    Parameters
    ----------
    net : Net
        The net, forward only.
    batches : int
        How often to run it, one time or more.
    on_batch : callable, optional
        Called after each batch; if it returns false, there are no more.

    Returns
    -------
    Scores
        Of float64; of fewer batches if `on_batch` said so.

    Raises
    ------
    SscaffeError
        If a layer cannot run.
    """
    loss, done = 0.0, 0
    sums = {name: np.zeros(net.blobs[name].shape) for name in net.outputs}
    for batch in range(batches):
        loss += net.run_forward()
        outputs = outputs_of(net)
        for name, values in outputs.items():
            sums[name] += values
        done = batch + 1
        if on_batch is not None and not on_batch(batch, outputs):
            break
    means = {name: np.asarray(total / done) for name, total in sums.items()}
    return Scores(loss / done, means, done)


def run_tests(
    nets: Sequence[Net],
    settings: caffe_pb2.SolverParameter,
    iteration: int,
    rng: RandomNumbers,
    is_stopped: Callable[[], bool],
) -> list[dict[str, Array]]:
    """Run test nets, and log how they do.

    Parameters
    ----------
    nets : sequence of Net
        The nets.
    settings : SolverParameter
        test_iter, a number of batches for each net; test_compute_loss.
    iteration : int
        Iterations done, for the log.
    rng : RandomNumbers
        What the nets draw from.
    is_stopped : callable
        Asked after each batch whether to give up. Then data and random numbers go back to where
        they were, as if there had been no test.

    Returns
    -------
    list of dict of str to ndarray
        For each net, the mean of each output; shorter if it was given up.

    Raises
    ------
    SscaffeError
        If a layer cannot run.
    """
    places = Places(nets, rng)
    results: list[dict[str, Array]] = []
    for number, net in enumerate(nets):
        logger.info("Iteration %d, Testing net (#%d)", iteration, number)
        scores = score(net, settings.test_iter[number], lambda *_: not is_stopped())
        if scores.batches < settings.test_iter[number]:
            logger.info("Test interrupted.")
            places.go_back()
            break
        if settings.test_compute_loss:
            logger.info("Test loss: %g", scores.loss)
        display.log_outputs(net, "Test", scores.outputs)
        results.append(scores.outputs)
    return results
