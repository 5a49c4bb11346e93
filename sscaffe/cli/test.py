"""Score a trained net on its test data."""

from typing import Any

import click

from sscaffe.blob import Array
from sscaffe.cli import options
from sscaffe.cli.flags import CaffeCommand
from sscaffe.cli.results import print_json, print_table
from sscaffe.glog import logger
from sscaffe.layer import TEST, TRAIN
from sscaffe.net import Net
from sscaffe.solver.scores import Scores, score

MOST_ROWS = 20
"""Values of one output that get a row each; of more, only the mean is worth reading."""

_EPILOG = (
    "Example: sscaffe test --model models/lenet/lenet_train_test.prototxt "
    "--weights models/lenet/lenet_iter_10000.caffemodel --iterations 100"
)


@click.command(cls=CaffeCommand, short_help="Score a trained net.", epilog=_EPILOG)
@options.model()
@options.weights(required=True)
@click.option("--iterations", default=50, metavar="N", help="Batches to run; 50 by default.")
@click.option("--phase", type=click.Choice(["TRAIN", "TEST"]), default="TEST", help="Of the net.")
@options.conv_mode()
@options.net_state
@options.gpu_option
@options.tf32
@options.allow_python
@click.option("--log", default="", metavar="FILE", help="Write the log to this file as well.")
@options.as_json
def command(as_json: bool, log: str, phase: str, iterations: int, **flags: Any) -> int:
    """Run a net over its test data, and print the mean of each of its outputs."""
    if iterations < 1:
        raise click.UsageError(f"--iterations: expected 1 or more, got {iterations}")
    with options.logged(log):
        net = options.open_net(phase=TRAIN if phase == "TRAIN" else TEST, **flags)
        logger.info("Running for %d iterations.", iterations)
        scores = score(net, iterations, _log_batch)
        _log_means(net, scores)
        net.close()
    if as_json:
        outputs = {name: _plain(mean) for name, mean in scores.outputs.items()}
        print_json({"iterations": iterations, "loss": scores.loss, "outputs": outputs})
    else:
        rows = [row for name, mean in scores.outputs.items() for row in _rows(name, mean)]
        print_table(["output", "mean"], rows, title=f"{net.name or 'net'}, {iterations} batches")
    return 0


def _log_batch(batch: int, outputs: dict[str, Array]) -> bool:
    for name, values in outputs.items():
        for value in values.flat:
            logger.info("Batch %d, %s = %g", batch, name, value)
    return True


def _log_means(net: Net, scores: Scores) -> None:
    logger.info("Loss: %g", scores.loss)
    for name, mean in scores.outputs.items():
        weight = net.blob_loss_weights.get(name, 0)
        for value in mean.flat:
            suffix = f" (* {weight:g} = {weight * value:g} loss)" if weight else ""
            logger.info("%s = %g%s", name, value, suffix)


def _rows(name: str, mean: Any) -> list[tuple[str, float]]:
    if mean.size > MOST_ROWS:
        return [(f"{name}, mean of {mean.size} values", float(mean.mean()))]
    if mean.size == 1:
        return [(name, float(mean.item()))]
    return [(f"{name}[{i}]", float(value)) for i, value in enumerate(mean.flat)]


def _plain(mean: Any) -> Any:
    return float(mean.item()) if mean.size == 1 else mean.tolist()
