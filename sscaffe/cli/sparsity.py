"""Show how sparse trained weights are."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from sscaffe import sparsity, zero_table as tables
from sscaffe.cli import options
from sscaffe.cli.flags import CaffeCommand
from sscaffe.cli.results import Cell, print_json, print_table
from sscaffe.errors import DataError, SscaffeError
from sscaffe.files import write_atomically
from sscaffe.layer import TRAIN
from sscaffe.net import Net
from sscaffe.proto import caffe_pb2
from sscaffe.prototxt import read_net
from sscaffe.timing import stand_in_for_missing_data
from sscaffe.weight_picture import weight_picture

_EPILOG = "Example: sscaffe sparsity lenet.caffemodel lenet_train_test.prototxt --plot pictures"
_COLUMNS = ["layer", "weights", "nonzero", "element\n%", "row\n%", "column\n%", "structured\nx"]
_COLUMNS += ["ideal\nx", "frozen\n%", "by ELTWISE\n%", "by GRPWISE\n%"]


@click.command(cls=CaffeCommand, short_help="Show the zeros of weights.", epilog=_EPILOG)
@click.argument("weights")
@click.argument("net", default="", metavar="[NET]")
@click.option("--plot", default="", metavar="DIR", help="Draw each weight matrix there, as PNG.")
@click.option(
    "--threshold",
    default=sparsity.ELEMENT_THRESHOLD,
    metavar="NUMBER",
    help="Below it an element counts as zero; 1e-4 by default. Rows and columns are zero exactly.",
)
@options.force
@options.shape
@options.as_json
def command(
    weights: str,
    net: str,
    plot: str,
    threshold: float,
    force: bool,
    shape: str | None,
    as_json: bool,
) -> int:
    """Show the zeros of each weight matrix of the caffemodel WEIGHTS, by the layer's name.

    A row is a filter or neuron, a column one weight of all filters; of Scale, where SSL acted on it
    or left zeros, a row is a factor. Structured: how much less there
    is to compute without zero rows and columns; ideal: without any zero. Frozen: the share that the
    layer's connectivity_mode would keep at zero in training, and what each mode would. NET adds
    groups, blocks and modes that the caffemodel does not tell.
    """
    if not threshold >= 0:
        raise click.UsageError(f"threshold: expected a number of 0 or more, got {threshold}")
    with options.logged():
        found = read_matrices(weights, net, options.image_shape(shape))
        rows = tables.zero_table(found, threshold)
        pictures = _draw(found, Path(plot), force=force) if plot else []
    if as_json:
        print_json(
            {"layers": [asdict(row) for row in rows], "total": _total(rows), "pictures": pictures}
        )
    else:
        _print(rows)
        for path in pictures:
            click.echo(f"drew {path}")
    return 0


def read_matrices(
    weights: str, net: str = "", image: tuple[int, int, int] | None = None
) -> list[tables.Weights]:
    """Return the weight matrices of a file; those of a net's layers if there is one.

    Raises
    ------
    SscaffeError
        If a file cannot be read, or they do not fit.
    """
    if not net:
        found = tables.weights_of_file(weights)
    else:
        state = caffe_pb2.NetState(phase=caffe_pb2.TRAIN)
        param = stand_in_for_missing_data(read_net(net), image, state=state)
        with Net(param, TRAIN, weights=weights, source=net) as built:
            found = tables.weights_of_net(built)
    if not found:
        raise DataError(f"{weights}: expected layers with a weight matrix, got none")
    return found


def _draw(found: Sequence[tables.Weights], folder: Path, *, force: bool) -> list[str]:
    found = [one for one in found if one.is_matrix]
    names = [one.param.layer_name.replace("/", "_") for one in found]
    paths = [folder / f"{name}.png" for name in names]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SscaffeError(f"plot: {folder} cannot be made: {error.strerror}") from error
    for path in paths:
        options.require_new(path, force=force)
    for path, one in zip(paths, found, strict=True):
        write_atomically(path, weight_picture(one.matrix))
    return [str(path) for path in paths]


def _total(rows: Sequence[tables.ZeroRow]) -> dict[str, float | None]:
    size = sum(row.rows * row.columns for row in rows)
    nonzero = sum(row.nonzero for row in rows)
    macs = sum(row.macs for row in rows)
    kept = sum(row.macs * row.kept for row in rows) / 100
    left = sum(row.macs * row.nonzero / (row.rows * row.columns) for row in rows)
    return {
        "weights": size,
        "nonzero": nonzero,
        "zero": 100 * (1 - nonzero / size),
        "structured_speedup": macs / kept if macs and kept else None,
        "ideal_speedup": macs / left if macs and left else None,
    }


def _cells(row: tables.ZeroRow) -> list[Cell]:
    cells: list[Cell] = [row.layer, f"{row.rows} x {row.columns}", row.nonzero, row.element]
    cells += [row.row, row.column, row.structured_speedup, row.ideal_speedup]
    return [*cells, row.frozen, row.frozen_eltwise, row.frozen_grpwise]


def _print(rows: Sequence[tables.ZeroRow]) -> None:
    cells = [_cells(row) for row in rows]
    total = _total(rows)
    last: list[Cell] = ["all layers", str(total["weights"]), total["nonzero"], total["zero"]]
    last += [None, None, total["structured_speedup"], total["ideal_speedup"], None, None, None]
    print_table(_COLUMNS, cells, totals=[last], digits=3)
    parts: list[list[Cell]] = []
    for row in rows:
        parts += [
            [row.layer, f"conv group {i}", group["row"], group["column"], None]
            for i, group in enumerate(row.groups)
        ]
        parts += [
            [row.layer, f"blocks of {name}", None, None, zero] for name, zero in row.blocks.items()
        ]
    if parts:
        click.echo()
        print_table(["layer", "part", "row\n%", "column\n%", "block\n%"], parts, digits=3)
