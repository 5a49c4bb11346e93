"""A contestant's process: reads for how long to run, runs, writes the times of its runs.

python -m bench.worker SPEC, with what `Spec` says as JSON.
"""

import importlib
import json
import sys
import time
from pathlib import Path

MODULES = {"sscaffe": "ours", "torch": "torch_peer", "ort": "ort_peer", "caffe": "caffe_peer"}


def peak_mib():
    """Return the most memory this process ever held; unlike ru_maxrss, not what began it."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def run_for(run, seconds):
    """Run at least three times and for so long; return the milliseconds of each run."""
    run()  # wakes the threads and the caches
    times, end = [], time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - start))
    return times


def tell(**answer):
    """Write a line for the parent."""
    print(json.dumps(answer), file=ANSWERS, flush=True)


def main(spec):
    """Do what the spec's task is; for the timed ones, as often as the parent asks."""
    module = importlib.import_module("bench." + MODULES[spec["contestant"].split()[0]])
    run = getattr(module, spec["task"])(spec)
    tell(ready=spec["contestant"])
    if run is None:
        return
    for line in sys.stdin:
        times = run_for(run, float(line))
        tell(milliseconds=times, peak_mib=peak_mib())


if __name__ == "__main__":
    # Peers print to stdout as well; only this file's answers may reach the parent.
    ANSWERS, sys.stdout = sys.stdout, sys.stderr
    main(json.loads(sys.argv[1]))
