"""Running jobs by BVLC Caffe."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np


def run_all(python, jobs, folder):
    """Let the peer do jobs; return the results of each, or the words it ended with."""
    results, waiting = {}, list(range(len(jobs)))
    while waiting:
        path = Path(folder, "jobs.json")
        path.write_text(json.dumps([jobs[i] for i in waiting]), encoding="utf-8")
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
        done = subprocess.run(
            [python, "-m", "compare.peer", str(path)],
            capture_output=True,
            text=True,
            env=environment,
            cwd=folder,
        )
        while waiting and Path(jobs[waiting[0]]["out"]).exists():
            i = waiting.pop(0)
            with np.load(jobs[i]["out"]) as arrays:
                results[i] = dict(arrays)
        if waiting:
            results[waiting.pop(0)] = _last_words(done.stderr)
    return [results[i] for i in range(len(jobs))]


def _last_words(stderr):
    lines = [line for line in stderr.splitlines() if line.startswith("F") or "Error" in line]
    return (lines or stderr.splitlines() or ["it ended without a word"])[-1]
