"""The flags that several commands share, and what they stand for."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

import click

from sscaffe.device import Device, cpu, gpu
from sscaffe.errors import SscaffeError
from sscaffe.log import GlogFormatter, log_to_stderr, logger
from sscaffe.net import Net

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def model(help_text: str = "The net: a prototxt.") -> Decorator:
    """Add ``--model``."""
    return click.option("--model", required=True, metavar="FILE", help=help_text)


def weights(*, required: bool) -> Decorator:
    """Add ``--weights``, a list with commas."""
    text = "Trained weights: caffemodels, with commas between them."
    if required:
        return click.option("--weights", required=True, metavar="FILES", help=text)
    return click.option("--weights", default="", metavar="FILES", help=text)


def gpu_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--gpu``."""
    text = "Which GPU to use; this version has none to offer."
    return click.option("--gpu", default="", metavar="NUMBER", help=text)(function)


def net_state(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--level`` and ``--stage``, which choose layers by their include and exclude rules."""
    stage = click.option("--stage", default="", metavar="NAMES", help="Stages, with commas.")
    level = click.option("--level", default=0, metavar="NUMBER", help="Level of the net.")
    return stage(level(function))


def allow_python(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--allow-python-layers``."""
    text = "Let layers of type Python run their code."
    return click.option("--allow-python-layers", "allow_python", is_flag=True, help=text)(function)


def as_json(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--json``."""
    text = "Print the results as JSON."
    return click.option("--json", "as_json", is_flag=True, help=text)(function)


def split(names: str) -> list[str]:
    """Split a list with commas, such as that of ``--weights``."""
    return [name.strip() for name in names.split(",") if name.strip()]


def device(gpu_number: str) -> Device:
    """Return what ``--gpu`` asks for.

    Raises
    ------
    UnsupportedError
        If a GPU was asked for.
    """
    numbers = split(gpu_number)
    return gpu(int(numbers[0]) if numbers[0].isdigit() else 0) if numbers else cpu()


def open_net(
    *,
    model: Any,
    phase: int,
    weights: str,
    level: int,
    stage: str,
    gpu: str,
    source: str = "",
    allow_python: bool = False,
) -> Net:
    """Build the net that the shared flags describe.

    Parameters
    ----------
    model : str or NetParameter
        The prototxt, or what was read from it; then `source` is its name.
    phase : int
        TRAIN or TEST.
    weights, level, stage, gpu, allow_python
        As the flags of these names.

    Raises
    ------
    SscaffeError
        If the net cannot be built, or its weights cannot be loaded.
    """
    return Net(
        model,
        phase,
        level=level,
        stages=split(stage),
        weights=split(weights),
        device=device(gpu),
        source=source,
        allow_python=allow_python,
    )


@contextlib.contextmanager
def logged(path: str = "") -> Iterator[None]:
    """Log to stderr, and to a file if there is one, until the command ends."""
    handlers: list[logging.Handler] = [log_to_file(path)] if path else []
    handlers.append(log_to_stderr())
    try:
        yield
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()


def log_to_file(path: str) -> logging.Handler:
    """Append log lines to a file, in glog's form.

    Raises
    ------
    SscaffeError
        If the file cannot be written.
    """
    try:
        handler = logging.FileHandler(path)
    except OSError as error:
        raise SscaffeError(f"log: {path} cannot be written: {error.strerror}") from error
    handler.setFormatter(GlogFormatter())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    return handler
