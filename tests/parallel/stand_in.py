"""A stand-in for a training on several ranks: adds up, takes snapshots, goes on from them.

``stand_in.py STEPS [PAUSE [SIZE]] [fault]`` in the working directory; ``weights.npy`` is the end.
A fault is ``raise:RANK:STEP`` or ``stop:RANK:STEP``. As long as there is a file ``held``, the last
step is not begun: nobody has to be quick to disturb a training that is not done yet.
"""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
from mpi4py import MPI

from sscaffe.glog import log_to_stderr
from sscaffe.parallel.news import wait_until_read
from sscaffe.parallel.watchdog import Watchdog

STATE = Path("state.npy")
EVERY = 10  # steps from a snapshot to the next
HELD = Path("held")


def save(path, array):
    temporary = Path(f"{path}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        np.save(file, array)
    temporary.replace(path)


def main(comm, watchdog, steps, pause=0.0, size=100, fault=""):
    stops = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, lambda number, frame: stops.append(number))
    state = np.load(STATE) if STATE.exists() else np.zeros(size + 1)
    first, weights = int(state[0]), state[1:]
    sys.stderr.write(f"rank {comm.rank} is process {os.getpid()}, from step {first}\n")
    watchdog.feed()
    for step in range(first, steps):
        while step == steps - 1 and HELD.exists() and not stops:
            time.sleep(0.01)
            watchdog.feed()
        gradient = np.sin(weights + step + comm.rank)
        if fault in (f"raise:{comm.rank}:{step}", f"stop:{comm.rank}:{step}"):
            if fault.startswith("raise"):
                raise RuntimeError("as asked")
            os.kill(os.getpid(), signal.SIGSTOP)
        with watchdog.waiting():
            comm.Allreduce(MPI.IN_PLACE, gradient)
        weights = 0.99 * weights + 0.1 * gradient
        time.sleep(pause)
        watchdog.step()
        with watchdog.waiting():
            is_stopped = comm.allreduce(len(stops), MPI.MAX)
        if comm.rank == 0 and (is_stopped or (step + 1) % EVERY == 0):
            save(STATE, np.concatenate([[step + 1], weights]))
            sys.stderr.write(f"snapshot at {step + 1}\n")
        if is_stopped:
            sys.exit(130)
    if comm.rank == 0:
        save("weights.npy", weights)


def run():
    log_to_stderr()
    comm, words = MPI.COMM_WORLD, sys.argv[1:]
    fault = words.pop() if ":" in words[-1] else ""
    numbers = [int(words[0]), *map(float, words[1:2]), *map(int, words[2:])]
    try:
        with Watchdog(comm.rank) as watchdog:
            main(comm, watchdog, *numbers, fault=fault)
    except Exception as error:
        sys.stderr.write(f"rank {comm.rank}: {error}\n")
        sys.stderr.flush()
        wait_until_read(60)  # Hydra may drop what an aborting rank has just written,
        time.sleep(0.5)  # or what it has just read.
        comm.Abort(1)


run()
