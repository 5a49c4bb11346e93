"""Cases recorded from the original program, each within its own tolerance.

``SSCAFFE_GOLDEN=<folder>`` says where they are; by default ../shared/golden where that is, else
tests/golden, a small selection. Deliberate deviations stand in golden_deviations.toml.
"""

import json
import logging
import os
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest

from sscaffe import device, dialect
from tests.golden_cases import (
    LOGGED_RUNNERS,
    RUNNERS,
    Case,
    Check,
    missing_types,
    run_refusal,
)

HERE = Path(__file__).parent
SHARED = HERE.parents[1] / "shared" / "golden"
DEFAULT = SHARED if SHARED.exists() else HERE / "golden"
FOLDER = Path(os.environ.get("SSCAFFE_GOLDEN") or DEFAULT).resolve()
CASES = json.loads((FOLDER / "index.json").read_text())["cases"]
DEVIATIONS = tomllib.loads((HERE / "golden_deviations.toml").read_text())["deviation"]


def case_id(entry):
    return f"{entry['kind']}-{entry['name']}"


# What is about files and messages alone is the same wherever a net computes.
ON_A_GPU = (
    "conv_mode",
    "connectivity",
    "layer",
    "lr",
    "net",
    "pycaffe",
    "snapshot",
    "solver",
    "ssl",
)
# What BVLC Caffe 1.0 does in another way than the original, which is a fork of an older one.
SCNN = {
    "cli-debug_info",
    "cli-train_test_time",
    "filler-filler_bilinear_3",
    "layer-accuracy_ties",
    "layer-infogain_bottom",
    "layer-infogain_file",
    "layer-sigmoid_ce_ignore",
}
CPU_ALONE = {"layer-dropout_train_seeded"}  # a GPU draws another stream


@pytest.fixture(params=["cpu", pytest.param("gpu", marks=pytest.mark.gpu)])
def where(request, monkeypatch):
    """Compute on the CPU, or a GPU or the stand-in for one."""
    if request.param == "gpu":
        monkeypatch.setattr(device._Chosen, "device", device.gpu(0))
    return request.param


@pytest.fixture
def folder(request, tmp_path, monkeypatch):
    """Copy a case to a folder of its own, and work there."""
    source = FOLDER / request.param["path"]
    copy = tmp_path / source.parent.name / source.name
    shutil.copytree(source, copy, copy_function=shutil.copyfile)
    if request.param["kind"] == "snapshot":
        # The run writes files of the same names.
        shutil.copytree(copy, copy / "recorded", copy_function=shutil.copyfile)
    monkeypatch.chdir(copy)
    return copy


@pytest.fixture
def log(caplog):
    """Return a function that returns the lines logged so far."""
    caplog.set_level(logging.INFO, "sscaffe")
    return lambda: [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("folder", CASES, indirect=True, ids=case_id)
def test_golden(folder, log, where, monkeypatch):
    info = json.loads((folder / "case.json").read_text())
    if case_id(info) in SCNN:
        monkeypatch.setenv(dialect.VARIABLE, "scnn")
    kind = info["kind"]
    if where == "gpu" and (kind not in ON_A_GPU or case_id(info) in CPU_ALONE):
        pytest.skip("the same on every device, or drawn by the CPU's generator")
    if missing := missing_types(folder):
        pytest.skip(f"not built yet: {', '.join(missing)}")
    case, check = load(folder, info), Check(info)
    if info.get("expect_fatal"):
        run_refusal(case, check)
    elif kind in RUNNERS:
        RUNNERS[kind](case, check)
    else:
        LOGGED_RUNNERS[kind](case, check, log)
    compare_with_deviations(case_id(info), check.failures)


def load(folder, info):
    if (folder / "log.txt").exists():
        lines = (folder / "log.txt").read_text().splitlines()
        info["log"] = [line.partition("] ")[2] for line in lines]
    if not (folder / "data.npz").exists():
        return Case(info, {})
    with np.load(folder / "data.npz") as arrays:
        return Case(info, dict(arrays))


def compare_with_deviations(name, failures):
    """Check that a case differs where it is meant to, and nowhere else."""
    expected = next((set(d["parts"]) for d in DEVIATIONS if d["case"] == name), set())
    texts = [text for part in failures.keys() - expected for text in failures[part]]
    assert not texts, "\n".join(texts[:8])
    assert failures.keys() >= expected, f"no longer deviates in {expected - failures.keys()}"


def test_deviations_are_of_cases_that_there_are_and_have_reasons():
    if FOLDER != SHARED:
        pytest.skip("needs all the cases, in ../shared/golden")
    names = {case_id(entry) for entry in CASES}
    for deviation in DEVIATIONS:
        assert deviation["case"] in names
        assert len(deviation["reason"]) > 20
