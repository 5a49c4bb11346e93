"""The log of a training: Caffe's lines with Caffe's numbers, in the form that its parsers read."""

import os
import re
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT

GOLDEN = Path(os.environ.get("SSCAFFE_GOLDEN", ROOT.parent / "shared" / "golden"))
CASE = GOLDEN / "cli" / "train_test_time"

HEADER = re.compile(r"[IWE]\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ [a-z0-9_]+\.py:\d+\] ")

# What parse_log.py of Caffe and of its fork look for.
PARSED = [
    r"Iteration (\d+), loss = ",
    r"Train net output #(\d+): (\S+) = ([\.\deE+-]+)",
    r"Test net output #(\d+): (\S+) = ([\.\deE+-]+)",
    r"lr = ([-+]?\d*\.?\d+([eE]?[-+]?\d+)?)",
    r"Solving ",
]


def numbers(log):
    """Return the lines that hold what the net does, without their headers."""
    wanted = re.compile(r"(Iteration \d|Test net|Train net|Test loss|Total regul|MultiStep).*")
    # Accuracy differs where scores are equal, as they are before training.
    found = [match[0] for line in log.splitlines() if (match := wanted.search(line))]
    return [line for line in found if "#0: acc" not in line]


@pytest.fixture
def golden(tmp_path, monkeypatch):
    if not CASE.is_dir():
        pytest.skip(f"{CASE} is not there; set SSCAFFE_GOLDEN")
    folder = tmp_path / "case"
    shutil.copytree(CASE, folder, ignore=shutil.ignore_patterns("s_iter_*"))
    monkeypatch.chdir(folder)
    return folder


def test_training_logs_what_caffe_logs(golden, sscaffe):
    settings = "--set prune_threshold=1e-4 --set prune_scope=ALL"
    status, _, log = sscaffe(f"train -solver solver.prototxt {settings}")
    assert status == 0
    assert numbers(log) == numbers((golden / "train.log.txt").read_text())
    resumed = f"train -solver solver.prototxt -snapshot s_iter_6.solverstate {settings}"
    # The original starts its data anew here, so only what comes after can be compared.
    assert "Iteration 6, lr = 0.005" in sscaffe(resumed)[2]


def test_every_line_has_a_header_and_every_parser_finds_its_lines(tiny, sscaffe):
    log = sscaffe("train -solver solver.prototxt")[2]
    assert all(HEADER.match(line) for line in log.splitlines())
    for pattern in PARSED:
        assert re.search(pattern, log), pattern
