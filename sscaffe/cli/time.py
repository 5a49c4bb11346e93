"""Time a net layer by layer, or every mode of its layers."""

from dataclasses import asdict
from typing import Any

import click

from sscaffe import prototxt
from sscaffe.cli import options
from sscaffe.cli.flags import CaffeCommand
from sscaffe.cli.results import print_json
from sscaffe.cli.time_tables import comparison_json, print_comparison, print_rows, wrapped
from sscaffe.errors import DataError
from sscaffe.glog import logger
from sscaffe.layer import TEST, TRAIN
from sscaffe.net import Net
from sscaffe.net.modes import set_conv_mode
from sscaffe.progress import progress
from sscaffe.proto import caffe_pb2
from sscaffe.timing import (
    Comparison,
    NetTiming,
    compare,
    fill_inputs,
    is_sparse,
    stand_in_for_missing_data,
    time_net,
)
from sscaffe.timing.auto_file import require_another_file, trains, write_modes
from sscaffe.timing.comparison import steps

_EPILOG = """\b
Example: sscaffe time -model train_val.prototxt -shape 3,227,227
Example: sscaffe time -model deploy.prototxt -weights x.caffemodel -forward_only
Example: sscaffe time -model deploy.prototxt -weights x.caffemodel --conv-mode LOWERED_GEMM
Example: sscaffe time -model deploy.prototxt -weights x.caffemodel --compare
Example: sscaffe time -model deploy.prototxt -weights x.caffemodel --write-auto fast.prototxt
"""
_PHASES = {"TRAIN": TRAIN, "TEST": TEST}
_DEFAULT_ITERATIONS = 50


@click.command(cls=CaffeCommand, short_help="Time a net layer by layer.", epilog=_EPILOG)
@options.model("The net: a prototxt. Input layers get random numbers.")
@options.weights(required=False)
@click.option(
    "--iterations",
    type=int,
    metavar="N",
    help=f"Runs that count; {_DEFAULT_ITERATIONS} by default, fewer where --compare takes long.",
)
@click.option(
    "--phase",
    type=click.Choice(list(_PHASES)),
    help="TRAIN by default; TEST with --forward_only or where a layer has a sparse mode or AUTO.",
)
@click.option("--forward_only", is_flag=True, help="No backward pass; so too in a sparse mode.")
@click.option("--compare", is_flag=True, help="Run every layer in every mode that it has, in TEST.")
@click.option(
    "--write_auto",
    default="",
    metavar="FILE",
    help="Compare, and write the net with the best modes to this file.",
)
@options.conv_mode()
@click.option("--shape", metavar="C,H,W", help="Of images whose database is not here.")
@options.net_state
@options.gpu_option
@options.tf32
@options.allow_python
@click.option("--log", default="", metavar="FILE", help="Write the log to this file as well.")
@options.as_json
def command(as_json: bool, log: str, iterations: int | None, write_auto: str, **flags: Any) -> int:
    """Time a net: each layer, forward and backward, with the work it has and the work it saves.

    Times are medians in ms. MFLOP is the dense work of a forward pass over the batch; "kept" is
    the share of it in rows and columns of the weight matrix that are not zero. Layers that
    run as one are one row.

    With --compare, "layer" is all of it, on the bottom as the layer before leaves it and with the
    layers that run as one with it; "lowering" is the im2col of the modes that do it; "kernel" is
    the convolution or product alone. "% of peak" counts the work that the mode does; the peak is
    that of a large sgemm. The best mode has a star: another than dense has to be 5 % faster.
    """
    if iterations is not None and iterations < 1:
        raise click.UsageError(f"--iterations: expected 1 or more, got {iterations}")
    if flags.pop("compare") or write_auto:
        return _compare(as_json, log, iterations, write_auto, **flags)
    forward_only = flags.pop("forward_only")
    with options.logged(log):
        net, sparse = _open(forward_only=forward_only, **flags)
        runs = iterations or _DEFAULT_ITERATIONS
        with progress(f"timing {net.name or 'net'}", 0, runs, in_background=False) as advance:
            backward = not (forward_only or sparse)
            timing = time_net(net, runs, backward=backward, advance=advance)
        _log(timing)
        net.close()
    if as_json:
        print_json({**asdict(timing), "macs": timing.macs, "kept_macs": timing.kept_macs})
    else:
        print_rows(net.name or "net", timing)
    return 0


def _compare(
    as_json: bool, log: str, rounds: int | None, write_auto: str, phase: str | None, **flags: Any
) -> int:
    if phase == "TRAIN":
        raise click.UsageError("--phase: expected TEST with --compare, got TRAIN")
    if flags["conv_mode"] is not None:
        raise click.UsageError("--conv-mode: --compare runs every mode; leave one of the two out")
    with options.logged(log):
        if write_auto:
            prototxt.read_net(flags["model"])  # says what is wrong with it before anything else
            require_another_file(write_auto, flags["model"])
        net, _ = _open(phase="TEST", **flags)
        with progress(
            f"comparing {net.name or 'net'}", 0, steps(net), in_background=False
        ) as advance:
            comparison = compare(net, rounds, advance)
        net.close()
        if write_auto:
            write_modes(write_auto, flags["model"], comparison.modes)
    if as_json:
        print_json(comparison_json(comparison))
    else:
        print_comparison(net.name or "net", comparison)
    if write_auto:
        click.echo(_advice(write_auto, flags, comparison), err=as_json)
    return 0


def _advice(path: str, flags: dict[str, Any], comparison: Comparison) -> str:
    """Say what was written and what it is good for."""
    weights = f" -weights {flags['weights']}" if flags["weights"] else ""
    text = f"wrote {path}: the modes with a star, for this machine and these weights;"
    if "best modes" in comparison.nets and not comparison.gains:
        text = f"wrote {path}: dense modes, since the net as a whole gains nothing from others;"
    text = (
        wrapped(f"{text} run it in TEST:")
        + f"\n  sscaffe time -model {path}{weights} -forward_only"
    )
    if trains(prototxt.read_net(path)):
        text += "\n" + wrapped(
            f"it has layers for TRAIN, where sparse modes are refused: train {flags['model']}, and "
            f"test or deploy {path}"
        )
    return text


def _open(
    model: str,
    phase: str | None,
    shape: str | None,
    forward_only: bool,
    conv_mode: str | None,
    **flags: Any,
) -> tuple[Net, bool]:
    """Return the net, and whether it has a layer without a backward pass."""
    param = prototxt.read_net(model)
    if conv_mode is not None:
        set_conv_mode(param, conv_mode)
    sparse = is_sparse(param)
    if sparse and phase is None:
        logger.info("A layer has a sparse mode: timing the forward pass in TEST.")
    phase = phase or ("TEST" if sparse or forward_only else "TRAIN")
    state = caffe_pb2.NetState()
    state.CopyFrom(param.state)
    state.MergeFrom(caffe_pb2.NetState(phase=phase))
    state.level = flags["level"] or state.level
    state.stage.extend(options.split(flags["stage"]))
    try:
        param = stand_in_for_missing_data(param, options.image_shape(shape), state=state)
    except DataError as error:
        error.add_note(f"  net:    {model}")
        raise
    net = options.open_net(model=param, phase=_PHASES[phase], source=model, **flags)
    fill_inputs(net)
    return net, sparse


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
