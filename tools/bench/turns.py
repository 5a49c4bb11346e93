"""Contestants in processes of their own that take turns.

The machine may be shared: what slows one round slows all contestants alike, so that ratios of
their medians mean something where single figures do not.
"""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

TOOLS = Path(__file__).parents[1]
NEEDED = {
    "torch": "torch==2.13.0",
    "ort": "onnxruntime onnx",
    "caffe": "kendryte-caffe==1.0.0.20210829 'numpy<1.24' 'scipy<1.11' 'scikit-image<0.20' "
    "'protobuf<3.21' six (Python 3.9)",
}
# Settings that a machine's owner chose for other programs' OpenBLAS.
NOT_FOR_PEERS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


def add_arguments(parser):
    """Add what every script with peers has."""
    for peer, packages in NEEDED.items():
        words = packages.replace("%", "%%")
        parser.add_argument(f"--{peer}-python", help=f"interpreter that has: {words}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.3, help="of each turn")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", action="store_true")


def interpreters(args):
    """Return the interpreter of each contestant that takes part."""
    given = {peer: getattr(args, f"{peer}_python") for peer in NEEDED}
    return {"sscaffe": sys.executable, **{peer: path for peer, path in given.items() if path}}


class Worker:
    """A process of one contestant."""

    def __init__(self, pythons, spec):
        peer = spec["contestant"].split()[0]
        environment = dict(os.environ, OMP_NUM_THREADS=str(spec["threads"]))
        if peer != "sscaffe":
            for name in NOT_FOR_PEERS:
                environment.pop(name, None)
        self.process = subprocess.Popen(
            [pythons[peer], "-m", "bench.worker", json.dumps(spec)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=TOOLS,
            env=environment,
        )
        self.contestant, self.milliseconds = spec["contestant"], []
        self.answer()

    def answer(self):
        """Return what the process writes next."""
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.contestant}: the process ended; see above")
        return json.loads(line)

    def run(self, seconds):
        """Let the process run for so long."""
        print(seconds, file=self.process.stdin, flush=True)
        answer = self.answer()
        self.milliseconds += answer["milliseconds"]
        self.peak = answer["peak_mib"]

    def close(self):
        """Let the process end."""
        self.process.stdin.close()
        self.process.wait()

    def summary(self):
        """Return the figures of all turns."""
        tenths = statistics.quantiles(self.milliseconds, n=10)
        return {
            "contestant": self.contestant,
            "median_ms": statistics.median(self.milliseconds),
            "p10_ms": tenths[0],
            "p90_ms": tenths[-1],
            "peak_mib": self.peak,
        }


def take_turns(workers, rounds, seconds):
    """Let workers take turns, and end; return the figures of each."""
    for _ in range(rounds):
        for worker in workers:
            worker.run(seconds)
    for worker in workers:
        worker.close()
    return [worker.summary() for worker in workers]
