"""Write the prototxts of well-known nets."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from sscaffe.cli import options
from sscaffe.cli.flags import CaffeCommand, CaffeGroup
from sscaffe.cli.results import print_json, print_table
from sscaffe.files import write_atomically
from sscaffe.generate import (
    Model,
    alexnet,
    caffenet,
    files_of,
    googlenet,
    resnet,
    squeezenet,
    vgg16,
)

_EPILOG = "Example: sscaffe generate resnet --n 3 --learn-depth --to models/resnet20"

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


@click.group(cls=CaffeGroup, short_help="Write the prototxts of well-known nets.", epilog=_EPILOG)
def command() -> None:
    """Write the prototxts of a well-known net: for training, for SSL, for fine-tuning, for use."""


def _written(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that every net has."""
    function = options.force(options.as_json(function))
    return click.option("--to", "target", required=True, metavar="DIR", help="Gets the files.")(
        function
    )


@command.command("resnet", cls=CaffeCommand, short_help="Residual nets for CIFAR-10.")
@click.option("--n", default=3, metavar="N", help="Blocks of each width; 3 for ResNet-20.")
@click.option("--learn-depth", is_flag=True, help="Write SSL of the depth, too.")
@click.option(
    "--iterations", default=64_000, metavar="N", help="Of the baseline; 64000 by default."
)
@_written
def _resnet(
    n: int, learn_depth: bool, iterations: int, target: str, force: bool, as_json: bool
) -> int:
    """Write a residual net of 6 N + 2 layers for CIFAR-10 (He et al., 2016)."""
    model = resnet(n, learn_depth=learn_depth, iterations=iterations)
    return _write(model, target, force=force, as_json=as_json)


@command.command("squeezenet", cls=CaffeCommand, short_help="SqueezeNet.")
@click.option("--version", default="1.1", metavar="V", help="1.0 or 1.1, the default.")
@_written
def _squeezenet(version: str, target: str, force: bool, as_json: bool) -> int:
    """Write SqueezeNet (Iandola et al., 2016)."""
    return _write(squeezenet(version), target, force=force, as_json=as_json)


def _add(name: str, make: Callable[[], Model], help_text: str) -> None:
    """Add a net that has no options of its own."""

    @command.command(name, cls=CaffeCommand, short_help=help_text, help=f"Write {help_text}")
    @_written
    def write(target: str, force: bool, as_json: bool) -> int:
        return _write(make(), target, force=force, as_json=as_json)


_add("caffenet", caffenet, "CaffeNet (Krizhevsky et al., 2012, as Caffe trains it).")
_add("alexnet", alexnet, "AlexNet (Krizhevsky et al., 2012).")
_add("googlenet", googlenet, "GoogLeNet (Szegedy et al., 2015).")
_add("vgg16", vgg16, "VGG-16 (Simonyan and Zisserman, 2015).")


def _write(model: Model, target: str, *, force: bool, as_json: bool) -> int:
    with options.logged():
        paths = {Path(target, name): text for name, text in files_of(model, target).items()}
        Path(target).mkdir(parents=True, exist_ok=True)
        for path in paths:
            options.require_new(path, force=force)
        for path, text in paths.items():
            write_atomically(path, text.encode())
    made = [str(path) for path in paths]
    print_json({"made": made}) if as_json else print_table(["made"], [(name,) for name in made])
    return 0
