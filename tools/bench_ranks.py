"""Time training steps of several ranks against one process with the same records a step.

python tools/bench_ranks.py [--nets cifar_full] [--ranks 2] [--rounds 7]

One process has all records of a step and all threads; ranks share both. "apart" are the same ranks
without reductions: what they take longer than the one process is what sharing a machine costs, and
what "together" takes longer than they do is what reductions cost. Data is in memory. All take
turns; what counts are ratios of medians.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.turns import TOOLS

from sscaffe.launch import MpiExec

BATCHES = {"lenet": 64, "cifar_quick": 100, "cifar_full": 100, "resnet20": 128, "caffenet": 32}


class Contestant:
    """Ranks that train, or one process."""

    def __init__(self, folder, name, ranks, **spec):
        self.name, self.milliseconds = name, []
        paths = [Path(folder, f"{name}.{rank}") for rank in range(ranks)]
        for path in paths:
            os.mkfifo(path)
        spec |= {"name": name, "folder": folder}
        words = [sys.executable, "-m", "bench.rank_worker", json.dumps(spec)]
        self.process = subprocess.Popen(
            MpiExec.find().command(words, ranks) if ranks > 1 else words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            cwd=TOOLS,
            env=dict(os.environ, OMP_NUM_THREADS=str(spec["threads"])),
        )
        # Opened for both, a pipe waits for nobody.
        self.pipes = [os.fdopen(os.open(path, os.O_RDWR), "w") for path in paths]
        self.count = 3
        self.run(count=3)
        times = self.run(count=3)
        self.step = statistics.median(times)

    def run(self, count):
        """Do some steps, and return the milliseconds of each."""
        for pipe in self.pipes:
            print(count, file=pipe, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name}: the process ended; see above")
        return json.loads(line)

    def take_turn(self, seconds):
        """Do steps for about so long, after one that does not count."""
        self.milliseconds += self.run(1 + max(3, round(1e3 * seconds / self.step)))[1:]

    def close(self):
        """End the processes, which read from pipes that nobody writes to any more."""
        self.process.terminate()
        self.process.communicate()
        for pipe in self.pipes:
            pipe.close()


def measure(net, args):
    """Return the times of each contestant on one net, in ms."""
    batch, threads = BATCHES[net], args.threads
    share = {"net": net, "batch": batch // args.ranks, "threads": max(1, threads // args.ranks)}
    whole = {"net": net, "batch": batch, "threads": threads}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        contestants = [
            Contestant(folder, "one", 1, together=False, **whole),
            Contestant(folder, "apart", args.ranks, together=False, **share),
            Contestant(folder, "together", args.ranks, together=True, **share),
        ]
        for contestant in contestants:
            stack.callback(contestant.close)
        for number in range(args.rounds):
            first = number % len(contestants)
            for contestant in contestants[first:] + contestants[:first]:
                contestant.take_turn(args.seconds)
    return {contestant.name: contestant.milliseconds for contestant in contestants}


def show(net, results, args):
    """Print the figures of one net."""
    batch = BATCHES[net]
    each = f"batch {batch // args.ranks}, {max(1, args.threads // args.ranks)} threads each"
    words = {
        "one": f"sscaffe, 1 process, batch {batch}, {args.threads} threads",
        "apart": f"{args.ranks} ranks apart, {each}",
        "together": f"{args.ranks} ranks together, {each}",
    }
    one = statistics.median(results["one"])
    for name, times in results.items():
        tenths = statistics.quantiles(times, n=10)
        median = statistics.median(times)
        figures = f"{median:>9.2f}{tenths[0]:>9.2f}{tenths[-1]:>9.2f}{median / one:>9.3f}"
        print(f"{net:<12}{words[name]:<48}{figures}")


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nets", nargs="+", choices=BATCHES, default=["cifar_full"])
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each turn")
    args = parser.parse_args()
    print(f"{'net':<12}{'what':<48}median ms      p10      p90    / one")
    for net in args.nets:
        show(net, measure(net, args), args)


if __name__ == "__main__":
    main()
