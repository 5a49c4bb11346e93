"""Time forward passes of a squeezed net against its dense self, in one process, in turns.

python tools/bench_squeezed.py NET WEIGHTS SQUEEZED_NET SQUEEZED_WEIGHTS [--batch 1 64]

`sscaffe squeeze` wrote the squeezed ones. Nets are compacted, and take images from a NumPy array to
a NumPy array. The squeezed net runs three times: as AUTO chooses, and with one conv_mode in all
convolutions. What counts is the ratio of the medians.
"""

import argparse
import statistics
import time

import numpy as np

from sscaffe import TEST, Net, _core, prototxt
from sscaffe.net.modes import set_conv_mode

WARM_UP = 8
MODES = {"squeezed, AUTO": None, "all DIRECT_DCONV": "DIRECT_DCONV", "all CCNMM": "LOWERED_CCNMM"}


def load(path, weights, batch, mode=None):
    """Return a function that runs a net on random images."""
    param = prototxt.read_net(path)
    if mode:
        set_conv_mode(param, mode)
    net = Net(param, TEST, weights=weights)
    bottom, top = net.blobs[net.inputs[0]], net.blobs[net.outputs[0]]
    bottom.reshape(batch, *bottom.shape[1:])
    net.reshape()
    net.compact()
    images = np.random.default_rng(0).random(bottom.shape, dtype=np.float32)

    def run():
        bottom.set_data(images)
        net.run_forward()
        return top.const_data

    for _ in range(WARM_UP):
        run()
    return run


def measure(runs, rounds, seconds):
    """Return the median microseconds of each; in a round each runs for some time."""
    times = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            begin, passes = time.perf_counter(), 0
            while passes == 0 or time.perf_counter() - begin < seconds:
                run()
                passes += 1
            times[name].append(1e6 * (time.perf_counter() - begin) / passes)
    return {name: statistics.median(values) for name, values in times.items()}


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("net", "weights", "squeezed_net", "squeezed_weights"):
        parser.add_argument(name)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--seconds", type=float, default=0.02, help="of each turn")
    args = parser.parse_args()
    _core.set_num_threads(args.threads)
    for batch in args.batch:
        runs = {"LOWERED_GEMM": load(args.net, args.weights, batch, "LOWERED_GEMM")}
        runs["dense"] = load(args.net, args.weights, batch, "DIRECT_DCONV")
        for name, mode in MODES.items():
            runs[name] = load(args.squeezed_net, args.squeezed_weights, batch, mode)
        medians = measure(runs, args.rounds, args.seconds)
        for name, median in medians.items():
            print(f"{batch:>4} {name:<20}{median:>10.1f} us{medians['dense'] / median:>8.2f} x")


if __name__ == "__main__":
    main()
