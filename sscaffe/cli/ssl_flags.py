"""Flags of the commands that make nets sparse."""

from collections.abc import Callable
from typing import Any

import click

from sscaffe.ssl import KINDS


def kinds(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--ssl``; the kinds may be written as prototxts have them, too."""
    return click.option(
        "--ssl",
        "kinds",
        required=True,
        metavar="KINDS",
        callback=lambda ctx, param, value: value.lower(),
        help=f"{', '.join(KINDS)}.",
    )(function)
