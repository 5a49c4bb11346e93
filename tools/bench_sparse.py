"""Time LOWERED_CCNMM against the dense default and LOWERED_GEMM, one convolution layer at a time.

python tools/bench_sparse.py [--batch 1 32] [--rounds 15] [--layers conv2 lenet_conv2] [--threads 1]

The layers are AlexNet's with the rows and columns of zeros that Wen et al. report, and conv2 of
LeNet with 45 x 75 of its 50 x 500 weights left. The machine may be shared, so the kernels take
turns in one process, and what counts is the ratio of the medians. Each kernel's bottom is in the
layout that it reads: oneDNN's own for the dense one, plain for the others.
"""

import argparse
import statistics
import timeit

import numpy as np

from sscaffe import _core
from sscaffe.blob import Blob
from sscaffe.conv import make_kernel
from sscaffe.device import cpu
from sscaffe.geometry import ConvGeometry
from sscaffe.layer import TEST
from sscaffe.proto import caffe_pb2

MODE = caffe_pb2.ConvolutionParameter
MODES = {"dense": None, "gemm": MODE.LOWERED_GEMM, "ccnmm": MODE.LOWERED_CCNMM}

# channels, filters, group, size, kernel, stride, pad; zero rows and columns in %
LAYERS = {
    "conv1": ((3, 96, 1, 227, 11, 4, 0), 9, 0),
    "conv2": ((96, 256, 2, 27, 5, 1, 2), 13, 63),
    "conv3": ((256, 384, 1, 13, 3, 1, 1), 41, 77),
    "conv4": ((384, 384, 2, 13, 3, 1, 1), 46, 80),
    "conv5": ((384, 256, 2, 13, 3, 1, 1), 10, 82),
    "lenet_conv1": ((1, 20, 1, 28, 5, 1, 0), 80, 8),
    "lenet_conv2": ((20, 50, 1, 12, 5, 1, 0), 10, 85),
}


def blob_of(array):
    """Return a blob of float32 that holds an array."""
    blob = Blob(array.shape)
    blob.set_data(array)
    return blob


def sparse_weights(g, zero_rows, zero_columns, rng):
    """Return weights with so many per cent of the rows and columns of each group zero."""
    matrix = rng.standard_normal((g.out_channels, g.kernel_dim)).astype(np.float32)
    for part in np.split(matrix, g.group):
        for lines, percent in ((part, zero_rows), (part.T, zero_columns)):
            zero = rng.permutation(len(lines))[: round(len(lines) * percent / 100)]
            lines[zero] = 0
    return blob_of(matrix.reshape(g.out_channels, -1, *g.kernel))


def bottom_in_native_layout(bottom, g):
    """Return a copy of the bottom in the layout that a dense convolution before would leave."""
    if g.in_channels < 8:
        return bottom
    c, copy = g.in_channels, Blob(bottom.shape)
    one_by_one = ConvGeometry(c, c, 1, g.input, (1, 1), (1, 1), (0, 0), (1, 1))
    identity = blob_of(np.eye(c).reshape(c, c, 1, 1))
    dense = make_kernel(None, one_by_one, bottom.shape[0], cpu(), np.float32, TEST)
    dense.forward(bottom, identity, None, copy)
    return copy


def prepare(sizes, zero_rows, zero_columns, batch):
    """Return a function for each mode that runs the layer once, and the kernels."""
    channels, filters, group, *square = sizes
    g = ConvGeometry(channels, filters, group, *((n, n) for n in (*square, 1)))
    rng = np.random.default_rng(1)
    bottom = blob_of(rng.standard_normal((batch, g.in_channels, *g.input)))
    weights = sparse_weights(g, zero_rows, zero_columns, rng)
    bias = blob_of(rng.standard_normal(g.out_channels))
    runs, kernels = {}, {}
    for name, mode in MODES.items():
        kernel = kernels[name] = make_kernel(mode, g, batch, cpu(), np.float32, TEST)
        source = bottom_in_native_layout(bottom, g) if mode is None else bottom
        arguments = (source, weights, bias, Blob((batch, g.out_channels, *g.output)))
        runs[name] = lambda kernel=kernel, arguments=arguments: kernel.forward(*arguments)
    return runs, kernels


def measure(runs, rounds):
    """Let the kernels take turns; return the median seconds of one run of each."""
    times = {}
    for name, run in runs.items():
        run()
        times[name] = [timeit.timeit(run, number=1)]
    repeats = {name: max(1, round(2e-3 / first)) for name, (first,) in times.items()}
    for _ in range(rounds):
        for name, run in runs.items():
            times[name].append(timeit.timeit(run, number=repeats[name]) / repeats[name])
    return {name: statistics.median(values) for name, values in times.items()}


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
    for layer in args.layers:
        for batch in args.batch:
            runs, kernels = prepare(*LAYERS[layer], batch)
            dense, gemm, ccnmm = measure(runs, args.rounds).values()
            row = "".join(f"{1e3 * seconds:>10.3f}" for seconds in (dense, gemm, ccnmm))
            ratios = f"{dense / ccnmm:>8.2f}{gemm / ccnmm:>7.2f}"
            print(f"{layer:<12}{batch:>4}{row}{ratios}  {kernels['ccnmm'].description}")


if __name__ == "__main__":
    main()
