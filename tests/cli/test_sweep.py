"""sscaffe sweep: many lambdas, resumed, and the front of what came of them."""

import json
import os
import re
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from sscaffe.errors import SscaffeError
from sscaffe.solver.lock import locked
from sscaffe.sweep import Range, Trial, optuna_sampler, pareto, parse_range
from tests.cli.conftest import ROOT
from tests.remote_shell import fake_shell
from tests.stopwatch import wait_until

COMMAND = "sweep solver.prototxt --ssl filter --lambda 0.01:1:log --proximal --out runs"


def results():
    return [json.loads(line) for line in Path("runs/sweep.jsonl").read_text().splitlines()]


def test_a_grid_of_trials_and_on_where_it_ended(tiny, sscaffe):
    status, out, _ = sscaffe(f"{COMMAND} --trials 3 --jobs 2")
    assert status == 0
    first = results()
    assert [trial["strength"] for trial in first] == [0.01, 0.1, 1.0]
    assert [trial["status"] for trial in first] == ["done"] * 3
    assert all(0 <= trial["score"] <= 1 and 0 < trial["flops"] <= 1 for trial in first)
    assert "*: no other trial is better in both" in out
    assert re.search(r"^ *\d\*", out, re.MULTILINE)
    # One is taken for stopped: it alone runs again, with the same end.
    lines = Path("runs/sweep.jsonl").read_text().splitlines()
    lines[1] = json.dumps({"number": 1, "strength": 0.1})
    Path("runs/sweep.jsonl").write_text("\n".join(lines))
    status, out, err = sscaffe(f"{COMMAND} --trials 3 --json")
    assert status == 0
    assert results() == first
    assert err.count(": lambda ") == 1
    assert [trial["number"] for trial in json.loads(out)] == [0, 1, 2]
    status, _, err = sscaffe(f"{COMMAND} --trials 4")
    assert status == 1
    assert "lambda: trial 1 of runs has 0.1, the grid now has 0.0464" in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_trials_end_with_their_sweep_and_leave_snapshots(number, tiny, start, sscaffe):
    assert sscaffe("train -solver solver.prototxt")[0] == 0
    flags = "--weights tiny_iter_20.caffemodel --trials 1 --set max_iter=10000000"
    process = start(f"{COMMAND} {flags}")
    log = Path("runs/trial_000.log")
    wait_until(lambda: log.exists() and "Solving" in log.read_text())
    process.send_signal(number)
    process.communicate(timeout=200)
    assert process.returncode == (130 if number == signal.SIGTERM else -signal.SIGKILL)
    wait_until(lambda: "stopped: run the same command again" in log.read_text())
    assert results()[0]["status"] == "begun"
    assert list(Path("runs/trial_000").glob("net_ssl_iter_*.solverstate"))


def test_one_sweep_for_each_folder(tiny, sscaffe):
    Path("runs").mkdir()
    with locked("runs/sweep"):
        status, _, err = sscaffe(f"{COMMAND} --trials 1")
    assert status == 1
    assert f"out: expected one sweep at a time, and process {os.getpid()} writes here" in err
    assert not list(Path("runs").iterdir())


HOSTS = f"{COMMAND} --remote-shell ./shell"


