"""Trainings in processes of their own, small enough to be killed many times a minute."""

import contextlib
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from sscaffe.data.datum import array_to_datum
from sscaffe.data.lmdb_writer import write_lmdb
from tests.stopwatch import wait_until

ROOT = Path(__file__).parents[2]

# A shuffle, a crop and a mirror, and dropout all draw random numbers; the places in the data, the
# masks and the history of the update rule must go on too.
NET = """
name: "small"
layer { name: "digits" type: "Data" top: "data" top: "label"
  transform_param { mirror: true crop_size: 5 scale: 0.01 }
  data_param { source: "digits_lmdb" backend: LMDB batch_size: 4 } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  param { block_group_lasso { group: FILTER } }
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "drop1" type: "Dropout" bottom: "conv1" top: "conv1" }
layer { name: "ip1" type: "InnerProduct" bottom: "conv1" top: "ip1"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip1" bottom: "label" top: "loss" }
"""

SOLVER = """
net: "net.prototxt" base_lr: 0.01 lr_policy: "inv" gamma: 0.001 power: 0.75
momentum: 0.9 weight_decay: 0.0005 block_group_decay: 0.001
max_iter: 400 snapshot: 5 snapshot_prefix: "small" random_seed: 3 solver_mode: CPU
"""


def prepare(folder, net=NET, solver=SOLVER):
    """Write a net, its solver and its data into a folder."""
    rng = np.random.default_rng(1701)
    records = []
    for i in range(24):
        image = rng.integers(0, 80, (1, 6, 6), dtype=np.uint8)
        image[0, 2 * (i % 3) : 2 * (i % 3) + 2] += 150
        records.append((b"%08d" % i, array_to_datum(image, i % 3).SerializeToString()))
    folder.mkdir(parents=True, exist_ok=True)
    write_lmdb(folder / "digits_lmdb", records)
    (folder / "net.prototxt").write_text(net)
    (folder / "solver.prototxt").write_text(solver)
    return folder


def program(words, before=""):
    """Return the words of ``sscaffe ...``, which first runs some code."""
    code = f"import sys; sys.argv = {['sscaffe', *words]}\nfrom sscaffe.__main__ import run\n"
    return [sys.executable, "-c", f"{code}{before}\nrun()"]


_WHEN = """
import os, re, signal, time
from sscaffe.glog import logger

def watched(record, left=[@times], handle=logger.handle):
    handle(record)
    if re.search(@pattern, record.getMessage()):
        left[0] -= 1
        if left[0] == 0:
            @do

logger.handle = watched
"""


def when(pattern, do, times=1):
    """Return code that does something once a line of the log was the last of so many.

    What a program does to itself comes at its place, however busy the machine is.
    """
    code = _WHEN.replace("@times", str(times)).replace("@pattern", repr(pattern))
    return code.replace("@do", do)


def send(number):
    """Return code that sends a signal to its own process."""
    return f"os.kill(os.getpid(), {int(number)})"


def wait_for_stop(process):
    """Wait until a process was stopped."""
    wait_until(lambda: state_of(process.pid) == "T")


def state_of(pid):
    """Return what a process does: ``T`` if it is stopped, ``R``, ``S``..., nothing if it ended."""
    try:
        return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


@contextlib.contextmanager
def training(folder, *flags, threads=1, before="", **options):
    """Start ``sscaffe train`` in a folder; it is killed if the block leaves it running."""
    process = subprocess.Popen(
        program(["train", "--solver", "solver.prototxt", *flags], before),
        cwd=folder,
        env=environment(threads),
        text=True,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def environment(threads=1):
    """Return the environment of a training with so many threads."""
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(threads)}


def train(folder, *flags, **options):
    """Run ``sscaffe train`` to its end: status, stdout, stderr."""
    with training(folder, *flags, **options) as process:
        out, log = process.communicate()
        return process.returncode, out, log


def wait_for(process, words, times=1):
    """Read the log of a training until some words came so often; return what was read."""
    lines = []
    for line in process.stderr:
        lines.append(line)
        if words in line:
            times -= 1
        if not times:
            break
    return "".join(lines)


def finish(process):
    """Return what else a training writes, stdout and stderr; ``communicate`` loses read-ahead."""
    log = process.stderr.read()
    out = process.stdout.read()
    process.wait()
    return out, log


def say(text):
    """Show a figure, with ``pytest -s``."""
    sys.stdout.write(f"{text}\n")


def digest(path):
    """Return the SHA-256 of a file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
