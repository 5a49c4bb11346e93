"""Time DIRECT_SCONV against oneDNN's dense convolution, one convolution layer at a time.

python tools/bench_scattered.py [--batch 1 32] [--zeros 90 95] [--layers conv2] [--json]

That many per cent of the weights are zero, anywhere. The machine may be shared, so the two take
turns in one process, and what counts is the ratio of the medians. Both bottoms are in oneDNN's own
layout, which a dense convolution before would leave; --plain gives DIRECT_SCONV plain ones. Where
the program would run the dense layer by Winograd's algorithm, "as run /" is that time over
DIRECT_SCONV's.
"""

import argparse
import json

import numpy as np
from bench.one_layer import AS_RUN, blob_of, in_native_layout, measure, only_onednn

from sscaffe import _core
from sscaffe.blob import Blob
from sscaffe.conv import make_kernel
from sscaffe.device import cpu
from sscaffe.geometry import ConvGeometry
from sscaffe.kernels import cpu_winograd
from sscaffe.layer import TEST
from sscaffe.proto import caffe_pb2

Mode = caffe_pb2.ConvolutionParameter
MODES = {"dense": Mode.DIRECT_DCONV, "sparse": Mode.DIRECT_SCONV, AS_RUN: Mode.DIRECT_DCONV}

# channels, filters, group, size, kernel, stride, pad
LAYERS = {
    "conv2": (96, 256, 2, 27, 5, 1, 2),
    "conv3": (256, 384, 1, 13, 3, 1, 1),
    "conv4": (384, 384, 2, 13, 3, 1, 1),
    "conv5": (384, 256, 2, 13, 3, 1, 1),
    "lenet_conv2": (20, 50, 1, 12, 5, 1, 0),
    "cifar_conv2": (32, 32, 1, 16, 5, 1, 2),
    "cifar_conv3": (32, 64, 1, 8, 5, 1, 2),
    "resnet20_1": (16, 16, 1, 32, 3, 1, 1),
    "resnet20_2": (32, 32, 1, 16, 3, 1, 1),
    "resnet20_3": (64, 64, 1, 8, 3, 1, 1),
}


def prepare(sizes, zeros, batch, plain):
    """Return functions that run the layer once, dense and sparse; and its FLOPs if dense."""
    channels, filters, group, *square = sizes
    g = ConvGeometry(channels, filters, group, *((n, n) for n in (*square, 1)))
    rng = np.random.default_rng(1)
    weights = rng.standard_normal((g.out_channels, g.kernel_dim))
    weights.flat[rng.permutation(weights.size)[: round(weights.size * zeros / 100)]] = 0
    weights = blob_of(weights.reshape(g.out_channels, -1, *g.kernel))
    bias = blob_of(rng.standard_normal(g.out_channels))
    bottom = blob_of(rng.standard_normal((batch, g.in_channels, *g.input)))
    native = in_native_layout(bottom, g)
    runs = {}
    for name, mode in MODES.items():
        if name == AS_RUN and not cpu_winograd.infers(g, batch):
            continue
        kernel = make_kernel(mode, g, batch, cpu(), np.float32, TEST)
        source = bottom if plain and name == "sparse" else native
        arguments = (source, weights, bias, Blob((batch, g.out_channels, *g.output)))
        runs[name] = lambda kernel=kernel, arguments=arguments: kernel.forward(*arguments)
    with only_onednn():
        runs["dense"]()
    return runs, 2 * batch * weights.count * int(np.prod(g.output))


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--zeros", type=float, nargs="+", default=[80, 90, 95])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--layers", nargs="+", choices=LAYERS, default=list(LAYERS))
    parser.add_argument("--threads", type=int, default=_core.get_num_threads())
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    _core.set_num_threads(args.threads)
    rows = []
    if not args.json:
        print("layer          N  zero %  dense ms  sparse ms  ratio  sparse GFLOP/s  as run /")
    for layer in args.layers:
        for batch in args.batch:
            for zeros in args.zeros:
                runs, flops = prepare(LAYERS[layer], zeros, batch, args.plain)
                dense, sparse, *as_run = measure(runs, args.rounds).values()
                rows.append(
                    {
                        "layer": layer,
                        "batch": batch,
                        "zeros": zeros,
                        "dense_ms": 1e3 * dense,
                        "sparse_ms": 1e3 * sparse,
                        "ratio": dense / sparse,
                        "as_run": [seconds / sparse for seconds in as_run],
                        "gflops": flops * (1 - zeros / 100) / sparse * 1e-9,
                    }
                )
                if not args.json:
                    print(
                        "{layer:<12}{batch:>4}{zeros:>8.1f}{dense_ms:>10.3f}{sparse_ms:>11.3f}"
                        "{ratio:>7.2f}{gflops:>16.0f}".format(**rows[-1]),
                        *(f"{ratio:>9.2f}" for ratio in rows[-1]["as_run"]),
                        flush=True,
                    )
    if args.json:
        print(json.dumps({"threads": args.threads, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
