"""The rules of the house that no linter knows."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from sscaffe.cli import COMMANDS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "sscaffe"
SOURCES = sorted(p for p in PACKAGE.rglob("*.py") if p.name != "caffe_pb2.py")
# Who alone may import the libraries of a GPU.
GPU_MODULES = {"cupy": "gpu_runtime.py", "cupyx": "gpu_runtime.py", "cudnn": "gpu_cudnn.py"}
LONGEST_FILE = 400
LONGEST_FUNCTION = 40


def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def signatures(path, inside=None):
    """Map each public function to its argument names, read without importing."""
    body = parse(path).body
    if inside:
        body = next(n.body for n in body if isinstance(n, ast.ClassDef) and n.name == inside)
    return {
        f.name: [a.arg for a in f.args.args + f.args.kwonlyargs if a.arg != "self"]
        for f in body
        if isinstance(f, ast.FunctionDef) and not f.name.startswith("_")
    }


def imported_names(path):
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def body_length(function):
    """Count a function's lines without its signature and docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return function.end_lineno - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("device", [p.stem for p in (PACKAGE / "kernels").glob("[cg]pu.py")])
def test_each_device_keeps_the_kernel_contract(device):
    contract = signatures(PACKAGE / "kernels" / "__init__.py", inside="Kernels")
    contract |= signatures(PACKAGE / "kernels" / "running.py", inside="Running")
    found = signatures(PACKAGE / "kernels" / f"{device}.py")
    assert found == contract


def test_both_devices_keep_the_contract():
    assert {p.name for p in (PACKAGE / "kernels").glob("[cg]pu.py")} == {"cpu.py", "gpu.py"}


def test_the_core_never_ends_the_process():
    ends = re.compile(r"\b(?:abort|_?exit|quick_exit|terminate|assert) *\(")
    for path in sorted((ROOT / "csrc").iterdir()):
        assert not ends.search(path.read_text(encoding="utf-8")), path


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_and_functions_stay_small(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.FunctionDef):
            length = body_length(node)
            assert length <= LONGEST_FUNCTION, f"{node.name}() has {length} lines; split it"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_one_module_each_knows_cupy_and_cudnn(path):
    roots = {name.split(".")[0] for name in imported_names(path)}
    for library in roots & GPU_MODULES.keys():
        assert path == PACKAGE / "kernels" / GPU_MODULES[library]


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_the_proto_package_knows_the_default_pool(path):
    if path != PACKAGE / "proto" / "__init__.py":
        assert not any(name.endswith("descriptor_pool") for name in imported_names(path))


def test_a_wheel_holds_what_is_compiled_on_first_use():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["sscaffe"]
    held = {path for pattern in patterns for path in PACKAGE.glob(pattern)}
    needed = {path for path in (PACKAGE / "kernels" / "cuda").iterdir() if path.is_file()}
    assert needed
    assert not needed - held


def test_only_the_bind_files_know_pybind11():
    knowing = {
        path.name
        for path in (ROOT / "csrc").iterdir()
        if "pybind11" in path.read_text(encoding="utf-8")
    }
    assert knowing
    assert all(name.startswith("bind") for name in knowing)


def test_only_one_part_of_the_core_knows_onednn_primitives():
    knowing = {
        path.name
        for path in (ROOT / "csrc").iterdir()
        if "dnnl::convolution" in path.read_text(encoding="utf-8")
    }
    assert knowing == {"dense_onednn.h", "dense_onednn.cpp"}


def test_the_map_of_the_floors_names_every_module():
    floors = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("```")[1]
    modules = {path.stem for path in PACKAGE.glob("[!_]*") if path.suffix in ("", ".py")}
    assert not modules - set(re.findall(r"\w+", floors))


def test_the_readme_names_every_command():
    readme = (ROOT / "README.md").read_text(encoding="utf-8").replace("-", "_")
    assert not [name for name in COMMANDS if f"sscaffe {name}" not in readme]


@pytest.mark.parametrize("arguments", [["-c", "import sscaffe"], ["-m", "sscaffe", "--help"]])
def test_light_starts_load_no_heavy_library(arguments):
    script = (
        "import sys, runpy\n"
        "sys.argv = ['sscaffe', '--help']\n"
        "try:\n"
        + ("    import sscaffe\n" if arguments[0] == "-c" else "    runpy.run_module('sscaffe')\n")
        + "except SystemExit:\n    pass\n"
        "heavy = {'matplotlib', 'scipy', 'sklearn', 'h5py', 'lmdb', 'PIL'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
