"""The flags that several commands share, and what they stand for."""

import contextlib
import difflib
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np

from sscaffe.data.sources import leveldb_refusal
from sscaffe.device import Device, allow_tf32, cpu, gpu, gpu_count
from sscaffe.errors import SscaffeError, UnsupportedError
from sscaffe.glog import GlogFormatter, log_to_stderr, logger
from sscaffe.net import Net
from sscaffe.net.modes import CONV_MODES, set_conv_mode
from sscaffe.parallel.world import World
from sscaffe.prototxt import read_net

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
    text = "Compute on this GPU, such as 0; on the CPU by default."
    return click.option("--gpu", default="", metavar="NUMBER", help=text)(function)


def tf32(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--tf32``."""
    text = "Let the GPU round float32 to 10 bits in products: faster, less exact."
    return click.option("--tf32", is_flag=True, help=text)(function)


def net_state(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--level`` and ``--stage``, which choose layers by their include and exclude rules."""
    stage = click.option("--stage", default="", metavar="NAMES", help="Stages, with commas.")
    level = click.option("--level", default=0, metavar="NUMBER", help="Level of the net.")
    return stage(level(function))


def shape(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--shape``."""
    text = "Of an image, channels,height,width, where data that would tell are not there."
    return click.option("--shape", metavar="C,H,W", help=text)(function)


def allow_python(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--allow-python-layers``."""
    text = "Let layers of type Python run their code."
    return click.option("--allow-python-layers", "allow_python", is_flag=True, help=text)(function)


def as_json(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--json``."""
    text = "Print the results as JSON."
    return click.option("--json", "as_json", is_flag=True, help=text)(function)


def conv_mode(of: str = "every convolution") -> Decorator:
    """Add ``--conv_mode``."""
    text = f"For {of}, whatever the prototxt says: {', '.join(CONV_MODES)}."
    return click.option("--conv_mode", metavar="MODE", callback=_known_mode, help=text)


def _known_mode(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is None or value.upper() in CONV_MODES:
        return value and value.upper()
    near = difflib.get_close_matches(value.upper(), CONV_MODES, 1)
    hint = f"; {near[0]} is the nearest" if near else ""
    raise click.UsageError(
        f"--conv_mode: expected one of {', '.join(CONV_MODES)}, got {value!r}{hint}", ctx
    )


def backend(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--backend``, for which there is one choice."""
    text = "Kind of database: lmdb."
    return click.option("--backend", default="lmdb", metavar="KIND", help=text)(function)


def check_backend(kind: str, *others: str) -> None:
    """Refuse a kind of database that is neither LMDB nor one of the others.

    Raises
    ------
    SscaffeError
        If so.
    """
    kinds = ["lmdb", *others]
    if kind.lower() == "leveldb":
        raise leveldb_refusal(f"backend: expected {' or '.join(kinds)}, got {kind}")
    if kind.lower() not in kinds:
        raise SscaffeError(f"backend: expected {' or '.join(kinds)}, got {kind!r}")


def force(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--force``."""
    text = "Replace what is there."
    return click.option("--force", is_flag=True, help=text)(function)


def require_new(path: str | os.PathLike[str], *, force: bool) -> None:
    """Refuse to write where something is, if ``--force`` does not allow it.

    Raises
    ------
    SscaffeError
        If something is there, or the folder it would be in is not.
    """
    target = Path(path)
    if target.exists() and not force:
        raise SscaffeError(f"{path}: is there already; choose another name, or add --force")
    if not target.absolute().parent.is_dir():
        raise SscaffeError(f"{path}: there is no folder {target.parent}; make it first")


def split(names: str) -> list[str]:
    """Split a list with commas, such as that of ``--weights``."""
    return [name.strip() for name in names.split(",") if name.strip()]


def image_shape(text: str | None) -> tuple[int, int, int] | None:
    """Return channels, height and width of ``--shape``; None if it is not given."""
    if text is None:
        return None
    sizes = split(text.replace("x", ","))
    if len(sizes) != 3 or not all(size.isdigit() and int(size) for size in sizes):
        raise click.UsageError(f"--shape: expected channels,height,width, got {text!r}")
    channels, height, width = map(int, sizes)
    return channels, height, width


def positive(flag: str, text: str, otherwise: str = "") -> float:
    """Return the number above 0, in single precision too, that a flag asks for.

    `otherwise` says what else it may be.

    Raises
    ------
    SscaffeError
        If it is no such number.
    """
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    least, most = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
    if not least <= value <= most:
        words = f"a number above 0 {otherwise}".rstrip()
        raise SscaffeError(f"{flag}: expected {words}, got {text!r}")
    return value


def gpu_number(text: str) -> int | None:
    """Return the number of the GPU that ``--gpu`` asks for; None for the CPU.

    Raises
    ------
    UnsupportedError
        If it asks for several GPUs.
    """
    numbers = split(text)
    if not numbers:
        return None
    if numbers == ["all"]:
        count = gpu_count()
        if count > 1:
            raise UnsupportedError(f"--gpu all: {count} GPUs are here; {_ONE_GPU}")
        return 0
    if len(numbers) > 1:
        raise UnsupportedError(f"--gpu {text}: {_ONE_GPU}")
    if not numbers[0].isdigit():
        raise click.UsageError(f"--gpu: expected the number of a GPU, got {text!r}")
    return int(numbers[0])


_ONE_GPU = "sscaffe computes on one GPU only; name it by its number, such as --gpu 0"
_ONE_GPU += ", or train with mpiexec -n and --gpu all, which gives each process one"


def device(gpu_text: str, *, tf32: bool = False) -> Device:
    """Return what ``--gpu`` asks for; the CPU if that is nothing.

    Parameters
    ----------
    gpu_text : str
        The flag.
    tf32 : bool
        Whether ``--tf32`` is given.

    Raises
    ------
    UnsupportedError
        If there is no such GPU, or it asks for several.
    """
    index = gpu_number(gpu_text)
    if index is None:
        if tf32:
            raise click.UsageError("--tf32: expected with --gpu: it says how a GPU computes")
        return cpu()
    place = gpu(index)
    allow_tf32(tf32)
    return place


def open_net(
    *,
    model: Any,
    phase: int,
    weights: str,
    level: int,
    stage: str,
    gpu: str,
    source: str = "",
    conv_mode: str | None = None,
    allow_python: bool = False,
    tf32: bool = False,
) -> Net:
    """Build the net that the shared flags describe.

    Parameters
    ----------
    model : str or NetParameter
        The prototxt, or what was read from it; then `source` is its name.
    phase : int
        TRAIN or TEST.
    weights, level, stage, gpu, conv_mode, allow_python, tf32
        As the flags of these names.

    Raises
    ------
    SscaffeError
        If the net cannot be built, or its weights cannot be loaded.
    """
    if conv_mode is not None:
        if isinstance(model, str):
            model, source = read_net(model), model
        set_conv_mode(model, conv_mode)
    return Net(
        model,
        phase,
        level=level,
        stages=split(stage),
        weights=split(weights),
        device=device(gpu, tf32=tf32),
        source=source,
        allow_python=allow_python,
    )


@contextlib.contextmanager
def logged(path: str = "", world: World | None = None) -> Iterator[None]:
    """Log to stderr, and to a file if there is one, until the command ends.

    Of several ranks, rank 0 does; the others only warn, and say who they are.
    """
    speaks = world is None or world.is_first
    handlers: list[logging.Handler] = [log_to_file(path)] if path and speaks else []
    handlers.append(log_to_stderr())
    if world is not None and not speaks:
        handlers[0].setLevel(logging.WARNING)
        handlers[0].setFormatter(GlogFormatter(f"rank {world.rank}: "))
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
