"""Show what this machine can run, and what is missing."""

import os
import platform
import re
import sys
from importlib import metadata
from typing import Any

import click

import sscaffe
from sscaffe import gpu_facts, machine
from sscaffe.cli import options
from sscaffe.cli.flags import CaffeCommand
from sscaffe.cli.results import print_json, print_table
from sscaffe.errors import UnsupportedError

_EPILOG = "Example: sscaffe device_query --json"
_REQUIREMENT = re.compile(r"""([\w.-]+)(\[[\w,.-]+\])?[^;]*;.*extra == ["'](\w+)["']""")


@click.command(cls=CaffeCommand, short_help="Show what this machine can run.", epilog=_EPILOG)
@click.option("--gpu", metavar="NUMBER", help="Fail if this GPU cannot be computed on.")
@options.as_json
def command(as_json: bool, gpu: str | None) -> int:
    """Show what this machine can run, and what is missing."""
    index = options.gpu_number(gpu or "")
    facts, gpus = _facts(), gpu_facts.facts(index)
    extras = {name: _missing(packages) for name, packages in _extras().items()}
    if as_json:
        print_json({**facts, "gpu": gpus, "missing_for_extra": extras})
    else:
        print_table(["sscaffe", ""], [(name, str(value)) for name, value in facts.items()])
        _show_gpus(gpus)
        rows = [
            (name, f'pip install "sscaffe[{name}]"  (missing: {", ".join(missing)})')
            if missing
            else (name, "installed")
            for name, missing in sorted(extras.items())
        ]
        print_table(["extra", ""], rows)
    return 1 if gpu is not None and not gpus["usable"] else 0


def _show_gpus(gpus: gpu_facts.Facts) -> None:
    """Print what there is for computing on GPUs, and what to do about what is missing."""
    rows = [(name, str(version)) for name, version in gpus["libraries"].items()]
    rows += [(f"gpu {chip['number']}", _chip(chip)) for chip in gpus["gpus"]]
    rows += [(f"self-test: {name}", result) for name, result in gpus["self_test"].items()]
    rows.append(("usable", "yes" if gpus["usable"] else "no"))
    if "error" in gpus:
        rows.append(("reason", gpus["error"]))
    rows += [("to do", line) for line in gpus["advice"]]
    print_table(["gpu", ""], rows)


def _chip(chip: gpu_facts.Facts) -> str:
    return (
        f"{chip['name']}, compute capability {chip['compute_capability']}, {chip['free_gib']} of "
        f"{chip['memory_gib']} GiB free, {chip['multiprocessors']} multiprocessors, "
        f"{chip['clock_mhz']} MHz"
    )


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
