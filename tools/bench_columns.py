"""Time every conv_mode against the dense default on layers of real nets, over sparsities.

python tools/bench_columns.py [--kind columns random] [--batch 1 32] [--layers caffenet/conv3]
python tools/bench_columns.py --matrices FOLDER   # coo_conv1.weight ... in MatrixMarket's form

Figures are ratios of the medians of runs that take turns, dense / mode: above 1 the mode is faster.
Dense is oneDNN's direct convolution; the last column is for Winograd's algorithm, where the
program would run that one instead.
Weights are random, but those of ``--matrices``, which are of AlexNet.
"""

import argparse
from pathlib import Path

import numpy as np
from bench.one_layer import AS_RUN, MODES, geometry, measure, prepare, read_matrix
from bench.weights import conv_weights

from sscaffe import _core

CHOSEN = {
    "lenet": ["conv1", "conv2"],
    "cifar_full": ["conv1", "conv2", "conv3"],
    "resnet20": ["s1b1_a", "s2b2_a", "s3b2_a"],
    "caffenet": ["conv1", "conv2", "conv3", "conv4", "conv5"],
    "vgg16": ["conv2_2", "conv3_2", "conv4_2", "conv5_1"],
}
LAYERS = [f"{net}/{layer}" for net, layers in CHOSEN.items() for layer in layers]
PERCENT = {"columns": [0, 20, 40, 60, 70, 80, 90, 95], "random": [50, 70, 80, 90, 95, 98]}


def cases(args):
    """Yield layer, geometry, what its zeros are, and its weights."""
    if args.matrices:
        for path in sorted(Path(args.matrices).glob("coo_conv?.weight")):
            layer = f"caffenet/{path.stem[4:]}"
            g = geometry(*layer.split("/"))
            weights = read_matrix(path, g)
            yield layer, g, f"{100 * np.mean(weights == 0):.1f} % zero", weights
        return
    for kind in args.kind:
        for layer in args.layers:
            g = geometry(*layer.split("/"))
            shape = (g.out_channels, g.in_channels // g.group, *g.kernel)
            for percent in args.percent or PERCENT[kind]:
                zeros = {kind: percent / 100}
                weights = conv_weights(shape, g.group, zeros, np.random.default_rng(1))
                yield layer, g, f"{kind} {percent} %", weights


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", nargs="+", choices=PERCENT, default=list(PERCENT))
    parser.add_argument("--percent", type=int, nargs="+", help="instead of the usual ones")
    parser.add_argument("--layers", nargs="+", default=LAYERS, metavar="NET/LAYER")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--matrices", help="a folder of published weight matrices of AlexNet")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=_core.get_num_threads())
    args = parser.parse_args()
    _core.set_num_threads(args.threads)
    modes = ["dense", *(mode for mode in args.modes if mode != "dense")]
    print(
        f"{'layer':<18}{'zeros':<16}{'N':>3}{'dense ms':>10}"
        + "".join(f"{m:>15}" for m in [*modes[1:], AS_RUN])
    )
    for layer, g, zeros, weights in cases(args):
        for batch in args.batch:
            runs, _ = prepare(g, weights, batch, modes)
            times = measure(runs, args.rounds)
            shown = [*modes[1:], AS_RUN]
            ratios = [f"{times['dense'] / times[m]:.2f}" if m in times else "-" for m in shown]
            words = "".join(f"{ratio:>15}" for ratio in ratios)
            print(
                f"{layer:<18}{zeros:<16}{batch:>3}{1e3 * times['dense']:>10.3f}{words}", flush=True
            )


if __name__ == "__main__":
    main()
