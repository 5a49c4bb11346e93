"""Time a net layer by layer."""

from dataclasses import asdict
from typing import Any

import click

from sscaffe import prototxt
from sscaffe.cli import options
from sscaffe.cli.flags import CaffeCommand
from sscaffe.cli.results import Cell, print_json, print_table
from sscaffe.layer import TEST, TRAIN
from sscaffe.log import logger
from sscaffe.net import Net
from sscaffe.timing import (
    NetTiming,
    fill_inputs,
    is_sparse,
    stand_in_for_missing_data,
    time_net,
)

_EPILOG = (
    "Example: sscaffe time --model models/lenet/lenet_deploy.prototxt "
    "--weights models/lenet/lenet_finetune_iter_3500.caffemodel --forward_only"
)
_PHASES = {"TRAIN": TRAIN, "TEST": TEST}
_COLUMNS = ["layer", "type", "kernel", "forward ms", "10-90 %", "backward ms"]
_COLUMNS += ["MFLOP", "kept %", "zero columns %", "zero rows %"]


@click.command(cls=CaffeCommand, short_help="Time a net layer by layer.", epilog=_EPILOG)
@options.model("The net: a prototxt. Input layers get random numbers.")
@options.weights(required=False)
@click.option("--iterations", default=50, metavar="N", help="Runs that count; 50 by default.")
@click.option(
    "--phase", type=click.Choice(list(_PHASES)), help="TRAIN, or TEST if a layer is sparse."
)
@click.option("--forward_only", is_flag=True, help="No backward pass; so too if a layer is sparse.")
@click.option("--shape", metavar="C,H,W", help="Of images whose database is not here.")
@options.net_state
@options.gpu_option
@options.allow_python
@click.option("--log", default="", metavar="FILE", help="Write the log to this file as well.")
@options.as_json
def command(as_json: bool, log: str, iterations: int, forward_only: bool, **flags: Any) -> int:
    """Time a net: each layer, forward and backward, with the work it has and the work it saves.

    Times are medians in ms. MFLOP is the dense work of a forward pass over the batch; "kept" is
    the share of it in rows and columns of the weight matrix that are not zero.
    """
    if iterations < 1:
        raise click.UsageError(f"--iterations: expected 1 or more, got {iterations}")
    with options.logged(log):
        net, sparse = _open(**flags)
        timing = time_net(net, iterations, backward=not (forward_only or sparse))
        _log(timing)
        net.close()
    if as_json:
        print_json({**asdict(timing), "macs": timing.macs, "kept_macs": timing.kept_macs})
    else:
        _print(net.name or "net", timing)
    return 0


def _open(model: str, phase: str | None, shape: str | None, **flags: Any) -> tuple[Net, bool]:
    """Return the net, and whether it has a layer without a backward pass."""
    param = stand_in_for_missing_data(prototxt.read_net(model), _image_shape(shape))
    sparse = is_sparse(param)
    if sparse and phase is None:
        logger.info("A layer has a sparse mode: timing the forward pass in TEST.")
    number = _PHASES[phase or ("TEST" if sparse else "TRAIN")]
    net = options.open_net(model=param, phase=number, source=model, **flags)
    fill_inputs(net)
    return net, sparse


def _image_shape(text: str | None) -> tuple[int, int, int] | None:
    if text is None:
        return None
    sizes = options.split(text.replace("x", ","))
    if len(sizes) != 3 or not all(size.isdigit() for size in sizes):
        raise click.UsageError(f"--shape: expected channels,height,width, got {text!r}")
    channels, height, width = map(int, sizes)
    return channels, height, width


def _log(timing: NetTiming) -> None:
    """Log what ``caffe time`` logs, in its words."""
    logger.info("*** Benchmark begins ***")
    logger.info("Testing for %d iterations.", timing.iterations)
    logger.info("Average time per layer: ")
    for layer in timing.layers:
        logger.info("%10s\tforward: %g ms.", layer.name, layer.forward.mean)
        if layer.backward:
            logger.info("%10s\tbackward: %g ms.", layer.name, layer.backward.mean)
    logger.info("Average Forward pass: %g ms.", timing.forward.mean)
    if timing.backward:
        logger.info("Average Backward pass: %g ms.", timing.backward.mean)
        logger.info("Average Forward-Backward: %g ms.", timing.total.mean)
    logger.info("Total Time: %g ms.", timing.total.mean * timing.iterations)
    logger.info("*** Benchmark ends ***")


def _print(name: str, timing: NetTiming) -> None:
    rows: list[list[Cell]] = []
    for layer in timing.layers:
        rows.append([layer.name, layer.type, layer.kernel])
        rows[-1] += [layer.forward.median, f"{layer.forward.low:.3g}-{layer.forward.high:.3g}"]
        rows[-1] += [layer.backward.median if layer.backward else None]
        rows[-1] += _work(layer.macs, layer.kept_macs)
        rows[-1] += [layer.zero_columns, layer.zero_rows]
    total: list[Cell] = ["all", "", "", timing.forward.median]
    total += [f"{timing.forward.low:.3g}-{timing.forward.high:.3g}"]
    total += [timing.backward.median if timing.backward else None]
    total += [*_work(timing.macs, timing.kept_macs), None, None]
    print_table(_COLUMNS, rows, title=f"{name}, {timing.iterations} runs", total=total)


def _work(macs: int | None, kept_macs: int | None) -> list[Cell]:
    """Return the dense MFLOP, and the per cent that is left."""
    if not macs or kept_macs is None:
        return [None, None]
    return [2e-6 * macs, 100 * kept_macs / macs]
