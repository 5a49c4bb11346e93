"""Show where the time of a net goes: by layer, with the copies between layouts that it caused.

python tools/bench_layers.py resnet20 [--batch 32] [--train] [--by-type] [--conv-mode AUTO]

Columns: median ms of the layer's forward and backward pass, and of them ms and number of copies
from one layout of a blob to another. Those inside the core's own kernels are not seen.
"""

import argparse
import collections
import statistics
import time

import numpy as np
from bench.nets import NETS
from bench.prototxt import net_text
from bench.weights import fill

from sscaffe import TEST, TRAIN, Net, _core, prototxt
from sscaffe.timing import fill_inputs


class Copies:
    """Counts and times the copies between layouts."""

    def __init__(self):
        self.count, self.seconds = 0, 0.0
        original = _core.Memory.copy_to

        def copy_to(memory, other):
            start = time.perf_counter()
            original(memory, other)
            self.seconds += time.perf_counter() - start
            self.count += 1

        _core.Memory.copy_to = copy_to


def profile(net, train, rounds):
    """Return for each layer and pass the median ms, ms of copies, and number of copies."""
    copies, rows = Copies(), collections.defaultdict(list)
    steps = [("forward", net.run_forward, i) for i in range(len(net.layers))]
    if train:
        steps += [("backward", net.run_backward, i) for i in reversed(range(len(net.layers)))]
    for number in range(rounds + 2):
        net.blobs["data"].set_data(net.blobs["data"].const_data.copy())
        net.clear_param_diffs()
        for direction, run, i in steps:
            count, copying, start = copies.count, copies.seconds, time.perf_counter()
            run(i, i)
            if number > 1:  # the first rounds prepare weights and memory
                taken = (time.perf_counter() - start, copies.seconds - copying)
                rows[i, direction].append((*taken, copies.count - count))
    return {
        key: [statistics.median(column) for column in zip(*values, strict=True)]
        for key, values in rows.items()
    }


def group(net, result, by_type):
    """Add the figures up by layer or by type; the slowest first."""
    sums = collections.defaultdict(lambda: np.zeros(6))
    for (i, direction), (seconds, copying, count) in result.items():
        layer = net.layers[i]
        start = 3 * (direction == "backward")
        key = layer.type if by_type else f"{layer.name} ({layer.type})"
        sums[key][start : start + 3] += 1e3 * seconds, 1e3 * copying, count
    return sorted(sums.items(), key=lambda item: -item[1][0] - item[1][3])


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("net", choices=NETS)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--by-type", action="store_true")
    parser.add_argument("--conv-mode")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--top", type=int, default=15)
    parser.add_argument("--threads", type=int, default=_core.get_num_threads())
    args = parser.parse_args()
    _core.set_num_threads(args.threads)
    text = net_text(args.net, NETS[args.net](), args.batch, args.train, args.conv_mode)
    net = Net(prototxt.parse_net(text), TRAIN if args.train else TEST)
    fill(net, {}, np.random.default_rng(1))
    fill_inputs(net)
    rows = group(net, profile(net, args.train, args.rounds), args.by_type)
    total = sum(row for _, row in rows)
    print(f"{args.net}, N = {args.batch}: forward: ms, copies ms, count; backward: the same")
    for name, row in [*rows[: args.top], ("all", total)]:
        print(
            f"{name:<36}"
            + "".join(f"{v:>9.3f}" if i % 3 < 2 else f"{v:>6.0f}" for i, v in enumerate(row))
        )


if __name__ == "__main__":
    main()
