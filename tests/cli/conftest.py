"""A tiny net, its solver and its database, and the command line to run on them."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from sscaffe.cli import main
from sscaffe.data.datum import array_to_datum
from sscaffe.data.lmdb_writer import write_lmdb
from tests.trust.jobs import program

ROOT = Path(__file__).parents[2]

NET = """
name: "tiny"
layer {
  name: "digits" type: "Data" top: "data" top: "label"
  transform_param { scale: 0.00390625 }
  data_param { source: "digits_lmdb" backend: LMDB batch_size: 8 }
}
layer {
  name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  param { lr_mult: 1 block_group_lasso { group: FILTER } }
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } }
}
layer {
  name: "ip1" type: "InnerProduct" bottom: "conv1" top: "ip1"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } }
}
layer {
  name: "accuracy" type: "Accuracy" bottom: "ip1" bottom: "label" top: "accuracy"
  include { phase: TEST }
}
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip1" bottom: "label" top: "loss" }
"""

SOLVER = """
net: "net.prototxt"
test_iter: 2 test_interval: 10
base_lr: 0.05 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.0005
max_iter: 20 display: 5 snapshot: 10 snapshot_prefix: "tiny"
random_seed: 3 solver_mode: CPU
"""

DEPLOY = """
name: "tiny"
layer { name: "data" type: "Input" top: "data"
        input_param { shape { dim: 8 dim: 1 dim: 6 dim: 6 } } }
layer {
  name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } }
}
layer {
  name: "ip1" type: "InnerProduct" bottom: "conv1" top: "ip1"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } }
}
layer { name: "prob" type: "Softmax" bottom: "ip1" top: "prob" }
"""


def write_digits(folder, count=24):
    """Write a database of images whose brightest third tells their label."""
    rng = np.random.default_rng(1701)
    records = []
    for i in range(count):
        image = rng.integers(0, 80, (1, 6, 6), dtype=np.uint8)
        image[0, 2 * (i % 3) : 2 * (i % 3) + 2] += 150
        records.append((b"%08d" % i, array_to_datum(image, i % 3).SerializeToString()))
    write_lmdb(folder, records)


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Make net.prototxt, deploy.prototxt and solver.prototxt in a new working directory."""
    monkeypatch.chdir(tmp_path)
    write_digits(tmp_path / "digits_lmdb")
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "deploy.prototxt").write_text(DEPLOY)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    return tmp_path


@pytest.fixture
def sscaffe(capsys):
    """Run a command: ``status, stdout, stderr = sscaffe("test -model net.prototxt")``."""

    def run(words):
        status = main(words.split() if isinstance(words, str) else words)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def start():
    """Start a command in a process of its own, which first runs some code."""
    started = []

    def begin(words, before=""):
        process = subprocess.Popen(
            program(words.split(), before),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()
