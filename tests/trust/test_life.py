"""Signals, pipes that close, clocks that jump, and a training that diverges.

``TRUST_SIGNALS=50`` makes it the long test of ``make soak``.
"""

import os
import random
import re
import resource
import shlex
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from sscaffe.proto import caffe_pb2
from sscaffe.serialized import blobproto_to_array, read_binary
from tests.stopwatch import Stopwatch
from tests.trust.jobs import (
    digest,
    environment,
    finish,
    prepare,
    say,
    train,
    training,
    wait_for,
    when,
)

SIGNALS = int(os.environ.get("TRUST_SIGNALS", "10"))
ENDLESS = ("--set", "max_iter=1000000", "--set", "snapshot=0", "--set", "display=1")
SHORT = ("--set", "max_iter=400", "--set", "snapshot=0")

# The wall clock goes back an hour in the middle of the training.
JUMP = """
import time
real, hour = time.time, [0]
time.time = lambda: real() - hour[0]
"""

# A signal comes between two displays, or while the second waits for it: at any moment.
HANGUPS = """
import os, random, signal, threading, time
from sscaffe.glog import logger

begun, sent = threading.Semaphore(0), threading.Semaphore(0)

def hang_up():
    rng = random.Random(50)
    for _ in range(50):
        begun.acquire()
        time.sleep(rng.uniform(0, 0.002))
        os.kill(os.getpid(), signal.SIGHUP)
        sent.release()
    sent.release(400)

def watched(record, handle=logger.handle):
    handle(record)
    if ", loss = " in record.getMessage():
        begun.release()
        sent.acquire()

logger.handle = watched
sent.release()
threading.Thread(target=hang_up, daemon=True).start()
"""


def restored_iteration(log):
    return int(re.search(r"Restoring from \S+_iter_(\d+)\.solverstate", log)[1])


def test_interrupts_at_random_moments_end_with_a_snapshot_that_goes_on(tmp_path, undisturbed):
    rng, watches = random.Random(SIGNALS), []
    job, flags, done = prepare(tmp_path / "job"), ["--set", "snapshot=0"], 0
    while done < SIGNALS:
        number = rng.choice([signal.SIGINT, signal.SIGTERM])
        with training(job, *flags) as process:
            log = wait_for(process, "Solving")
            time.sleep(rng.uniform(0, 0.06))
            with Stopwatch() as watch:
                process.send_signal(number)
                out, rest = finish(process)
        status, log = process.returncode, log + rest
        assert "Traceback" not in log
        if "Optimization Done" in log:  # It was done before; begin again.
            assert digest(job / "small_iter_400.caffemodel") == undisturbed
            flags = flags[:2]
            continue
        assert status == 128 + number, log
        watches, done = [*watches, watch], done + 1
        command = shlex.split(re.search("go on with: (.*)", out)[1])
        assert command[:4] == ["sscaffe", "train", "--solver", "solver.prototxt"]
        flags = command[4:]
    slowest = max(watch.seconds for watch in watches)
    say(f"\n{SIGNALS} signals, at most {slowest:.2f} s to the end of the process")
    assert slowest < 5
    status, _, log = train(job, *flags)
    assert status == 0, log
    assert digest(job / "small_iter_400.caffemodel") == undisturbed


def test_the_second_interrupt_is_out_within_a_second(job):
    # An iteration that does not end within hours.
    with training(job, *ENDLESS, before=when("Iteration 3, loss", "time.sleep(10000)")) as process:
        wait_for(process, "Iteration 3, loss")
        began = psutil.Process(process.pid).cpu_times()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        process.communicate()
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert process.returncode in (128 + signal.SIGINT, 128 + signal.SIGTERM)
    # Of the processor's time, as that of the clock depends on what else it has to do.
    seconds = ended.ru_utime + ended.ru_stime - before.ru_utime - before.ru_stime
    seconds -= began.user + began.system
    say(f"\nout after {seconds:.2f} s")
    assert seconds < 1
    assert not [*job.glob("*.tmp.*"), *job.glob("*.lock")]


def test_fifty_hangups_take_snapshots_and_change_nothing(job, undisturbed):
    status, _, log = train(job, *SHORT, "--set", "display=2", before=HANGUPS)
    assert status == 0, log
    taken = log.count("Snapshot complete")
    say(f"\n{taken} snapshots for 50 signals")
    assert taken > 10
    assert digest(job / "small_iter_400.caffemodel") == undisturbed


@pytest.mark.parametrize("which", ["stdout", "stderr", "both"])
def test_a_reader_that_goes_away_does_not_disturb_the_training(which, job, undisturbed):
    redirect = {
        "stdout": "2>log | head -1",
        "stderr": "2>&1 >out | head -1",
        "both": "2>&1 | head -1",
    }
    command = f"python -m sscaffe train --solver solver.prototxt {redirect[which]}"
    run_in_shell(job, f"set -o pipefail; {command}", statuses=(0, 1))
    assert digest(job / "small_iter_400.caffemodel") == undisturbed
    if which == "stdout":
        assert "Traceback" not in (job / "log").read_text()


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_do_not_disturb_the_training(closed, job, undisturbed):
    run_in_shell(job, f"python -m sscaffe train --solver solver.prototxt {closed}", statuses=(0,))
    assert digest(job / "small_iter_400.caffemodel") == undisturbed


def run_in_shell(job, command, statuses):
    command = command.replace("python -m", f"{shlex.quote(sys.executable)} -m", 1)
    done = subprocess.run(
        ["bash", "-c", command], cwd=job, env=environment(), text=True, capture_output=True
    )
    assert done.returncode in statuses, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "fault of its own" not in done.stdout + done.stderr


def test_a_clock_that_jumps_back_does_no_harm(job, undisturbed):
    status, out, log = train(
        job, "--set", "display=20", before=JUMP + when("Speed:", "hour[0] = 3600", 10)
    )
    assert status == 0, log
    assert digest(job / "small_iter_400.caffemodel") == undisturbed
    speeds = [float(speed) for speed in re.findall(r"Speed: (\S+) iter/s", log)]
    assert len(speeds) > 15
    assert all(0 < speed < 1e6 for speed in speeds)
    assert 0 < float(re.search(r"seconds\s+(\S+)", out)[1]) < 300


def test_a_training_that_diverges_stops_at_once_and_keeps_the_last_snapshot(job):
    status, _, log = train(job, "--set", "snapshot=1", "--set", "base_lr=1e6")
    assert status == 3, log
    iteration = int(re.search(r"finite numbers? at iteration (\d+)", log)[1])
    assert re.search(r"layer '\w+'|(conv1|ip1) (weight|bias)", log)
    assert re.search(r"lower base_lr \(1e\+06\) or weight_decay .*block_group_decay", log)
    kept = re.search(r"last snapshot: (\S+)\.solverstate", log)
    states = sorted(job.glob("*.solverstate"))
    say(f"\nstopped at iteration {iteration}; {len(states)} snapshots")
    assert bool(kept) == bool(states)
    for path in job.glob("*.caffemodel"):
        model = read_binary(path, caffe_pb2.NetParameter)
        for layer in model.layer:
            assert all(np.isfinite(blobproto_to_array(blob)).all() for blob in layer.blobs)
    assert not [path for path in states if int(re.search(r"_(\d+)\.", path.name)[1]) > iteration]
