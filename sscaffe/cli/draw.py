"""Draw a net as a graph."""

from pathlib import Path

import click

from sscaffe import prototxt
from sscaffe.blob import Array
from sscaffe.cli import options
from sscaffe.cli.flags import CaffeCommand
from sscaffe.cli.results import print_json, print_table
from sscaffe.draw import FORMATS, draw, net_graph
from sscaffe.errors import UnsupportedError
from sscaffe.net.weights import read_weights
from sscaffe.proto import caffe_pb2

_PHASES = ("TRAIN", "TEST", "ALL")
_EPILOG = "Example: sscaffe draw lenet_train_test.prototxt lenet.png --phase TEST --rankdir LR"


@click.command(cls=CaffeCommand, short_help="Draw a net.", epilog=_EPILOG)
@click.argument("net")
@click.argument("image")
@click.option("--rankdir", default="TB", metavar="DIR", help="TB, BT, LR or RL; TB by default.")
@click.option("--phase", default="ALL", metavar="PHASE", help="TRAIN, TEST or ALL, the default.")
@click.option("--display_lrm", is_flag=True, help="Show learning rates and decays.")
@options.weights(required=False)
@options.net_state
@options.force
@options.as_json
def command(
    net: str,
    image: str,
    rankdir: str,
    phase: str,
    display_lrm: bool,
    weights: str,
    level: int,
    stage: str,
    force: bool,
    as_json: bool,
) -> int:
    """Draw a net: a box for each layer, with those that work in place on its top.

    IMAGE ends in .png, .svg, .pdf, or .dot for Graphviz. With --weights, the colour of a box tells
    how many of its weights are zero.
    """
    if Path(image).suffix.removeprefix(".").lower() not in FORMATS:
        raise UnsupportedError(f"{image}: expected a name that ends in .{', .'.join(FORMATS)}")
    with options.logged():
        options.require_new(image, force=force)
        param = prototxt.read_net(net)
        state = _state(phase, level, stage)
        names = [layer.name for layer in param.layer]
        arrays: dict[str, Array] = {}
        for path in options.split(weights):
            arrays |= read_weights(path, names)
        graph = net_graph(param, state, arrays if weights else None, show_rates=display_lrm)
        draw(graph, Path(image), rankdir.upper())
    counts = len(param.layer), len(graph.boxes)
    if as_json:
        print_json({"image": image, "layers": counts[0], "boxes": counts[1]})
    else:
        print_table(["image", "layers", "boxes"], [(image, *counts)])
    return 0


def _state(phase: str, level: int, stage: str) -> caffe_pb2.NetState | None:
    if phase.upper() not in _PHASES:
        raise click.UsageError(f"phase: expected {', '.join(_PHASES)}, got {phase}")
    if phase.upper() == "ALL":
        if level or stage:
            raise click.UsageError("level, stage: expected phase TRAIN or TEST with them, got ALL")
        return None
    return caffe_pb2.NetState(phase=phase.upper(), level=level, stage=options.split(stage))
