"""Time training steps of whole nets: sscaffe against PyTorch's best setting and BVLC Caffe.

python tools/bench_train.py [--nets lenet resnet20] [--torch-python PYTHON] [--caffe-python PYTHON]

Each contestant runs SGD with momentum and weight decay on the same shapes, data in memory, in a
process of its own; they take turns, and what counts is the ratio of the medians. A peer takes part
if its interpreter is given: it need not be in sscaffe's environment.
"""

import argparse
import json
import tempfile

from bench.turns import Worker, add_arguments, interpreters, take_turns

BATCHES = {"lenet": 64, "cifar_quick": 100, "cifar_full": 100, "resnet20": 128, "caffenet": 32}
CONTESTANTS = ["sscaffe", "torch", "torch fused", "torch nhwc", "torch nhwc fused", "caffe"]


def measure(net, pythons, args):
    """Return the figures of each contestant on one net."""
    contestants = [name for name in CONTESTANTS if name.split()[0] in pythons]
    with tempfile.TemporaryDirectory() as folder:
        common = {"net": net, "batch": BATCHES[net], "folder": folder, "threads": args.threads}
        workers = [
            Worker(pythons, {"task": "train", "contestant": name, **common}) for name in contestants
        ]
        return take_turns(workers, args.rounds, args.seconds)


def show(net, results):
    """Print the figures of one net."""
    ours = results[0]["median_ms"]
    for r in results:
        times = f"{r['median_ms']:>10.2f}{r['p10_ms']:>9.2f}{r['p90_ms']:>9.2f}"
        ratio = r["median_ms"] / ours
        print(f"{net:<12}{r['contestant']:<18}{times}{ratio:>9.2f}{r['peak_mib']:>10.0f}")


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nets", nargs="+", choices=BATCHES, default=list(BATCHES))
    add_arguments(parser)
    args = parser.parse_args()
    pythons, everything = interpreters(args), {}
    if not args.json:
        print("net         contestant         median ms      p10      p90  / ours  peak MiB")
    for net in args.nets:
        everything[net] = measure(net, pythons, args)
        if not args.json:
            show(net, everything[net])
    if args.json:
        print(json.dumps(everything, indent=2))


if __name__ == "__main__":
    main()
