"""Results on stdout: a table for people, JSON for programs."""

import io
import json
import math
import sys
from collections.abc import Sequence
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table

# Only the headings and the last row are set off; ASCII, for terminals of every kind.
_LINES = box.Box("    \n    \n -- \n    \n -- \n    \n    \n    \n", ascii=True)

Cell = str | float | int | None


def print_json(value: Any) -> None:
    """Print a value as JSON; numbers that JSON has no word for become null."""
    click.echo(json.dumps(_finite(value), indent=2))


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    title: str = "",
    totals: Sequence[Sequence[Cell]] = (),
    digits: int = 4,
) -> None:
    """Print rows under their headings: text to the left, numbers to the right.

    Parameters
    ----------
    columns : sequence of str
        Headings, with the unit where there is one.
    rows : sequence of sequences
        The cells; None is written as a dash.
    title : str
        What stands above the table.
    totals : sequence of sequences
        Last rows, set off by a line.
    digits : int
        Of a number that is not whole.
    """
    table = Table(box=_LINES, pad_edge=False, padding=0)
    first = rows[0] if rows else columns
    for heading, cell in zip(columns, first, strict=True):
        table.add_column(heading, justify="left" if isinstance(cell, str) else "right")
    for row in rows:
        table.add_row(*(_text(cell, digits) for cell in row))
    if totals:
        table.add_section()
    for row in totals:
        table.add_row(*(_text(cell, digits) for cell in row))
    # Whoever reads a pipe has no width; a table that is cut there loses its numbers.
    width = None if sys.stdout.isatty() else 10_000
    text = io.StringIO()
    Console(file=text, width=width, markup=False, highlight=False).print(table)
    if title:
        click.echo(title)
    click.echo("\n".join(line.rstrip() for line in text.getvalue().rstrip().split("\n")))


def shortened(text: str, width: int) -> str:
    """Return a text that is not longer than `width`."""
    return text if len(text) <= width else text[: width - 2] + ".."


def _text(cell: Cell, digits: int) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:.{digits}g}" if abs(cell) < 10**digits else f"{cell:.0f}"
    return str(cell)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
