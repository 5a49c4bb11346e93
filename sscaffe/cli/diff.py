"""Compare two nets, or two files of weights."""

from dataclasses import asdict
from pathlib import Path

import click

from sscaffe.cli import options
from sscaffe.cli.flags import CaffeCommand
from sscaffe.cli.results import Cell, print_json, print_table
from sscaffe.errors import DataError
from sscaffe.net.saved import read_saved
from sscaffe.net_diff import BlobDiff, FieldDiff, diff_nets, diff_weights
from sscaffe.prototxt import read_net

_EPILOG = "Example: sscaffe diff lenet_iter_10000.caffemodel lenet_ssl_iter_5000.caffemodel"
_PROTOTXT = (".prototxt", ".pt", ".txt", ".pbtxt")
_COLUMNS = ["layer", "blob", "shape", "max\ndifference", "mean\ndifference"]
_COLUMNS += ["zero in A\n%", "zero in B\n%", "change\npoints"]


@click.command(cls=CaffeCommand, short_help="Compare nets or weights.", epilog=_EPILOG)
@click.argument("a")
@click.argument("b")
@options.as_json
def command(a: str, b: str, as_json: bool) -> int:
    """Compare two files of weights, A and B, blob by blob, or two nets (prototxts) field by field.

    Weights: shapes, largest and mean absolute difference, and how many elements are zero (below
    1e-4). Layers are found by their names.
    """
    with options.logged():
        for path in (a, b):
            if not Path(path).exists():
                raise DataError(f"{path}: cannot be read: no such file or directory")
        kinds = [Path(path).suffix in _PROTOTXT for path in (a, b)]
        if kinds[0] != kinds[1]:
            raise DataError(f"{b}: expected the same kind as {a}: two prototxts or two caffemodels")
        if kinds[0]:
            fields = diff_nets(read_net(a), read_net(b))
            same = not fields
            result = {"same": same, "fields": [asdict(one) for one in fields]}
        else:
            files = [{n: x.arrays for n, x in read_saved(path).items()} for path in (a, b)]
            blobs = diff_weights(*files)
            same = all(one.same for one in blobs)
            result = {"same": same, "blobs": [asdict(one) for one in blobs]}
    if as_json:
        print_json(result)
    elif same:
        click.echo("A and B are the same")
    elif kinds[0]:
        _print_fields(fields)
    else:
        _print_blobs(blobs)
    return 0


def _print_fields(fields: list[FieldDiff]) -> None:
    rows: list[list[Cell]] = [[one.layer, one.field, one.a, one.b] for one in fields]
    print_table(["layer", "field", "A", "B"], rows)


def _print_blobs(blobs: list[BlobDiff]) -> None:
    rows: list[list[Cell]] = []
    for one in blobs:
        row: list[Cell] = [one.layer, str(one.blob), _shapes(one), one.max_diff, one.mean_diff]
        row += [one.zero_a, one.zero_b]
        rows.append([*row, _change(one)])
    print_table(_COLUMNS, rows)


def _shapes(one: BlobDiff) -> str:
    a, b = ("x".join(map(str, s)) if s else s and "1" for s in (one.shape_a, one.shape_b))
    if one.shape_a is None:
        return f"{b}, only in B"
    if one.shape_b is None:
        return f"{a}, only in A"
    return str(a) if one.shape_a == one.shape_b else f"{a} -> {b}"


def _change(one: BlobDiff) -> str | None:
    if one.zero_a is None or one.zero_b is None:
        return None
    return f"{one.zero_b - one.zero_a:+.1f}"
