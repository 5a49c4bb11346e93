"""Measure the GPU in minutes: sparse layers, training steps, squeezed nets, agreement with the CPU.

python tools/bench_gpu.py [--only sparse train] [--seconds 20] [--json FILE] [--gpu 0]

Contestants take turns in one process, on one GPU; what counts is the ratio of the medians. Single
layers are timed on the device, whole steps by the clock of the host, which waits after so many.
PyTorch takes part where it is installed. --cpu runs the same on the CPU: to try the script.
"""

import argparse
import importlib
import json
import sys
import time
from pathlib import Path

from bench.gpu import Budget, Place, going_on, tell

PARTS = {"agree": "gpu_agree", "sparse": "gpu_sparse", "train": "gpu_train"}
PARTS["squeezed"] = "gpu_squeezed"


def parse():
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seconds", type=float, default=20, help="of each part, about")
    parser.add_argument("--batch", type=int, nargs="+", default=[32, 128], help="of sparse")
    parser.add_argument("--train-batch", type=int, help="of train, instead of each net's own")
    parser.add_argument("--most-batch", type=int, default=128, help="of squeezed")
    parser.add_argument(
        "--nets",
        nargs="+",
        default=["lenet", "cifar_quick", "cifar_full", "resnet20", "caffenet"],
        help="of all parts but sparse",
    )
    parser.add_argument("--rounds", type=int, default=15, help="of sparse")
    parser.add_argument("--json", metavar="FILE")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--gpu", type=int, default=0, metavar="NUMBER")
    place.add_argument("--cpu", action="store_true")
    return parser.parse_args()


def facts(place):
    """Return what was measured, and on what."""
    found = {"device": place.device.name, "command": sys.argv[1:]}
    if place.is_gpu:
        from sscaffe import gpu_facts

        found["gpu"] = gpu_facts.facts()
    return found


def main():
    """Measure, print, and write after each part what there is."""
    args = parse()
    place = Place(None if args.cpu else args.gpu)
    results = {}
    with going_on("facts"):
        results = facts(place)
    tell(json.dumps(results))
    for part in args.only:
        start = time.perf_counter()
        with going_on(part):
            module = importlib.import_module("bench." + PARTS[part])
            results[part] = module.measure(place, Budget(args.seconds), args)
        tell(f"{part}: {time.perf_counter() - start:.1f} s")
        if args.json:
            Path(args.json).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
