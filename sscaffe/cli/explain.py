"""Show what the groups of a net are."""

from dataclasses import asdict

import click

from sscaffe.cli import options
from sscaffe.cli.flags import CaffeCommand
from sscaffe.cli.results import Cell, print_json, print_table
from sscaffe.errors import DataError
from sscaffe.explain import Explanation, as_list, explain
from sscaffe.layer import TRAIN
from sscaffe.net import Net
from sscaffe.proto import caffe_pb2
from sscaffe.prototxt import read_net
from sscaffe.timing import stand_in_for_missing_data

_EPILOG = "Example: sscaffe explain lenet_ssl_train_test.prototxt"
_MATRIX = ["layer", "type", "weights", "conv\ngroups", "columns of\na channel", "ydimen may be"]
_MATRIX.append("xdimen may be")
_GROUPS = ["layer", "group", "ydimen x xdimen", "groups", "mult", "a group is", "note"]


@click.command(cls=CaffeCommand, short_help="Show the groups of a net.", epilog=_EPILOG)
@click.argument("net")
@options.shape
@options.as_json
def command(net: str, shape: str | None, as_json: bool) -> int:
    """Show the weight matrix of each layer of NET, and the groups that its group lasso makes.

    A row of the matrix is a filter or neuron, a column one weight of all filters, input channel by
    input channel. ydimen and xdimen, the rows and columns of a group, divide its sides.
    """
    with options.logged():
        state = caffe_pb2.NetState(phase=caffe_pb2.TRAIN)
        image = options.image_shape(shape)
        param = stand_in_for_missing_data(read_net(net), image, state=state)
        with Net(param, TRAIN, source=net) as built:
            found = explain(built)
        if not found:
            raise DataError(f"{net}: expected layers with a weight matrix, got none")
    if as_json:
        print_json({"layers": [asdict(one) for one in found]})
    else:
        _print(found)
    return 0


def _print(found: list[Explanation]) -> None:
    rows: list[list[Cell]] = []
    groups: list[list[Cell]] = []
    for one in found:
        row: list[Cell] = [one.layer, one.type, f"{one.rows} x {one.columns}", one.conv_groups]
        rows.append([*row, one.kernel_count, as_list(one.ydimens), as_list(one.xdimens)])
        for group in one.groups:
            row = [one.layer, group.kind, f"{group.ydimen} x {group.xdimen}", group.count]
            groups.append([*row, group.strength, group.is_a, group.note])
    print_table(_MATRIX, rows)
    click.echo()
    if groups:
        print_table(_GROUPS, groups)
    else:
        click.echo("no layer has groups; `sscaffe init` adds them")
