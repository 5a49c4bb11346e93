"""Time forward passes of whole nets: sscaffe against ONNX Runtime, PyTorch and BVLC Caffe.

python tools/bench_infer.py [--nets caffenet] [--batch 1 32] [--modes LOWERED_CCNMM --columns 0.8]
    [--torch-python PYTHON] [--ort-python PYTHON] [--caffe-python PYTHON] [--memory]

All contestants load the same weights and take images from a NumPy array to a NumPy array; what they
compute must agree. Each is a process of its own; they take turns, and what counts is the ratio of
the medians. ``--memory`` instead gives each a fresh process that loads the net and runs it 3 times.
"""

import argparse
import json
import tempfile

import numpy as np
from bench.inputs import output_path
from bench.nets import NETS
from bench.turns import Worker, add_arguments, interpreters, take_turns

PEERS = ["torch", "torch nhwc", "ort", "caffe"]


def check(specs):
    """End with a sentence if what the contestants computed differs: they must time one net."""
    ours, *theirs = [np.load(output_path(spec)) for spec in specs]
    for spec, output in zip(specs[1:], theirs, strict=True):
        error = abs(output.reshape(ours.shape) - ours).max() / abs(ours).max()
        if not error < 1e-3:
            raise SystemExit(f"{spec['net']}: {spec['contestant']} differs by {error:.1e}")


def prepare(net, pythons, args, folder):
    """Write the weights in the forms that the contestants load; return what specs share."""
    zeros = {"columns": args.columns, "rows": args.rows, "random": args.random}
    common = {"net": net, "folder": folder, "threads": args.threads, "zeros": zeros}
    common["caffemodel"] = args.caffemodel
    for peer in ("sscaffe", "ort"):
        if peer in pythons:
            Worker(pythons, {**common, "task": "prepare", "contestant": peer}).close()
    return common


def measure(pythons, specs, args):
    """Return the figures of the contestants on one net and batch size."""
    if not args.memory:
        results = take_turns([Worker(pythons, s) for s in specs], args.rounds, args.seconds)
    else:
        # The worker runs once to be ready and at least 3 times after that.
        results = [take_turns([Worker(pythons, spec)], 1, 0)[0] for spec in specs]
    check(specs)
    return results


def show(net, batch, results):
    """Print the figures of one net and batch size."""
    ours = results[0]["median_ms"]
    for r in results:
        times = f"{r['median_ms']:>10.2f}{r['p10_ms']:>9.2f}{r['p90_ms']:>9.2f}"
        ratio = r["median_ms"] / ours
        print(f"{net:<12}{batch:>3} {r['contestant']:<22}{times}{ratio:>8.2f}{r['peak_mib']:>9.0f}")


def parse():
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nets", nargs="+", choices=NETS, default=list(NETS))
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--modes", nargs="+", default=[], help="conv_modes that take part too")
    for kind in ("columns", "rows", "random"):
        parser.add_argument(f"--{kind}", type=float, default=0, help="part that is zero, 0 to 1")
    parser.add_argument("--caffemodel", help="weights for the net, instead of random ones")
    parser.add_argument("--memory", action="store_true")
    add_arguments(parser)
    return parser.parse_args()


def main():
    """Measure and print."""
    args = parse()
    pythons, everything = interpreters(args), []
    contestants = ["sscaffe"] + [f"sscaffe {mode}" for mode in args.modes]
    contestants += [name for name in PEERS if name.split()[0] in pythons]
    if not args.json:
        print("net          N  contestant           median ms      p10      p90  / ours peak MiB")
    for net in args.nets:
        with tempfile.TemporaryDirectory() as folder:
            common = prepare(net, pythons, args, folder)
            for batch in args.batch:
                specs = [
                    {**common, "task": "infer", "contestant": name, "batch": batch}
                    for name in contestants
                ]
                results = measure(pythons, specs, args)
                everything.append({"net": net, "batch": batch, "results": results})
                if not args.json:
                    show(net, batch, results)
    if args.json:
        print(json.dumps(everything, indent=2))


if __name__ == "__main__":
    main()
