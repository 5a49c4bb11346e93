"""Make one HTML page of a training or a sweep."""

from pathlib import Path

import click

from sscaffe.cli import options
from sscaffe.cli.flags import CaffeCommand
from sscaffe.cli.results import print_json, print_table
from sscaffe.files import write_atomically
from sscaffe.report import collect, page

_EPILOG = "Example: sscaffe report runs/lenet --out lenet.html"


@click.command(cls=CaffeCommand, short_help="Make a page of a run.", epilog=_EPILOG)
@click.argument("run")
@click.option(
    "--out", default="report.html", metavar="FILE", help="The page; report.html if unset."
)
@options.force
@options.as_json
def command(run: str, out: str, force: bool, as_json: bool) -> int:
    """Make one HTML page of RUN, a folder or the log of a training; it needs nothing but itself.

    Shown is what the folder has: curves and zeros over time of each NAME.log, pictures of the
    newest caffemodel, the times of each layer from the output of `sscaffe time --json` in a .json
    file, and the trials of a sweep.
    """
    with options.logged():
        options.require_new(out, force=force)
        found = collect(Path(run))
        text = page(found).encode()
        write_atomically(Path(out), text)
    counts = {"logs": len(found.logs), "weights": len(found.weights)}
    counts |= {"timings": len(found.timings), "trials": len(found.trials)}
    if as_json:
        print_json({"report": out, "bytes": len(text), **counts})
    else:
        print_table(["made", *counts], [(out, *counts.values())])
    return 0
