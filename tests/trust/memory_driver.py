"""Train within less and less address space; write how each training ended.

Run as ``python -m tests.trust.memory_driver STEPS``. The processes are forked from this one, which
has imported all that a training needs: with less than that, Python itself does not start, and
takes modules that it has no memory to compile for wrong ones.
"""

import os
import resource
import sys
from pathlib import Path

import numpy.random  # noqa: F401 - NumPy loads it when it is first used

import sscaffe.cli.train  # noqa: F401
from sscaffe.cli import main
from sscaffe.device import cpu
from tests.trust.jobs import say

NET = """
name: "large"
layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: 64 dim: 3 dim: 80 dim: 80 } shape { dim: 64 }
    data_filler { type: "gaussian" std: 1 } data_filler { type: "constant" value: 1 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 32 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "norm1" type: "LRN" bottom: "conv1" top: "norm1" }
layer { name: "conv2" type: "Convolution" bottom: "norm1" top: "conv2"
  convolution_param { num_output: 32 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2"
  pooling_param { kernel_size: 4 stride: 4 } }
layer { name: "drop2" type: "Dropout" bottom: "pool2" top: "drop2" }
layer { name: "ip1" type: "InnerProduct" bottom: "drop2" top: "ip1"
  inner_product_param { num_output: 500 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip1" bottom: "label" top: "loss" }
"""
SOLVER = """
net: "net.prototxt" base_lr: 0.001 lr_policy: "fixed" momentum: 0.9 max_iter: 1
snapshot_prefix: "large" random_seed: 1 solver_mode: CPU
"""
FIRST, STEP = 200 << 20, 50 << 20


def train_within(limit):
    """Train in a process that may use so much: its exit status, and what it wrote."""
    child = os.fork()
    if not child:
        file = os.open("out", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        os._exit(main(["train", "--solver", "solver.prototxt"]))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status, Path("out").read_text(encoding="utf-8")


def run(steps):
    """Go through all limits; write a line for each."""
    cpu()  # loads the kernels
    Path("net.prototxt").write_text(NET, encoding="utf-8")
    Path("solver.prototxt").write_text(SOLVER, encoding="utf-8")
    for step in range(steps):
        limit = FIRST + step * STEP
        status, text = train_within(limit)
        sentence = text[text.find("sscaffe train:") :] if status else "trained"
        say(f"{limit >> 20} MB | {status} | {' '.join(sentence.split())}")


if __name__ == "__main__":
    run(int(sys.argv[1]))
