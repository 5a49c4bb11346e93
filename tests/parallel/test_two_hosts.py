"""Two hosts: what crosses the cable, and what happens when it is cut."""

import os
import signal
import time

import pytest

from tests.parallel.ranks import left_running, require_mpi, stand_in
from tests.parallel.two_hosts import ADDRESSES, two_hosts

DEADLINE = 3.0
HYDRAS_OWN = 255  # its status if it loses a host


@pytest.fixture
def hosts(tmp_path):
    require_mpi()
    (tmp_path / "hosts").mkdir()
    with two_hosts(tmp_path / "hosts") as made:
        yield made


def launcher(hosts, *more):
    return ["--hosts", ",".join(ADDRESSES), "--mpiexec", hosts.mpiexec, *more]


def test_the_gradients_cross_the_cable(hosts, tmp_path):
    steps, size = 40, 10_000
    with stand_in(
        *(tmp_path, str(steps), "0", str(size)), prefix=hosts.prefix, launcher=launcher(hosts)
    ) as job:
        assert job.end() == 0, job.text()
    assert hosts.sent() > steps * size * 8


def test_a_cut_ends_within_its_deadline(hosts, tmp_path):
    flags = launcher(hosts, "--deadline", str(DEADLINE))
    with stand_in(tmp_path, "100000", "0.001", prefix=hosts.prefix, launcher=flags) as job:
        job.pids(2)
        job.wait_for("snapshot")
        before = time.monotonic()
        hosts.cut()
        assert job.end() == 75, job.text()
        assert DEADLINE - 0.5 < time.monotonic() - before < DEADLINE + 5
        text = job.text()
        assert "The training failed: rank" in text
        while left_running(tmp_path) and time.monotonic() < before + DEADLINE + 10:
            time.sleep(0.05)  # The other host has a watchdog of its own.
        assert not left_running(tmp_path)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_rank_ends_those_of_the_other_host(hosts, tmp_path, rank):
    with stand_in(tmp_path, "100000", prefix=hosts.prefix, launcher=launcher(hosts)) as job:
        pids = job.pids(2)
        job.wait_for("snapshot")
        before = time.monotonic()
        os.kill(pids[rank], signal.SIGKILL)
        assert job.end() in (128 + signal.SIGKILL, HYDRAS_OWN), job.text()
        assert time.monotonic() - before < 5
        assert not left_running(tmp_path)


def test_the_other_host_is_left_when_the_launch_is_killed_at_once(hosts, tmp_path):
    with stand_in(tmp_path, "100000", "1", prefix=hosts.prefix, launcher=launcher(hosts)) as job:
        job.pids(2)
        time.sleep(0.5)
        job.process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        job.process.send_signal(signal.SIGINT)
        assert job.end(5) == 130
        end = time.monotonic() + 5
        while left_running(tmp_path) and time.monotonic() < end:
            time.sleep(0.05)
        assert not left_running(tmp_path)
