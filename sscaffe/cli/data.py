"""Make databases of well-known data sets."""

from pathlib import Path

import click

from sscaffe.cli import options
from sscaffe.cli.flags import CaffeGroup
from sscaffe.cli.results import print_json, print_table

_EPILOG = "Example: sscaffe data mnist --from downloads/mnist --to data/mnist"
_CIFAR = "Example: sscaffe data cifar10 --from downloads/cifar10 --to data/cifar10 --pad 4"


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
    _show_made(target, as_json=as_json)
    return 0


@command.command(short_help="CIFAR-10, from its binary batches or from image files.", epilog=_CIFAR)
@click.option("--from", "source", required=True, metavar="DIR", help="Has the batches or images.")
@click.option("--to", "target", required=True, metavar="DIR", help="Gets the databases.")
@click.option("--pad", default=0, metavar="N", help="Make images with a border of N, too.")
@options.as_json
def cifar10(source: str, target: str, pad: int, as_json: bool) -> int:
    """Turn CIFAR-10 into LMDBs and a mean image, in the order red, green, blue.

    DIR has data_batch_1.bin to data_batch_5.bin and test_batch.bin, or train/CLASS/ and
    test/CLASS/ with a file for each image.
    """
    from sscaffe.data.cifar10 import convert_cifar10

    with options.logged():
        convert_cifar10(Path(source), Path(target), pad)
    _show_made(target, as_json=as_json)
    return 0


def _show_made(target: str, *, as_json: bool) -> None:
    made = sorted(str(path) for path in Path(target).iterdir())
    print_json({"made": made}) if as_json else print_table(["made"], [(name,) for name in made])
