"""Command lines: the flags of every command, in Caffe's spellings."""

import contextlib
import importlib
import io
import os

import click

from tests.fuzz.target import fuzz, instrumented

with instrumented():
    from sscaffe.cli import COMMANDS, commands


def parse(content: bytes) -> None:
    words = content.decode("utf-8", "replace").replace("\0", "").split("\n")
    command = commands.get_command(click.Context(commands), words[0])
    if command is None:
        return
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.suppress(click.ClickException, click.exceptions.Exit),
    ):
        command.make_context(words[0], words[1:])


if __name__ == "__main__":
    for name in COMMANDS:
        importlib.import_module(f"sscaffe.cli.{name}")
    os.chdir(os.path.sep)
    fuzz(parse, b"train\n-solver=a\n--weights\nb,c", b"time\n--model=a\n-iterations\n3")
