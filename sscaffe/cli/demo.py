"""See it all: train LeNet, make it structurally sparse, fine-tune it, time it."""

import itertools
from pathlib import Path
from typing import Any

import click

import sscaffe
from sscaffe.cli import options
from sscaffe.cli.flags import CaffeCommand
from sscaffe.cli.results import print_json, print_table
from sscaffe.demo import FULL, SHORT, Demo, DemoResult, digits, mnist
from sscaffe.errors import SscaffeError
from sscaffe.glog import logger
from sscaffe.timing import NetTiming

_EPILOG = "Example: sscaffe demo --mnist downloads/mnist"


@click.command(cls=CaffeCommand, short_help="See it all.", epilog=_EPILOG)
@click.option("--mnist", "mnist_dir", metavar="DIR", help="Has MNIST's idx files, to use instead.")
@click.option("--short", is_flag=True, help="A quarter of the iterations; worse, but quick.")
@click.option("--runs", default="runs", metavar="DIR", help="Where demo-001 and so on are made.")
@options.as_json
def command(mnist_dir: str | None, short: bool, runs: str, as_json: bool) -> int:
    """Train LeNet on handwritten digits, make it structurally sparse, fine-tune it, time it.

    Takes two minutes or less. Everything it makes is left in a folder of its own.
    """
    folder = _new_folder(Path(runs))

    def say(line: str) -> None:
        click.echo(line, err=as_json)

    handler = options.log_to_file(str(folder / "train.log"))
    try:
        data = mnist(Path(mnist_dir), folder) if mnist_dir else digits(folder)
        say(f"sscaffe {sscaffe.__version__} on {data.name}, seed 1701 -> {folder}/")
        result = Demo(data, folder, SHORT if short else FULL, say).run()
    finally:
        logger.removeHandler(handler)
        handler.close()
    if as_json:
        print_json(summary(result))
    else:
        _print(result)
    return 0


def _new_folder(runs: Path) -> Path:
    """Make the first of demo-001, demo-002, ... that is not there yet."""
    for number in itertools.count(1):
        folder = runs / f"demo-{number:03}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            if not runs.is_dir():
                raise SscaffeError(f"runs: {runs} is a file; give a folder with --runs") from None
            continue
        except OSError as error:
            raise SscaffeError(f"runs: {folder} cannot be made: {error.strerror}") from error
        return folder
    raise AssertionError


def summary(result: DemoResult) -> dict[str, Any]:
    """Return the figures of a demo, for JSON."""
    before, after = result.stages[0], result.stages[-1]
    batch = result.batch
    return {
        "folder": str(result.folder),
        "seconds": result.seconds,
        "accuracy_before": before.accuracy,
        "accuracy_after": after.accuracy,
        "macs_dense": result.sparse.macs // batch,
        "macs_kept": result.sparse.kept_macs // batch,
        "kept": {name: list(kept) for name, kept in after.kept.items()},
        "forward_ms_dense": result.dense.forward.median,
        "forward_ms_ccnmm": result.sparse.forward.median,
        "batch": batch,
        "pictures": [str(path) for path in result.pictures],
    }


def _print(result: DemoResult) -> None:
    rows = [(*row, row[1] / row[2]) for row in _times(result.dense, result.sparse)]
    title = f"forward pass of {result.batch} images, ms, measured here in turns"
    print_table(["layer", "dense", "LOWERED_CCNMM", "ratio"], rows, title=title)
    figures = summary(result)
    columns = result.stages[0].kept["conv2"][1]
    click.echo(
        f"before -> after: accuracy {figures['accuracy_before']:.2f} -> "
        f"{figures['accuracy_after']:.2f} %, multiply-adds an image "
        f"{figures['macs_dense']:,} -> {figures['macs_kept']:,}, "
        f"conv2 columns {columns} -> {figures['kept']['conv2'][1]}, "
        f"time {figures['forward_ms_dense']:.2f} -> {figures['forward_ms_ccnmm']:.2f} ms"
    )
    click.echo(f"{result.seconds:.0f} s; pictures: " + " ".join(figures["pictures"]))


def _times(dense: NetTiming, sparse: NetTiming) -> list[tuple[str, float, float]]:
    pairs = zip(dense.layers, sparse.layers, strict=True)
    rows = [(d.name, d.forward.median, s.forward.median) for d, s in pairs if d.macs]
    return [*rows, ("whole net", dense.forward.median, sparse.forward.median)]
