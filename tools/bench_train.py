"""Time a training step of LeNet at batch 64: sscaffe against PyTorch's best setting.

python tools/bench_train.py [--torch-python PYTHON] [--rounds 9] [--steps 50] [--json]

The machine may be shared, so the contestants take turns: in each round each of them, in a process
of its own, runs some steps on the same shapes (data in memory, SGD with momentum and weight
decay). What counts is the ratio of the medians. PyTorch need not be in sscaffe's environment:
``--torch-python`` is the interpreter that has it.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

SETTINGS = ["sscaffe", "torch", "torch fused", "torch nhwc", "torch nhwc fused"]
WORKER = Path(__file__).with_name("bench_train_worker.py")


class Worker:
    """A process that runs training steps when asked to."""

    def __init__(self, python, setting):
        self.process = subprocess.Popen(
            [python, str(WORKER), setting],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
        )
        self.setting = setting
        self.milliseconds = []
        self.answer()

    def answer(self):
        """Return what the process writes next."""
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.setting}: the process ended; see above")
        return json.loads(line)

    def run(self, steps):
        """Let the process run some steps."""
        print(steps, file=self.process.stdin, flush=True)
        answer = self.answer()
        self.milliseconds += answer["milliseconds"]
        self.peak = answer["peak_mib"]

    def close(self):
        """Let the process end."""
        self.process.stdin.close()
        self.process.wait()

    def summary(self):
        """Return the figures of all rounds."""
        tenths = statistics.quantiles(self.milliseconds, n=10)
        return {
            "setting": self.setting,
            "median_ms": statistics.median(self.milliseconds),
            "p10_ms": tenths[0],
            "p90_ms": tenths[-1],
            "peak_mib": self.peak,
        }


def require_torch(python):
    """End with a sentence if there is no PyTorch."""
    probe = [python, "-c", "import torch"]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        raise SystemExit(
            f"bench_train: {python} cannot import torch; pip install torch==2.13.0 into an "
            "environment and give its interpreter with --torch-python"
        )


def measure(torch_python, rounds, steps):
    """Let all settings take turns; return the figures of each."""
    pythons = [sys.executable] + [torch_python] * (len(SETTINGS) - 1)
    workers = [Worker(python, name) for python, name in zip(pythons, SETTINGS, strict=True)]
    for _ in range(rounds):
        for worker in workers:
            worker.run(steps)
    for worker in workers:
        worker.close()
    return [worker.summary() for worker in workers]


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch-python", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    require_torch(args.torch_python)
    ours, *theirs = results = measure(args.torch_python, args.rounds, args.steps)
    best = min(theirs, key=lambda result: result["median_ms"])
    ratio = best["median_ms"] / ours["median_ms"]
    if args.json:
        print(json.dumps({"results": results, "best": best["setting"], "ratio": ratio}, indent=2))
        return
    print(f"{'setting':<18}{'median ms':>10}{'p10':>8}{'p90':>8}{'peak MiB':>10}")
    for r in results:
        times = f"{r['median_ms']:>10.2f}{r['p10_ms']:>8.2f}{r['p90_ms']:>8.2f}"
        print(f"{r['setting']:<18}{times}{r['peak_mib']:>10.0f}")
    print(f"sscaffe takes 1 / {ratio:.2f} of the time of {best['setting']}")


if __name__ == "__main__":
    main()
