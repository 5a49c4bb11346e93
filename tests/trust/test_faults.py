"""A crash or an error at any call of the writer of snapshots: the old pair still loads."""

import re
import subprocess
import sys

import pytest

from tests.trust.jobs import environment, say


@pytest.mark.parametrize("form", ["BINARYPROTO", "HDF5"])
@pytest.mark.parametrize("kind", ["crash", "error"])
def test_the_old_pair_survives_a_fault_at_each_call_of_the_writer(kind, form, tmp_path):
    words = [sys.executable, "-m", "tests.trust.fault_driver", kind, form]
    done = subprocess.run(words, cwd=tmp_path, env=environment(), text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    *lines, last = done.stdout.splitlines()
    points = [re.fullmatch(r"(\w+) (\S+): goes on from (\d), (\d) left", line) for line in lines]
    assert last == f"{len(points)} points"
    say(f"\n{kind}, {form}: {last}")
    for ending in ("caffemodel", "solverstate"):
        calls = {point[1] for point in points if ending in point[2]}
        assert calls == {"open", "write", "fsync", "replace"}
    folder = [point[1] for point in points if point[2] == tmp_path.name]
    assert folder == ["open", "fsync"] * 2
    # Only after the rename of the solverstate there is a new pair.
    starts = [int(point[3]) for point in points]
    assert set(starts) == {3, 4}
    assert starts == sorted(starts)
    assert all(point[4] == "0" for point in points) or kind == "crash"
