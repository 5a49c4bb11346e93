"""Make a database of image files and their labels."""

from pathlib import Path
from typing import Any

import click

from sscaffe.cli import options
from sscaffe.cli.flags import CaffeCommand
from sscaffe.cli.results import print_json, print_table
from sscaffe.data.convert import Conversion, Converted, convert_images, shuffled
from sscaffe.data.image_list import Entry, read_image_list
from sscaffe.errors import SscaffeError
from sscaffe.glog import logger
from sscaffe.progress import progress

_EPILOG = (
    "Example: sscaffe convert_imageset --shuffle --resize_height 256 --resize_width 256 "
    "images/ train.txt train_lmdb"
)


@click.command(cls=CaffeCommand, short_help="Make a database of images.", epilog=_EPILOG)
@click.argument("root", metavar="ROOTFOLDER/")
@click.argument("listfile")
@click.argument("target", metavar="DB_NAME")
@click.option("--gray", is_flag=True, help="Store one channel.")
@click.option("--shuffle", is_flag=True, help="Store the images in random order.")
@click.option("--seed", default=1701, metavar="N", help="Of --shuffle; 1701 by default.")
@click.option("--resize_height", default=0, metavar="N", help="Height that images are resized to.")
@click.option("--resize_width", default=0, metavar="N", help="Width that images are resized to.")
@click.option("--check_size", is_flag=True, help="Refuse images of different sizes.")
@click.option("--encoded", is_flag=True, help="Store image files, not pixels.")
@click.option("--encode_type", default="", metavar="KIND", help="Of --encoded: jpg, png ...")
@click.option("--skip_unreadable", is_flag=True, help="Leave out images that cannot be read.")
@options.backend
@options.force
@options.as_json
def command(
    root: str,
    listfile: str,
    target: str,
    shuffle: bool,
    seed: int,
    backend: str,
    force: bool,
    as_json: bool,
    **flags: Any,
) -> int:
    """Make an LMDB of image files and their labels, for Data layers to read.

    LISTFILE has a line for each image: its name, which ROOTFOLDER/ is put before, a space, and
    its label.
    """
    options.check_backend(backend)
    conversion = _conversion(**flags)
    with options.logged():
        options.require_new(target, force=force)
        entries = read_image_list(Path(listfile))
        if shuffle:
            logger.info("Shuffling data")
            entries = shuffled(entries, seed)
        logger.info("A total of %d images.", len(entries))
        made = _convert(entries, root, target, conversion)
    _print(target, made, as_json)
    return 0


def _conversion(resize_height: int, resize_width: int, **flags: Any) -> Conversion:
    if (resize_height > 0) != (resize_width > 0):
        raise SscaffeError("resize_height, resize_width: expected both or neither, got one")
    size = (resize_height, resize_width) if resize_height > 0 else None
    return Conversion(size=size, **flags)


def _convert(entries: list[Entry], root: str, target: str, conversion: Conversion) -> Converted:
    with progress(target, 0, len(entries)) as advance:
        return convert_images(
            entries, root, target, conversion, lambda done: advance(done, "images")
        )


def _print(target: str, made: Converted, as_json: bool) -> None:
    if as_json:
        shapes = sorted(made.shapes)
        figures = {"images": made.count, "shapes": shapes, "skipped": made.skipped}
        print_json({"database": target, **figures})
        return
    shape = str(next(iter(made.shapes))) if len(made.shapes) == 1 else f"{len(made.shapes)} shapes"
    print_table(
        ["database", "images", "shape", "skipped"], [(target, made.count, shape, len(made.skipped))]
    )
