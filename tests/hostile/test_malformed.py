"""Files that are malformed, or made to do harm, are refused in a sentence, soon, and at no cost."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hostile.generator import KINDS, generate

ROOT = Path(__file__).parents[2]
SECONDS = 2
MEMORY = 300 * 2**20
EVIL = "from pathlib import Path\nPath('imported').touch()\n"


def sentence(err):
    """Return what a command says, without its log and the notes."""
    said = [line for line in err.splitlines() if not re.match(r"[IWE]\d{4} |  ", line)]
    return said[0] if len(said) == 1 else ""


def faults(case, result):
    """Yield what is wrong with the way in which a command ended."""
    said = sentence(result["err"])
    if result["status"] != 1:
        yield f"status {result['status']}"
    if not said or "Traceback" in result["err"] or "fault of its own" in said:
        yield f"said {result['err'][-300:]!r}"
    if case.name not in result["err"]:
        yield f"did not name the file: {result['err'][-300:]!r}"
    if result["seconds"] > SECONDS:
        yield f"took {result['seconds']:.1f} s"
    if result["peak"] > MEMORY:
        yield f"took {result['peak'] / 2**20:.0f} MB"
    if result["opened"] or result["left"]:
        yield f"opened {result['opened']}, left {result['left']}"


@pytest.mark.parametrize("kind", KINDS)
def test_is_refused(kind, tmp_path):
    if kind == "onnx":
        pytest.importorskip("onnx", reason="ONNX files are made and read by the package onnx")
    folder = tmp_path / "files"
    folder.mkdir()
    cases = generate(kind, folder)
    assert len(cases) == KINDS[kind][0]
    (folder / "evil.py").write_text(EVIL)
    commands = tmp_path / "commands"
    commands.write_text("\n".join(case.command for case in cases))
    done = subprocess.run(
        [sys.executable, "-m", "tests.hostile.driver", commands, folder],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"SSCAFFE_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"},
    )
    results = [json.loads(line) for line in done.stdout.splitlines()]
    wrong = [
        f"{case.name}: {'; '.join(found)}"
        for case, result in zip(cases, results, strict=False)
        if (found := list(faults(case, result)))
    ]
    if len(results) < len(cases):
        wrong.append(f"{cases[len(results)].name}: ended the process: {done.stderr[-500:]}")
    assert not wrong, f"{len(wrong)} of {len(cases)}\n" + "\n".join(wrong)
