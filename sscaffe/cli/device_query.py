"""Show what this machine can run, and what is missing."""

import os
import platform
import re
import sys
from importlib import metadata
from typing import Any

import click

import sscaffe
from sscaffe import machine
from sscaffe.cli import options
from sscaffe.cli.flags import CaffeCommand
from sscaffe.cli.results import print_json, print_table
from sscaffe.errors import UnsupportedError

_EPILOG = "Example: sscaffe device_query --json"
_REQUIREMENT = re.compile(r"""([\w.-]+)(\[[\w,.-]+\])?[^;]*;.*extra == ["'](\w+)["']""")


@click.command(cls=CaffeCommand, short_help="Show what this machine can run.", epilog=_EPILOG)
@options.as_json
def command(as_json: bool) -> int:
    """Show what this machine can run, and what is missing."""
    facts = _facts()
    extras = {name: _missing(packages) for name, packages in _extras().items()}
    if as_json:
        print_json({**facts, "missing_for_extra": extras})
        return 0
    print_table(["sscaffe", ""], [(name, str(value)) for name, value in facts.items()])
    rows = [
        (name, f'pip install "sscaffe[{name}]"  (missing: {", ".join(missing)})')
        if missing
        else (name, "installed")
        for name, missing in sorted(extras.items())
    ]
    print_table(["extra", ""], rows)
    return 0


def _facts() -> dict[str, Any]:
    core = _core()
    from sscaffe.kernels import cpu_blas

    onednn = core.onednn_version() if core.has_onednn else "none: own kernels only"
    return {
        "version": sscaffe.__version__,
        "python": platform.python_version(),
        "executable": sys.executable,
        "processor": machine.processor(),
        "instruction set": core.cpu_features(),
        "processors usable": len(os.sched_getaffinity(0)),
        "threads": core.get_num_threads(),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "not set"),
        "oneDNN": onednn,
        "matrix products": cpu_blas.description(),
        "numpy": metadata.version("numpy"),
        "protobuf": metadata.version("protobuf"),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB",
        "gpu": "none: sscaffe has no GPU kernels yet",
    }


def _core() -> Any:
    try:
        return sscaffe._core
    except ImportError as error:
        raise UnsupportedError(
            f"sscaffe._core: the C++ core cannot be loaded: {error}; install sscaffe again, with "
            "g++ in the PATH if it is built from source"
        ) from error


def _extras() -> dict[str, list[str]]:
    """Return the packages that each extra of sscaffe asks for."""
    extras: dict[str, list[str]] = {}
    try:
        requirements = metadata.requires("sscaffe") or []
    except metadata.PackageNotFoundError:
        return {}  # used from its folder, not installed
    for requirement in requirements:
        if match := _REQUIREMENT.match(requirement):
            package, nested, extra = match.groups()
            names = [f"sscaffe{nested}"] if nested and package == "sscaffe" else [package]
            extras.setdefault(extra, []).extend(names)
    return extras


def _missing(packages: list[str]) -> list[str]:
    """Return those packages that are not installed."""
    missing: set[str] = set()
    for package in packages:
        name, _, nested = package.partition("[")
        if name == "sscaffe":
            for extra in nested.rstrip("]").split(","):
                missing.update(_missing(_extras().get(extra, [])))
            continue
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.add(name)
    return sorted(missing)
