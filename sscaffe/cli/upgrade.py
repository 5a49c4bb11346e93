"""Write a net, a caffemodel or a solver in the form of today."""

from enum import StrEnum
from pathlib import Path

import click
from google.protobuf.message import Message

from sscaffe.cli import options
from sscaffe.cli.flags import CaffeCommand
from sscaffe.cli.results import print_json, print_table
from sscaffe.errors import PrototxtError, SscaffeError
from sscaffe.glog import logger
from sscaffe.proto import caffe_pb2
from sscaffe.prototxt import parse_net, parse_solver, read_text, write_text
from sscaffe.serialized import is_hdf5, is_text, read_binary, write_binary
from sscaffe.upgrade import upgrade_net, upgrade_solver

_EPILOG = "Example: sscaffe upgrade old.prototxt new.prototxt"


class Kind(StrEnum):
    """What a file holds."""

    NET = "net"
    CAFFEMODEL = "caffemodel"
    SOLVER = "solver"


_KINDS = [str(kind) for kind in Kind]


@click.command(cls=CaffeCommand, short_help="Upgrade old files.", epilog=_EPILOG)
@click.argument("source", metavar="IN")
@click.argument("target", metavar="[OUT]", default="")
@click.option("--kind", type=click.Choice(_KINDS), help="Of IN; by default, its content tells.")
@click.option("--in-place", is_flag=True, help="Write to IN itself.")
@options.as_json
def command(source: str, target: str, kind: str | None, in_place: bool, as_json: bool) -> int:
    """Write the net, caffemodel or solver in IN to OUT, in the form of today.

    Any command reads files of any form; other programs may not.
    """
    if in_place == bool(target):
        raise click.UsageError("OUT: expected either OUT or --in-place")
    if not in_place and _is_same(source, target):
        raise click.UsageError(f"OUT: expected another file than IN, got {target}; or --in-place")
    target = target or source
    with options.logged():
        found = Kind(kind) if kind else kind_of(source)
        upgraded = _upgrade(source, target, found)
    if as_json:
        print_json({"kind": found, "written": target, "upgraded": upgraded})
    else:
        print_table(["kind", "written", "upgraded"], [(found, target, "yes" if upgraded else "no")])
    return 0


def kind_of(path: str) -> Kind:
    """Tell from a file's content what it holds.

    Raises
    ------
    SscaffeError
        If it is not one of the kinds that can be upgraded.
    """
    if is_hdf5(path):
        raise SscaffeError(
            f"{path}: expected another kind of file, as HDF5 files have one form only"
        )
    if not is_text(path):
        return Kind.CAFFEMODEL
    content = read_text(path)
    try:
        parse_net(content, path)
    except PrototxtError as error:
        try:
            parse_solver(content, path)
        except PrototxtError as other:
            # The reader that came further knows better what the file was meant to be.
            raise max((error, other), key=lambda e: (e.line or 0, e.column or 0)) from None
        return Kind.SOLVER
    return Kind.NET


def _upgrade(source: str, target: str, kind: Kind) -> bool:
    """Read, upgrade and write; tell whether there was anything to upgrade."""
    old: Message
    new: Message
    if kind is Kind.SOLVER:
        old = solver = parse_solver(read_text(source), source)
        new = upgrade_solver(solver, source)
    else:
        old = net = _read_net(source, kind)
        new = upgrade_net(net, source)
    if new is old:
        logger.warning("File already in latest proto format: %s", source)
    write, form = (write_binary, "binary") if kind is Kind.CAFFEMODEL else (write_text, "text")
    write(target, new)
    logger.info("Wrote upgraded %s %s proto to %s", new.DESCRIPTOR.name, form, target)
    return new is not old


def _read_net(path: str, kind: Kind) -> caffe_pb2.NetParameter:
    if kind is Kind.CAFFEMODEL:
        return read_binary(path, caffe_pb2.NetParameter)
    return parse_net(read_text(path), path)


def _is_same(one: str, other: str) -> bool:
    paths = Path(one), Path(other)
    return all(path.exists() for path in paths) and paths[0].samefile(paths[1])
