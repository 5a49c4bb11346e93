"""The scripts of examples/ name solvers that are there, and the files that these write."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sscaffe.prototxt import read_solver

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted(p for p in (ROOT / "examples").glob("*.sh") if p.name != "stage.sh")

_STAGE = re.compile(r"stage (\S+)(?: \\\n)? +(\S+)((?: \\\n)? +\S+)?$", re.MULTILINE)


def stages_of(script):
    """Return (solver, result, weights or None) of each stage."""
    text = script.read_text()
    models = re.search(r"^models=(\S+)$", text, re.MULTILINE).group(1)
    found = []
    text = text.replace("$models", models)
    # What a variable of the script stands for, without the choice that a user may make.
    for name, value in re.findall(r"^(\w+)=(\S+)$", text, re.MULTILINE):
        value = re.sub(r"\$\{\w+:-(.*)\}", r"\1", value)
        text = text.replace(f'"${name}"', value)
    for words in _STAGE.findall(text):
        found.append(tuple(word.strip(" \\\n") or None for word in words))
    return found


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.name)
def test_stages_follow_each_other(script):
    done = set()
    for solver_name, result, weights in stages_of(script):
        if not (ROOT / solver_name).exists():
            pytest.skip(f"{solver_name} is written by a command")
        solver = read_solver(ROOT / solver_name)
        assert result == f"{solver.snapshot_prefix}_iter_{solver.max_iter}.caffemodel"
        assert weights is None or weights in done
        done.add(result)
    assert len(done) >= 3


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.name)
def test_is_a_script(script):
    assert script.stat().st_mode & 0o100
    bash = shutil.which("bash")
    assert subprocess.run([bash, "-n", script], check=False).returncode == 0


FAKE = """#!/bin/bash
# Writes down how it was called, and what a training would leave.
echo "$@" >> calls
"""


def run_stage(folder, *words):
    (folder / "fake").write_text(FAKE)
    (folder / "fake").chmod(0o755)
    line = f"source {ROOT}/examples/stage.sh; stage {' '.join(words)}"
    subprocess.run(["bash", "-c", line], cwd=folder, check=True, env={"SSCAFFE": "./fake"})
    calls = folder / "calls"
    return calls.read_text().splitlines() if calls.exists() else []


def test_stage_starts_goes_on_and_ends(tmp_path):
    words = "solver.prototxt", "net_iter_100.caffemodel", "w.caffemodel"
    begun = "train --solver solver.prototxt"
    assert run_stage(tmp_path, *words[:2])[-1] == begun
    assert run_stage(tmp_path, *words)[-1] == f"{begun} --weights w.caffemodel"
    (tmp_path / "net_iter_50.solverstate").touch()
    (tmp_path / "net_ssl_iter_99.solverstate").touch()
    assert run_stage(tmp_path, *words)[-1] == f"{begun} --snapshot net_iter_50.solverstate"
    (tmp_path / "net_iter_100.caffemodel").touch()
    assert len(run_stage(tmp_path, *words)) == 3


def test_the_slurm_script_launches_a_rank_on_each_node(tmp_path):
    for name, text in {"scontrol": "#!/bin/sh\nprintf 'n1\\nn2\\n'\n", "fake": FAKE}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    slurm = {"SLURM_JOB_NODELIST": "n[1-2]", "SLURM_NTASKS": "2", "SLURM_CPUS_PER_TASK": "16"}
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SSCAFFE": "./fake", "SOLVER": "s"}
    script = ROOT / "examples" / "parallel" / "train.slurm"
    subprocess.run([script], cwd=tmp_path, check=True, env=environment | slurm)
    assert (tmp_path / "calls").read_text() == (
        "launch -n 2 --hosts n1,n2 --max-restarts 3 -- train --solver s --snapshot auto\n"
    )
