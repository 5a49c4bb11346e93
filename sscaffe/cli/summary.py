"""Show what a net costs, dense and sparse."""

from collections.abc import Sequence
from dataclasses import asdict

import click

from sscaffe.cli import options
from sscaffe.cli.flags import CaffeCommand
from sscaffe.cli.results import Cell, print_json, print_table, shortened
from sscaffe.layer import TEST, TRAIN
from sscaffe.proto import caffe_pb2
from sscaffe.prototxt import read_net
from sscaffe.summary import LayerSummary, summarize
from sscaffe.timing import stand_in_for_missing_data

_EPILOG = "Example: sscaffe summary lenet_deploy.prototxt lenet_ssl.caffemodel"
_DENSE = ["layer", "type", "tops", "params", "MMAC", "activations\nKiB", "weights\nKiB"]
_SPARSE = ["kept\nrows", "kept\ncolumns", "kept\nparams", "nonzero\nparams", "kept\nMMAC"]
_SPARSE += ["nonzero\nMMAC", "kept\nKiB"]
_SUMS = ["params", "kept_params", "nonzero_params", "macs", "kept_macs", "nonzero_macs"]
_SUMS += ["activations", "weights", "kept_weights"]


@click.command(cls=CaffeCommand, short_help="Show what a net costs.", epilog=_EPILOG)
@click.argument("net")
@click.argument("weights", default="", metavar="[WEIGHTS]")
@click.option("--phase", type=click.Choice(["TRAIN", "TEST"], case_sensitive=False), default="TEST")
@options.net_state
@options.allow_python
@options.shape
@options.as_json
def command(
    net: str,
    weights: str,
    phase: str,
    level: int,
    stage: str,
    allow_python: bool,
    shape: str | None,
    as_json: bool,
) -> int:
    """Show layers, shapes, parameters, multiply-adds and memory of NET, for a forward pass.

    With WEIGHTS, also what is left of them: kept, without rows and columns of zeros; nonzero,
    without any zero. Data that are not there are not needed, if NET tells the shape of an image.
    """
    with options.logged():
        number = TRAIN if phase.upper() == "TRAIN" else TEST
        stages = options.split(stage)
        param = read_net(net)
        state = caffe_pb2.NetState()
        state.CopyFrom(param.state)
        state.MergeFrom(caffe_pb2.NetState(phase=phase.upper(), stage=stages))
        state.level = level or state.level
        built = options.open_net(
            model=stand_in_for_missing_data(param, options.image_shape(shape), state=state),
            phase=number,
            weights=weights,
            level=level,
            stage=stage,
            gpu="",
            source=net,
            allow_python=allow_python,
        )
        with built:
            rows, name = summarize(built), built.name or net
    totals = {field: sum(getattr(row, field) for row in rows) for field in _SUMS}
    if as_json:
        print_json({"net": name, "layers": [asdict(row) for row in rows], "total": totals})
    else:
        _print(name, rows, totals, sparse=bool(weights))
    return 0


def _print(
    name: str, rows: Sequence[LayerSummary], totals: dict[str, int], *, sparse: bool
) -> None:
    cells = [_dense(row) + (_sparse(row) if sparse else []) for row in rows]
    last: list[Cell] = ["all layers", "", "", totals["params"], _millions(totals["macs"])]
    last += [_kib(totals["activations"]), _kib(totals["weights"])]
    if sparse:
        last += [None, None, totals["kept_params"], totals["nonzero_params"]]
        last += [_millions(totals["kept_macs"]), _millions(totals["nonzero_macs"])]
        last.append(_kib(totals["kept_weights"]))
    print_table(_DENSE + (_SPARSE if sparse else []), cells, title=name, totals=[last])


def _dense(row: LayerSummary) -> list[Cell]:
    tops = ", ".join(" x ".join(map(str, shape)) or "1" for shape in row.tops.values())
    cells: list[Cell] = [shortened(row.name, 32), row.type, shortened(tops, 36)]
    cells += [row.params or (f"as {row.shares}" if row.shares else None)]
    cells += [_millions(row.macs), _kib(row.activations), _kib(row.weights)]
    return cells


def _sparse(row: LayerSummary) -> list[Cell]:
    if row.kept_rows is None:
        params: list[Cell] = [row.kept_params or None, row.nonzero_params if row.params else None]
        return [None, None, *params, None, None, _kib(row.kept_weights)]
    cells: list[Cell] = [row.kept_rows, row.kept_columns, row.kept_params, row.nonzero_params]
    return [*cells, *map(_mmac, (row.kept_macs, row.nonzero_macs)), _kib(row.kept_weights)]


def _mmac(count: int) -> float:
    return 1e-6 * count


def _millions(count: int) -> float | None:
    return 1e-6 * count if count else None


def _kib(size: int) -> float | None:
    return size / 1024 if size else None
