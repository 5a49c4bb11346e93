"""Two hosts: what crosses the cable, and what happens when it is cut."""

import os
import re
import signal
import time

import pytest

from tests.parallel.ranks import (
    launch_train,
    left_running,
    require_mpi,
    stand_in,
    tells_of_a_kill,
)
from tests.parallel.two_hosts import ADDRESSES, two_hosts
from tests.stopwatch import Stopwatch, wait_until
from tests.trust.jobs import NET, SOLVER, digest, prepare, say

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
        with Stopwatch() as watch:
            hosts.cut()
            assert job.end() == 75, job.text()
            assert time.monotonic() - before > DEADLINE - 0.5
            assert watch.seconds < DEADLINE + 5
            assert "The training failed: rank" in job.text()
            # The other host has a watchdog of its own.
            wait_until(lambda: not left_running(tmp_path), DEADLINE + 10 - watch.seconds)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_rank_ends_those_of_the_other_host(hosts, tmp_path, rank):
    with stand_in(tmp_path, "100000", prefix=hosts.prefix, launcher=launcher(hosts)) as job:
        pids = job.pids(2)
        job.wait_for("snapshot")
        with Stopwatch() as watch:
            os.kill(pids[rank], signal.SIGKILL)
            status = job.end()
        assert status == HYDRAS_OWN or tells_of_a_kill(status), job.text()
        died = re.search("a rank died of .*SIGKILL", job.text())
        assert died or status == HYDRAS_OWN
        assert watch.seconds < 5
        assert not left_running(tmp_path)


def test_the_other_host_is_left_when_the_launch_is_killed_at_once(hosts, tmp_path):
    with stand_in(tmp_path, "100000", "1", prefix=hosts.prefix, launcher=launcher(hosts)) as job:
        job.pids(2)
        with Stopwatch() as watch:
            # Two of one kind might come as one.
            job.process.send_signal(signal.SIGINT)
            job.process.send_signal(signal.SIGTERM)
            assert job.end() == 130
        assert watch.seconds < 5
        wait_until(lambda: not left_running(tmp_path), 5)


WIDE = NET.replace(
    'layer { name: "ip1" type: "InnerProduct" bottom: "conv1"',
    """layer { name: "ip0" type: "InnerProduct" bottom: "conv1" top: "ip0"
      inner_product_param { num_output: 1000 weight_filler { type: "xavier" } } }
    layer { name: "ip1" type: "InnerProduct" bottom: "ip0\"""",
)
PARAMETERS = 4 * (3 * 3 + 1) + 1000 * (4 * 3 * 3 + 1) + 3 * (1000 + 1)
ITERATIONS = 40


def prepared(folder, last):
    return prepare(folder, WIDE, SOLVER.replace("max_iter: 400", f"max_iter: {last}"))


def test_a_training_does_on_two_hosts_what_it_does_on_one(hosts, tmp_path):
    folders = [prepared(tmp_path / name, ITERATIONS) for name in ("one", "two")]
    with launch_train(folders[0]) as job:
        assert job.end() == 0, job.text()
    flags = ["-n", "2", *launcher(hosts)]
    with launch_train(folders[1], prefix=hosts.prefix, launcher=flags) as job:
        assert job.end() == 0, job.text()
    sent = hosts.sent()
    say(f"\n{sent} bytes sent, for {ITERATIONS * PARAMETERS * 4} bytes of gradients")
    assert sent > ITERATIONS * PARAMETERS * 4
    name = f"small_iter_{ITERATIONS}.caffemodel"
    assert digest(folders[0] / name) == digest(folders[1] / name)


def test_a_training_that_is_cut_ends_within_its_deadline(hosts, tmp_path):
    folder = prepared(tmp_path / "job", 10**6)
    flags = ["-n", "2", *launcher(hosts, "--deadline", str(DEADLINE))]
    with launch_train(folder, prefix=hosts.prefix, launcher=flags) as job:
        job.wait_for("Snapshot complete")
        before = time.monotonic()
        with Stopwatch() as watch:
            hosts.cut()
            assert job.end() == 75, job.text()
        took = time.monotonic() - before
        assert took > DEADLINE - 0.5
        assert watch.seconds < DEADLINE + 5
    say(f"\na cut ended after {took:.1f} s of {DEADLINE:.1f}")
