"""What the parts of the GPU's benchmark share: the device, its clocks, a budget of time."""

import statistics
import time
import traceback
from contextlib import contextmanager

from sscaffe.device import cpu, gpu


class Place:
    """The device that is measured; the CPU stands in for it in a dry run."""

    def __init__(self, number):
        self.is_gpu = number is not None
        self.device = gpu(number) if self.is_gpu else cpu()
        if self.is_gpu:
            from sscaffe.kernels import gpu_runtime

            self._runtime = gpu_runtime

    def synchronize(self):
        """Wait for the device."""
        if self.is_gpu:
            self._runtime.synchronize()

    def elapsed(self, functions, rounds):
        """Return the median ms of each function on the device; they take turns."""
        functions = list(functions)
        for function in functions:  # what is prepared or chosen in a first run
            function()
            function()
        self.synchronize()
        if self.is_gpu:
            return self._runtime.elapsed(functions, rounds)
        times = [[_milliseconds(f) for f in functions] for _ in range(rounds)]
        return [statistics.median(column) for column in zip(*times, strict=True)]


class Budget:
    """Seconds that a part may take."""

    def __init__(self, seconds):
        self.end = time.perf_counter() + seconds

    @property
    def left(self):
        """Seconds that are left."""
        return self.end - time.perf_counter()


@contextmanager
def going_on(what):
    """Print the traceback of what fails, and go on."""
    try:
        yield
    except Exception:
        print(f"FAILED: {what}", flush=True)
        traceback.print_exc()


def take_turns(runs, budget, least=3):
    """Let functions `run(steps)`, each ending with a wait, take turns until the budget is spent.

    Returns
    -------
    dict of str to float
        The median ms of one step of each; those that raise are left out.
    """
    steps, times, most = {}, {name: [] for name in runs}, 0.05
    for name, run in list(runs.items()):
        with going_on(name):
            first = _milliseconds(lambda run=run: run(3)) / 3e3
            first = min(first, _milliseconds(lambda run=run: run(3)) / 3e3)
            steps[name] = max(3, round(most / max(first, 1e-5)))
    rounds = 0
    while steps and (rounds < least or budget.left > 0):
        for name, count in steps.items():
            times[name].append(_milliseconds(lambda n=name, c=count: runs[n](c)) / count)
        rounds += 1
    return {name: statistics.median(times[name]) for name in steps}


def _milliseconds(function):
    start = time.perf_counter()
    function()
    return 1e3 * (time.perf_counter() - start)


def tell(*words):
    """Print progress at once."""
    print(*words, flush=True)
