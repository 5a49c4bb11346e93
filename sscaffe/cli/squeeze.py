"""Make a net physically smaller."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np

from sscaffe.cli import options
from sscaffe.cli.flags import CaffeCommand
from sscaffe.cli.options import image_shape
from sscaffe.cli.results import print_json, print_table
from sscaffe.errors import SscaffeError
from sscaffe.glog import logger
from sscaffe.layer import TEST
from sscaffe.net import Net
from sscaffe.net.rules import test_state
from sscaffe.proto import caffe_pb2
from sscaffe.prototxt import read_net
from sscaffe.squeeze import Squeezed, squeeze
from sscaffe.timing.inputs import fill_inputs, stand_in_for_missing_data

_EPILOG = "Example: sscaffe squeeze -model deploy.prototxt -weights ssl.caffemodel"
_AS_GOOD_AS_EQUAL = 1e-4  # of the largest output


@click.command(cls=CaffeCommand, short_help="Make a sparse net smaller.", epilog=_EPILOG)
@options.model()
@options.weights(required=True)
@click.option("--out-model", default="", metavar="FILE", help="By default, beside the net.")
@click.option("--out-weights", default="", metavar="FILE", help="By default, beside the weights.")
@click.option("--shape", metavar="C,H,W", help="Of images whose database is not here.")
@options.force
@click.option("--log", default="", metavar="FILE", help="Write the log to this file as well.")
@options.as_json
def command(
    model: str,
    weights: str,
    out_model: str,
    out_weights: str,
    shape: str | None,
    force: bool,
    log: str,
    as_json: bool,
) -> int:
    """Write a net without its dead filters that any Caffe can load, and its weights.

    Filters whose output is zero, or always the same, go with the input channels that they fed, as
    do filters that nobody reads, and residual branches that add nothing; what they emitted is
    added to the next biases. Where that would change an output the filter stays, and the table
    says why. Columns that cannot go stay for conv_mode: LOWERED_CCNMM. Both nets are then run on
    random inputs and compared.
    """
    paths = options.split(weights)
    out_model = out_model or _beside(model)
    out_weights = out_weights or _beside(paths[0], ".caffemodel")
    with options.logged(log):
        for path in (out_model, out_weights):
            options.require_new(path, force=force)
            if Path(path).exists() and any(Path(path).samefile(p) for p in (model, *paths)):
                raise SscaffeError(f"{path}: is the input itself; give another name")
        net = read_net(model)
        small = squeeze(net, paths, image_shape=image_shape(shape), source=model)
        report = _compare(net, paths, small, image_shape(shape), model)
        small.save(out_model, out_weights)
        logger.info("Wrote %s and %s", out_model, out_weights)
    report["bytes"] = [sum(_bytes(p) for p in paths), _bytes(out_weights)]
    report["files"] = [out_model, out_weights]
    if as_json:
        changes = [asdict(change) for change in small.changes]
        print_json({**report, "layers": changes, "removed": small.removed})
    else:
        _print(small, report)
    return 0


def _beside(path: str, ending: str = "") -> str:
    file = Path(path)
    return str(file.with_name(f"{file.stem}_squeezed{ending or file.suffix}"))


def _compare(
    net: caffe_pb2.NetParameter, paths: list[str], small: Squeezed, shape: Any, source: str
) -> dict[str, Any]:
    """Run both nets on the same random inputs; refuse to go on if they differ."""
    state = test_state(net)
    dense, squeezed = (
        Net(stand_in_for_missing_data(param, shape, state=state), TEST, source=source)
        for param in (net, small.net)
    )
    with dense, squeezed:
        return _compared(dense, squeezed, paths, small, source)


def _compared(
    dense: Net, squeezed: Net, paths: list[str], small: Squeezed, source: str
) -> dict[str, Any]:
    nets = (dense, squeezed)
    for path in paths:
        dense.copy_from(path)
    for name, blobs in squeezed.params.items():
        for blob, array in zip(blobs, small.weights[name], strict=True):
            blob.set_data(array)
    for each in nets:
        fill_inputs(each)
        each.run_forward()
    difference = max((_difference(*(n.blobs[o] for n in nets)) for o in dense.outputs), default=0.0)
    if difference > _AS_GOOD_AS_EQUAL:
        raise SscaffeError(
            f"{source}: the outputs of the squeezed net differ by {difference:.3g} of the largest; "
            "nothing was written; please report this net as a fault of squeeze"
        )
    return {
        "difference": difference,
        "parameters": [sum(p.blob.count for p in each.learnable_params) for each in nets],
        "macs": [_macs(each) for each in nets],
    }


def _difference(one: Any, other: Any) -> float:
    a, b = one.host_data.astype(np.float64), other.host_data
    return float(abs(a - b).max() / max(abs(a).max(), 1e-30)) if a.size else 0.0


def _macs(net: Net) -> int:
    return sum(layer.macs() for layer in net.layers if hasattr(layer, "macs"))


def _print(small: Squeezed, report: dict[str, Any]) -> None:
    rows = []
    for change in small.changes:
        why = "; ".join(f"{n} dead kept: {reason}" for reason, n in change.kept.items())
        after = _size(change.after) if change.after else "gone"
        rows.append((change.name, change.type, _size(change.before), after, why))
    print_table(["layer", "type", "weights", "squeezed", "notes"], rows)
    others = [name for name in small.removed if name not in {c.name for c in small.changes}]
    if others:
        click.echo(f"gone with them: {', '.join(others)}")
    click.echo(
        f"\noutputs on random inputs differ by {report['difference']:.1e} of the largest\n"
        + "\n".join(
            f"{title}: {before:,} -> {after:,} ({100 * after / max(before, 1):.1f} %)"
            for title, (before, after) in (
                ("parameters", report["parameters"]),
                ("multiply-adds", report["macs"]),
                ("bytes of weights", report["bytes"]),
            )
        )
    )
    click.echo(f"wrote {' and '.join(report['files'])}")


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _bytes(path: str) -> int:
    return Path(path).stat().st_size
