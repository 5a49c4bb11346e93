"""Between two hosts: what is measured there, and a sweep's trials on both."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import tiny  # noqa: F401 (a fixture)
from tests.parallel.ranks import require_mpi
from tests.parallel.two_hosts import ADDRESSES, two_hosts

ROOT = Path(__file__).parents[2]


@pytest.fixture
def hosts(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "hosts").mkdir()
    with two_hosts(tmp_path / "hosts") as made:
        yield made


def run(hosts, *words):
    program = [*hosts.prefix, sys.executable, "-m", "sscaffe", *words]
    done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_network_between_them_is_measured(tiny, hosts):  # noqa: F811
    require_mpi()
    mpiexec = f"{hosts.mpiexec} -hosts {','.join(ADDRESSES)} -ppn 1"
    words = ["--solver", "solver.prototxt", "--iterations", "2", "--mpiexec", mpiexec, "--json"]
    found = json.loads(run(hosts, "scaling", *words))
    sizes = [size for size, _ in found["allreduce"]["bytes_and_seconds"]]
    assert hosts.sent() > 5 * sum(sizes)
    assert found["network"]["latency"] > 0


def test_trials_of_a_sweep_run_on_both(tiny, hosts):  # noqa: F811
    words = ["solver.prototxt", "--ssl", "filter", "--lambda", "0.01:1:log", "--out", "runs"]
    words += ["--trials", "2", "--hosts", ",".join(ADDRESSES), "--remote-shell", str(hosts.ssh)]
    run(hosts, "sweep", *words)
    trials = [json.loads(line) for line in Path("runs/sweep.jsonl").read_text().splitlines()]
    assert [(trial["host"], trial["status"]) for trial in trials] == [
        (address, "done") for address in ADDRESSES
    ]
