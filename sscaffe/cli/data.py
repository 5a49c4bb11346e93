"""Make databases of well-known data sets."""

from pathlib import Path

import click

from sscaffe.cli import options
from sscaffe.cli.flags import CaffeGroup
from sscaffe.cli.results import print_json, print_table

_EPILOG = "Example: sscaffe data mnist --from downloads/mnist --to data/mnist"


@click.group(cls=CaffeGroup, short_help="Make databases.", epilog=_EPILOG)
def command() -> None:
    """Make databases of well-known data sets, for Data layers to read."""


@command.command(short_help="MNIST, from its four idx files.", epilog=_EPILOG)
@click.option("--from", "source", required=True, metavar="DIR", help="Has the idx files.")
@click.option("--to", "target", required=True, metavar="DIR", help="Gets the databases.")
@options.as_json
def mnist(source: str, target: str, as_json: bool) -> int:
    """Turn the four idx files of MNIST, packed or not, into two LMDBs and a mean image."""
    from sscaffe.data.mnist import convert_mnist

    with options.logged():
        convert_mnist(Path(source), Path(target))
    made = sorted(str(path) for path in Path(target).iterdir())
    print_json({"made": made}) if as_json else print_table(["made"], [(name,) for name in made])
    return 0