@pytest.fixture
def hosts(tiny, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    fake_shell(tiny)


def test_trials_on_hosts(hosts, sscaffe):
    status, out, err = sscaffe(f"{HOSTS} --trials 3 --hosts a,b")
    assert status == 0, err
    assert [trial["status"] for trial in results()] == ["done"] * 3
    ran_on = [trial["host"] for trial in results()]
    assert ran_on[:2] == ["a", "b"]
    calls = Path("calls").read_text().split()
    assert calls[0] == "a"  # the baseline
    assert sorted(calls[1:]) == sorted(ran_on)
    assert "*: no other trial is better in both" in out


def test_a_host_that_is_down_is_given_up(hosts, sscaffe):
    status, _, err = sscaffe(f"{HOSTS} --trials 2 --hosts a,down")
    assert status == 0
    assert [(trial["status"], trial["host"]) for trial in results()] == [("done", "a")] * 2
    assert "trial 1: host down is given up (no route to host)" in err


def test_no_host_is_left(hosts, sscaffe):
    assert sscaffe("train -solver solver.prototxt")[0] == 0
    flags = "--weights tiny_iter_20.caffemodel --trials 1 --hosts down"
    status, _, err = sscaffe(f"{HOSTS} {flags}")
    assert status == 1
    assert "hosts: none of them can be reached any more" in err
    assert results()[0]["status"] == "begun"


def test_a_host_that_shares_no_folder(hosts, sscaffe):
    assert sscaffe("train -solver solver.prototxt")[0] == 0
    Path("shell").write_text("#!/bin/sh\nexit 0\n")
    flags = "--weights tiny_iter_20.caffemodel --trials 1 --hosts a"
    status, _, err = sscaffe(f"{HOSTS} {flags}")
    assert status == 1
    assert "was written on a and is not here; expected a folder that all hosts share" in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_trials_on_hosts_end_with_their_sweep(number, hosts, start, sscaffe):
    assert sscaffe("train -solver solver.prototxt")[0] == 0
    flags = "--weights tiny_iter_20.caffemodel --trials 1 --set max_iter=10000000 --hosts a"
    process = start(f"{HOSTS} {flags}")
    log = Path("runs/trial_000.log")
    wait_until(lambda: log.exists() and "Solving" in log.read_text())
    process.send_signal(number)
    process.communicate(timeout=200)
    wait_until(lambda: "stopped: run the same command again" in log.read_text())
    assert list(Path("runs/trial_000").glob("net_ssl_iter_*.solverstate"))


def test_a_trial_that_fails_is_told_of(tiny, sscaffe):
    assert sscaffe("train -solver solver.prototxt")[0] == 0
    flags = "--weights tiny_iter_20.caffemodel --trials 1 --set base_lr=1e30"
    status, out, err = sscaffe(f"{COMMAND} {flags}")
    assert status == 0
    assert results()[0]["status"] == "failed"
    assert "diverged" in out
    assert "trial 0: failed (diverged), see runs/trial_000.log" in err


def trial(number, score, flops, status="done"):
    return Trial(number, 0.1, status, score, flops)


def test_the_front_is_what_no_other_beats_in_both():
    trials = [trial(0, 0.9, 0.5), trial(1, 0.8, 0.6), trial(2, 0.95, 0.9), trial(3, 0.9, 0.5)]
    trials.append(trial(4, None, None, "failed"))
    assert pareto(trials) == {0, 2, 3}


def test_ranges():
    assert parse_range("1e-5:1e-2:log").grid(4) == [1e-5, 1e-4, 1e-3, 1e-2]
    assert parse_range("1:3:lin").grid(3) == [1, 2, 3]
    assert parse_range("0.1:0.2") == Range(0.1, 0.2, log=True)
    assert parse_range("0.1:0.2").grid(1) == [0.1]


@pytest.mark.parametrize("text", ["1", "2:1:log", "0:1:log", "1:2:cubic", "a:b:log", "1:2:log:3"])
def test_what_is_no_range(text):
    with pytest.raises(
        SscaffeError, match="lambda: expected LOW:HIGH:log or LOW:HIGH:lin, LOW above 0"
    ):
        parse_range(text)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--hosts a,b --jobs 2", "jobs: not together with hosts; name a host twice"),
        ("--hosts -x", "hosts: expected names with commas, got '-x'"),
    ],
)
def test_hosts_that_cannot_be(tiny, sscaffe, flags, message):
    status, _, err = sscaffe(f"{COMMAND} {flags}")
    assert status == 1
    assert message in err


@pytest.mark.parametrize("flags", ["--trials 0", "--jobs 0"])
def test_at_least_one(tiny, sscaffe, flags):
    status, _, err = sscaffe(f"{COMMAND} {flags}")
    assert status == 1
    assert "expected 1 or more, got 0" in err


def test_optuna_chooses_within_the_range():
    pytest.importorskip("optuna")
    choose = optuna_sampler(Range(1e-4, 1e-2, log=True))
    trials = [replace(trial(n, 0.9, 0.5), strength=10.0**-n) for n in range(3)]
    values = [choose(n, trials) for n in range(3, 6)]
    assert all(1e-4 <= value <= 1e-2 for value in values)
    assert choose(3, trials) == values[0]
