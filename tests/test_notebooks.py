"""The notebooks of examples/ run from top to bottom, say nothing on stderr and end in a figure."""

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from traitlets.config import Config

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("SSCAFFE_DATA") or ROOT.parent / "shared" / "data").resolve()
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
NEEDS_DATA = {"01_classification": "models/cifar10_bxuan"}
LARGEST = 20_000  # bytes
SECONDS = 240  # for a cell; a whole notebook takes 5 to 20


@pytest.fixture
def kernel(tmp_path_factory, monkeypatch):
    """Return the settings of a kernel that needs no port and leaves the user's folders alone."""
    folder = tmp_path_factory.mktemp("nb")  # short, since paths of sockets are
    for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(folder))
    monkeypatch.setenv("SSCAFFE_DATA", str(DATA))
    monkeypatch.delenv("MPLBACKEND", raising=False)  # a kernel shows figures in the notebook
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    return Config({"KernelManager": {"transport": "ipc", "ip": str(folder / "socket")}})


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_and_ends_in_a_figure(path, kernel):
    needed = DATA / NEEDS_DATA.get(path.stem, ".")
    if path.stem in NEEDS_DATA and not needed.is_dir():
        pytest.skip(f"no {needed}: set SSCAFFE_DATA")
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(path.parent)}}
    patience = {"timeout": SECONDS, "startup_timeout": SECONDS, "iopub_timeout": SECONDS}
    NotebookClient(notebook, config=kernel, resources=resources, **patience).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert [output["text"] for output in outputs if output.get("name") == "stderr"] == []
    shown = [output.get("data", {}) for output in notebook.cells[-1].outputs]
    assert len([data for data in shown if "image/png" in data]) == 1


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_is_kept_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.outputs for cell in code] == [[]] * len(code)
    assert {cell.execution_count for cell in code} == {None}
    assert path.stat().st_size < LARGEST


def test_there_are_five():
    assert [path.stem[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04", "05"]
