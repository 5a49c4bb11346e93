"""Time sparse convolutions of AlexNet at the sparsities that were published, against dense ones.

python tools/bench_sparse.py [--entry 2 5] [--batch 1 32] [--modes LOWERED_CCNMM] [--threads 1]

Weights are random, with the zeros of Wen et al., "Learning Structured Sparsity in Deep Neural
Networks", NIPS 2016, table 4: scattered ones (entries 1 and 4), or rows and columns of each group
(2 and 5); those of LeNet are of this package's own training. The machine may be shared, so the
kernels take turns in one process, and what counts is the ratio of the medians. A layer's speedup is
that of its fastest kernel, dense if none is faster. Dense is oneDNN's direct convolution; where the
program would run Winograd's algorithm, "as run /" is that time over the fastest of the others. Each
kernel's bottom is in the layout that it reads: that of dense convolutions for the dense one and for
LOWERED_CCNMM, plain for the others. SSCAFFE_BLAS chooses the matrix product of LOWERED_GEMM.
"""

import argparse
import json
import statistics

import numpy as np
from bench.one_layer import AS_RUN, MODES, geometry, measure, prepare
from bench.weights import conv_weights

from sscaffe import _core
from sscaffe.kernels import cpu_blas

ALEXNET = [f"caffenet/conv{i}" for i in range(1, 6)]


def by_layer(layers, **percent):
    """Return the parts of zeros of each layer."""
    return {
        layer: {kind: values[i] / 100 for kind, values in percent.items()}
        for i, layer in enumerate(layers)
    }


ENTRIES = {
    "1": by_layer(ALEXNET, random=[67.6, 92.4, 97.2, 96.6, 94.3]),
    "2": by_layer(ALEXNET, rows=[9.4, 12.9, 40.6, 46.9, 0], columns=[0, 63.2, 76.9, 84.7, 80.7]),
    "4": by_layer(ALEXNET, random=[14.7, 76.2, 85.3, 81.5, 76.3]),
    "5": by_layer(ALEXNET, columns=[0, 20.9, 39.7, 39.7, 24.6]),
    "lenet": by_layer(["lenet/conv1", "lenet/conv2"], rows=[80, 10], columns=[8, 85]),
}
BASES = ["dense", "LOWERED_GEMM"]
SPARSE = ["LOWERED_CCNMM", "DIRECT_SCONV"]


def time_layer(path, zeros, batch, args):
    """Return the milliseconds of each mode, and what the fastest sparse kernel says of itself."""
    g = geometry(*path.split("/"))
    shape = (g.out_channels, g.in_channels // g.group, *g.kernel)
    weights = conv_weights(shape, g.group, zeros, np.random.default_rng(1))
    runs, kernels = prepare(g, weights, batch, [*BASES, *args.modes])
    times = {mode: 1e3 * seconds for mode, seconds in measure(runs, args.rounds).items()}
    best = min(args.modes, key=lambda mode: times.get(mode, np.inf))
    return times, kernels[best].description


def fastest(times):
    """Return what the fastest kernel takes, Winograd's left out."""
    return min(time for mode, time in times.items() if mode != AS_RUN)


def sums(layers):
    """Return what all layers, and those after the first, take, and the mean of the speedups."""
    best = {name: fastest(times) for name, times in layers.items()}
    result = {}
    for title, names in (("all", list(layers)), ("but the first", list(layers)[1:])):
        total = sum(best[name] for name in names)
        result[title] = {base: sum(layers[name][base] for name in names) / total for base in BASES}
    result["mean of the layers"] = {
        base: statistics.mean(layers[name][base] / best[name] for name in layers) for base in BASES
    }
    return result


def show(entry, batch, layers, notes):
    """Print the layers of an entry at a batch size, and their sums."""
    modes = [mode for mode in next(iter(layers.values())) if mode != AS_RUN]
    titles = "".join(f"{mode.lower():>15}" for mode in modes)
    print(f"\nentry {entry}, N = {batch}, ms{titles}   dense /   gemm /  as run /")
    for name, times in layers.items():
        cells = "".join(f"{times.get(mode, np.nan):>15.3f}" for mode in modes)
        ratios = "".join(f"{times[base] / fastest(times):>10.2f}" for base in BASES)
        ratios += f"{times[AS_RUN] / fastest(times):>10.2f}" if AS_RUN in times else f"{'-':>10}"
        print(f"{name:<20}{cells}{ratios}  {notes[name]}")
    for title, ratios in sums(layers).items():
        cells = "".join(f"{ratios[base]:>10.2f}" for base in BASES)
        print(f"{title:<20}{'':{15 * len(modes)}}{cells}")


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entry", nargs="+", choices=ENTRIES, default=list(ENTRIES))
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--modes", nargs="+", choices=[*MODES], default=SPARSE)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=_core.get_num_threads())
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    _core.set_num_threads(args.threads)
    library, results = cpu_blas.description(), []
    if not args.json:
        print(f"{args.threads} threads; LOWERED_GEMM multiplies by {library}")
    for entry in args.entry:
        for batch in args.batch:
            timed = {
                path: time_layer(path, zeros, batch, args) for path, zeros in ENTRIES[entry].items()
            }
            layers = {path: times for path, (times, _) in timed.items()}
            notes = {path: note for path, (_, note) in timed.items()}
            results.append({"entry": entry, "batch": batch, "ms": layers, "ratios": sums(layers)})
            if not args.json:
                show(entry, batch, layers, notes)
    if args.json:
        print(json.dumps({"threads": args.threads, "blas": library, "results": results}, indent=1))


if __name__ == "__main__":
    main()
