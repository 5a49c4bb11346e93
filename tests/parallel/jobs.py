"""Trainings by several ranks, small enough for two cores."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.stopwatch import Stopwatch
from tests.trust.jobs import prepare

ROOT = Path(__file__).parents[2]
DRIVER = Path(__file__).with_name("driver.py")
MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}")

needs_mpi = pytest.mark.skipif(MPIEXEC is None, reason="no mpiexec: pip install 'sscaffe[mpi]'")

# A mirror and a crop draw random numbers, records wrap around in the midst of a batch.
NET = """
name: "small"
layer { name: "digits" type: "Data" top: "data" top: "label"
  transform_param { mirror: true crop_size: 5 scale: 0.01 }
  data_param { source: "digits_lmdb" backend: LMDB batch_size: %(batch)d } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" %(mode)s
  param { %(conv)s }
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
%(extra)s
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "ip1" type: "InnerProduct" bottom: "conv1" top: "ip1"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip1" bottom: "label" top: "loss" }
"""

SOLVER = """
net: "net.prototxt" base_lr: 0.05 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.001
snapshot_prefix: "small" random_seed: 3 solver_mode: CPU
"""


def prepare_net(folder, solver="max_iter: 50", *, batch=5, conv="", mode="", extra=""):
    """Write a net with such batches, its solver and its data; return the folder."""
    net = NET % {"batch": batch, "conv": conv, "mode": mode, "extra": extra}
    return prepare(folder, net, SOLVER + solver)


def environment():
    """Return the environment of a rank: no launcher's but the one that will start it."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PMI", "OMPI", "SLURM"))}
    return kept | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def with_gpus(count):
    """Return what lets a process find so many GPUs, those of the stand-in for CuPy."""
    path = f"{ROOT}{os.pathsep}{ROOT / 'tests' / 'cuda_on_host'}"
    return {"PYTHONPATH": path, "CUDA_ON_HOST_GPUS": str(count)}


@contextlib.contextmanager
def ranks(count, folder, *words, known=None):
    """Start ranks of ``python words``; what is left of them is killed."""
    program = [sys.executable, *map(str, words)]
    process = subprocess.Popen(
        [MPIEXEC, "-n", str(count), *program] if count > 1 else program,
        cwd=folder,
        env=environment() | (known or {}),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def run(count, folder, *words, status=0, timeout=200, known=None):
    """Run ranks to their end, and return what they wrote: stdout and stderr."""
    with ranks(count, folder, *words, known=known) as process:
        output = process.communicate(timeout=timeout)
    assert process.returncode == status, "\n".join(output)
    return output


def seconds_to_the_end(process, words):
    """Read the log until it has some words; return what the end took from there, and the log."""
    lines = []
    for line in process.stderr:
        lines.append(line)
        if words in line:
            break
    else:
        pytest.fail(f"no {words!r} in:\n" + "".join(lines))
    with Stopwatch() as watch:
        lines += process.stderr
        process.stdout.read()
        process.wait()
    return watch.seconds, "".join(lines)


def train(count, folder, *flags, **options):
    """Run ``sscaffe train`` on so many ranks."""
    return run(
        count, folder, "-m", "sscaffe", "train", "--solver", "solver.prototxt", *flags, **options
    )


def drive(count, folder, *words, **options):
    """Train by `driver.py`, and return for each rank what it ended with, by name."""
    run(count, folder, DRIVER, *words, **options)
    return ends_of(count, folder)


def ends_of(count, folder):
    """Return for each rank of `driver.py` what it ended with, by name."""
    ends = []
    for rank in range(count):
        with np.load(folder / f"rank{rank}.npz") as file:
            ends.append({name: file[name] for name in file.files})
    return ends


def assert_same_bits(first, second):
    """Check that two ranks, or two runs, ended alike."""
    assert first.keys() == second.keys()
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name], err_msg=name)


def children(launcher):
    """Return the processes of the ranks that a launcher started, in their order."""
    mine = psutil.Process(launcher).children(recursive=True)
    ranks = [one for one in mine if "PMI_RANK" in one.environ()]
    return [one.pid for one in sorted(ranks, key=lambda one: int(one.environ()["PMI_RANK"]))]


def spoil(folder, record):
    """Make a record of the data something that is no image."""
    lmdb = pytest.importorskip("lmdb")
    database = lmdb.open(str(folder / "digits_lmdb"), map_size=2**20)
    with database, database.begin(write=True) as transaction:
        transaction.put(b"%08d" % record, b"no image")
