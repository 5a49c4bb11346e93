"""The process behind bench_train.py: reads a number of steps, runs them, writes their times."""

import json
import resource
import sys
import time

BATCH = 64

NET = """
name: "LeNet"
layer { name: "data" type: "Input" top: "data" top: "label"
  input_param { shape { dim: 64 dim: 1 dim: 28 dim: 28 } shape { dim: 64 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 20 kernel_size: 5 weight_filler { type: "xavier" } } }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2"
  convolution_param { num_output: 50 kernel_size: 5 weight_filler { type: "xavier" } } }
layer { name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "ip1" type: "InnerProduct" bottom: "pool2" top: "ip1"
  inner_product_param { num_output: 500 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }
"""


def sscaffe_step():
    """Return a function that does one step."""
    import numpy as np

    from sscaffe import prototxt
    from sscaffe.solver import Solver

    param = prototxt.parse_solver(
        'base_lr: 0.001 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.0005 random_seed: 1 '
        "solver_mode: CPU max_iter: 1000000 snapshot_after_train: false"
    )
    param.net_param.CopyFrom(prototxt.parse_net(NET))
    solver = Solver(param)
    rng = np.random.default_rng(1)
    solver.net.blobs["data"].set_data(rng.random((BATCH, 1, 28, 28)))
    solver.net.blobs["label"].set_data(rng.integers(0, 10, BATCH))
    return lambda: solver.step(1)


def torch_step(nhwc, fused):
    """Return a function that does one step."""
    import torch
    from torch import nn

    net = nn.Sequential(
        *(nn.Conv2d(1, 20, 5), nn.MaxPool2d(2, 2), nn.Conv2d(20, 50, 5), nn.MaxPool2d(2, 2)),
        *(nn.Flatten(), nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10)),
    )
    torch.manual_seed(1)
    images, labels = torch.rand(BATCH, 1, 28, 28), torch.randint(0, 10, (BATCH,))
    if nhwc:
        net = net.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
    rule = torch.optim.SGD(net.parameters(), 0.001, 0.9, weight_decay=0.0005, fused=fused)
    loss_layer = nn.CrossEntropyLoss()

    def step():
        rule.zero_grad(set_to_none=True)
        loss_layer(net(images), labels).backward()
        rule.step()

    return step


def main(setting):
    """Run as many steps as each line of stdin asks for."""
    if setting == "sscaffe":
        step = sscaffe_step()
    else:
        step = torch_step("nhwc" in setting, "fused" in setting)
    print(json.dumps({"ready": setting}), flush=True)
    for line in sys.stdin:
        # The first steps wake the threads and the caches.
        times = []
        for i in range(5 + int(line)):
            start = time.perf_counter()
            step()
            if i >= 5:
                times.append(1e3 * (time.perf_counter() - start))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"milliseconds": times, "peak_mib": peak}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
