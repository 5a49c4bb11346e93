"""Write what a trained net makes of its data."""

from typing import Any

import click

from sscaffe.cli import options
from sscaffe.cli.flags import CaffeCommand
from sscaffe.cli.results import print_json, print_table
from sscaffe.features import KINDS, extract_features
from sscaffe.layer import TEST
from sscaffe.progress import progress

_WORDS = ("weights", "model", "blobs", "to", "batches", "db_type", "mode", "gpu")
_USAGE = "WEIGHTS MODEL BLOB[,BLOB] DB[,DB] NUM_BATCHES [DB_TYPE [CPU|GPU [DEVICE_ID]]]"
_EPILOG = (
    "Example: sscaffe extract_features lenet.caffemodel lenet_train_test.prototxt ip1 ip1_lmdb "
    "100 lmdb"
)


@click.command(cls=CaffeCommand, short_help="Write features.", epilog=_EPILOG)
@click.argument("words", nargs=-1, metavar=_USAGE)
@click.option("--weights", metavar="FILES", help="Trained weights, with commas.")
@click.option("--model", metavar="FILE", help="The net, with a data layer.")
@click.option("--blobs", metavar="NAMES", help="What to write, with commas.")
@click.option("--to", metavar="NAMES", help="A database or file for each blob, with commas.")
@click.option("--batches", metavar="N", help="How many times to run the net.")
@click.option("--db_type", metavar="KIND", help="lmdb, or hdf5; lmdb by default.")
@click.option("--gpu", metavar="NUMBER", help="Compute on this GPU; on the CPU by default.")
@options.net_state
@options.allow_python
@options.force
@options.as_json
def command(words: tuple[str, ...], force: bool, as_json: bool, **flags: Any) -> int:
    """Run a trained net over its test data, and write some of its blobs.

    An LMDB gets a Datum of floats for each image, an HDF5 file a dataset of the blob's name. What
    to do may be said in Caffe's order, or by flags.
    """
    given = _given(words, flags)
    kind = (given["db_type"] or "lmdb").lower()
    options.check_backend(kind, *KINDS[1:])
    targets, batches = _targets(given), _number(given["batches"])
    with options.logged():
        for path in targets.values():
            options.require_new(path, force=force)
        shared = {name: flags[name] for name in ("level", "stage", "allow_python")}
        shared |= {name: given[name] or "" for name in ("model", "weights", "gpu")}
        with (
            options.open_net(phase=TEST, **shared) as net,
            progress(given["model"], 0, batches) as advance,
        ):
            shapes = extract_features(
                net, targets, batches, kind, lambda done: advance(done, "batches")
            )
    rows = [(name, targets[name], shape) for name, shape in shapes.items()]
    if as_json:
        print_json([{"blob": name, "to": path, "shape": shape} for name, path, shape in rows])
    else:
        print_table(["blob", "written to", "shape"], [(*row[:2], str(row[2])) for row in rows])
    return 0


def _given(words: tuple[str, ...], flags: dict[str, Any]) -> dict[str, Any]:
    """Return what was said by place or by name."""
    given = {name: flags.get(name) for name in _WORDS}
    if len(words) > len(_WORDS):
        raise click.UsageError(f"expected {_USAGE}, got {len(words)} words")
    for name, word in zip(_WORDS, words, strict=False):
        if given[name] is not None:
            raise click.UsageError(f"{name}: expected one, got {word} and {given[name]}")
        given[name] = word
    missing = [name for name in _WORDS[:5] if not given[name]]
    if missing:
        raise click.UsageError(f"{missing[0]}: expected --{missing[0]}, or {_USAGE}")
    mode = (given["mode"] or "CPU").upper()
    if mode not in ("CPU", "GPU"):
        raise click.UsageError(f"expected CPU or GPU, got {given['mode']}")
    if mode == "GPU":
        given["gpu"] = (given["gpu"] or "0").removeprefix("DEVICE_ID=")
    elif words[7:]:
        given["gpu"] = ""  # a number that Caffe does not read either
    return given


def _targets(given: dict[str, Any]) -> dict[str, str]:
    names, paths = options.split(given["blobs"]), options.split(given["to"])
    if len(names) != len(paths) or len(set(names)) != len(names) or len(set(paths)) != len(paths):
        raise click.UsageError(
            f"to: expected as many different names as blobs, got {', '.join(paths)} "
            f"for {', '.join(names)}"
        )
    return dict(zip(names, paths, strict=True))


def _number(batches: str) -> int:
    if not batches.isdecimal() or not int(batches):
        raise click.UsageError(f"batches: expected 1 or more, got {batches}")
    return int(batches)
