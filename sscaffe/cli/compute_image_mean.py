"""Compute the mean image of a database."""

from pathlib import Path

import click

from sscaffe.cli import options
from sscaffe.cli.flags import CaffeCommand
from sscaffe.cli.results import print_json, print_table
from sscaffe.data.mean import image_mean, mean_to_proto
from sscaffe.data.sources import LmdbSource
from sscaffe.glog import logger
from sscaffe.progress import progress
from sscaffe.serialized import write_binary

_EPILOG = "Example: sscaffe compute_image_mean train_lmdb mean.binaryproto"


@click.command(cls=CaffeCommand, short_help="Compute the mean image.", epilog=_EPILOG)
@click.argument("source", metavar="INPUT_DB")
@click.argument("target", metavar="[OUTPUT_FILE]", default="")
@options.backend
@options.force
@options.as_json
def command(source: str, target: str, backend: str, force: bool, as_json: bool) -> int:
    """Compute the mean image of an LMDB, print the mean of each channel, and write the image.

    OUTPUT_FILE is what a transform_param takes as mean_file; nothing is written without it.
    """
    options.check_backend(backend)
    with options.logged():
        if target:
            options.require_new(target, force=force)
        images = LmdbSource(Path(source), keep=0)
        with progress(source, 0, images.record_count) as advance:
            mean = image_mean(images, lambda done: advance(done, "images"))
        if target:
            logger.info("Write to %s", target)
            write_binary(target, mean_to_proto(mean))
        channels = mean.mean(axis=(1, 2), dtype="float64").tolist()
        logger.info("Number of channels: %d", len(channels))
        for number, value in enumerate(channels):
            logger.info("mean_value channel [%d]: %g", number, value)
    if as_json:
        print_json({"file": target or None, "shape": mean.shape, "mean_value": channels})
    else:
        print_table(["channel", "mean_value"], [(str(i), mean) for i, mean in enumerate(channels)])
    return 0
