"""Make tables of the log of a training."""

import csv
import io
from datetime import datetime
from pathlib import Path

import click

from sscaffe.cli import options
from sscaffe.cli.flags import CaffeCommand
from sscaffe.cli.results import print_json, print_table
from sscaffe.errors import DataError
from sscaffe.files import write_atomically
from sscaffe.training_log import Row, TrainingLog, columns, parse_training_log

_EPILOG = "Example: sscaffe parse-log train.log tables"


@click.command(cls=CaffeCommand, short_help="Make tables of a log.", epilog=_EPILOG)
@click.argument("logfile")
@click.argument("output_dir", default=".")
@click.option("--delimiter", default=",", metavar="C", help="Between columns; a comma by default.")
@click.option("--verbose", is_flag=True, help="As ever: the files are always listed.")
@options.force
@options.as_json
def command(
    logfile: str, output_dir: str, delimiter: str, verbose: bool, force: bool, as_json: bool
) -> int:
    """Make tables of the log of a training by Caffe, its sparse fork or sscaffe.

    Written to OUTPUT_DIR, as CSV: LOGFILE.train, LOGFILE.test (and .test1 for the next test net),
    and LOGFILE.sparsity, the zeros of each weight matrix over time.
    """
    if len(delimiter) != 1:
        raise click.UsageError(f"delimiter: expected one character, got {delimiter!r}")
    tables = _tables(Path(logfile))
    folder, name = Path(output_dir), Path(logfile).name
    files = {folder / f"{name}.{suffix}": rows for suffix, rows in tables.items()}
    for path in files:
        options.require_new(path, force=force)
    for path, rows in files.items():
        write_atomically(path, _csv(rows, delimiter))
    if as_json:
        print_json({"files": [str(path) for path in files], **tables})
    else:
        lines = [(str(path), len(rows), len(columns(rows))) for path, rows in files.items()]
        print_table(["made", "rows", "columns"], lines)
    return 0


def _tables(path: Path) -> dict[str, list[Row]]:
    """Return the tables that are not empty, by the suffix of their file."""
    log = _read(path)
    tests = {f"test{number or ''}": rows for number, rows in sorted(log.test.items())}
    tables = {"train": log.train, **tests, "sparsity": log.sparsity}
    tables = {suffix: rows for suffix, rows in tables.items() if rows}
    if not tables:
        raise DataError(
            f"{path}: expected the log of a training, with lines such as "
            "'Iteration 100, loss = 0.5', got none"
        )
    return tables


def _read(path: Path) -> TrainingLog:
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            year = datetime.fromtimestamp(path.stat().st_mtime).year
            return parse_training_log(lines, year)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def _csv(rows: list[Row], delimiter: str) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns(rows), delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
