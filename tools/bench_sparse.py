"""Time LOWERED_CCNMM against the dense default and LOWERED_GEMM, one convolution layer at a time.

python tools/bench_sparse.py [--batch 1 32] [--rounds 15] [--layers conv2 lenet_conv2] [--threads 1]

The layers are AlexNet's with the rows and columns of zeros that Wen et al. report, and conv2 of
LeNet with 45 x 75 of its 50 x 500 weights left. The machine may be shared, so the kernels take
turns in one process, and what counts is the ratio of the medians. Each kernel's bottom is in the
layout that it reads: oneDNN's own for the dense one, plain for the others.
"""

import argparse

import numpy as np
from bench.one_layer import geometry, measure, prepare
from bench.weights import conv_weights

from sscaffe import _core

# net, layer; zero rows and columns in %
LAYERS = {
    "conv1": ("caffenet", "conv1", 9, 0),
    "conv2": ("caffenet", "conv2", 13, 63),
    "conv3": ("caffenet", "conv3", 41, 77),
    "conv4": ("caffenet", "conv4", 46, 80),
    "conv5": ("caffenet", "conv5", 10, 82),
    "lenet_conv1": ("lenet", "conv1", 80, 8),
    "lenet_conv2": ("lenet", "conv2", 10, 85),
}
MODES = ["dense", "LOWERED_GEMM", "LOWERED_CCNMM"]


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--layers", nargs="+", choices=LAYERS, default=list(LAYERS))
    parser.add_argument("--threads", type=int, default=_core.get_num_threads())
    args = parser.parse_args()
    _core.set_num_threads(args.threads)
    print("layer          N  dense ms   gemm ms  ccnmm ms  dense/  gemm/ccnmm")
    for name in args.layers:
        net, layer, rows, columns = LAYERS[name]
        g = geometry(net, layer)
        shape = (g.out_channels, g.in_channels // g.group, *g.kernel)
        zeros = {"rows": rows / 100, "columns": columns / 100}
        weights = conv_weights(shape, g.group, zeros, np.random.default_rng(1))
        for batch in args.batch:
            runs, kernels = prepare(g, weights, batch, MODES)
            dense, gemm, ccnmm = measure(runs, args.rounds).values()
            row = "".join(f"{1e3 * seconds:>10.3f}" for seconds in (dense, gemm, ccnmm))
            ratios = f"{dense / ccnmm:>8.2f}{gemm / ccnmm:>7.2f}"
            print(f"{name:<12}{batch:>4}{row}{ratios}  {kernels['LOWERED_CCNMM'].description}")


if __name__ == "__main__":
    main()
