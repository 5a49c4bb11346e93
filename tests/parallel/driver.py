"""One rank of a training: ``driver.py [words]``; what it ends with goes to a file of its own.

Words: a .solverstate to go on from; ``split``: divide the batches; ``fail``, ``differ``, ``lose``,
``stall``: let rank 1 meet an error, change a weight, or NCCL lose a process, or stand still, after
some iterations; ``gpu``: train on GPUs, and then those of `on_gpus.place`, ``singly``: layers one
by one, and ``stuck``: one waits in NCCL.
"""

import sys
import time

import numpy as np

from sscaffe.glog import log_to_stderr
from sscaffe.parallel.team import Team
from sscaffe.parallel.watchdog import Watchdog
from sscaffe.parallel.world import current
from sscaffe.solver import Solver


def fail(solver):
    if solver.iter == 10:
        raise ValueError("out of luck")


def differ(solver):
    if solver.iter == 20:
        solver.net.params["ip1"][0].data[0, 0] += 1e-6


def lose(solver):
    on_gpus.lose_another(solver)


def stall(solver):
    if solver.iter == 3:
        time.sleep(600)


words = sys.argv[1:]
world = current()
place = None
if "gpu" in words:
    from tests.parallel import on_gpus

    place = on_gpus.place(words, world)
# Rank 0, which waits for the other, is not to speak first.
watchdog = Watchdog(world.rank, 600.0 if "stall" in words and world.rank == 0 else None)
team = Team(world, split_batch="split" in words, watchdog=watchdog)
solver = Solver("solver.prototxt", device=place, team=team)
if world.rank == 1:
    solver.callbacks += [one for one in (fail, differ, lose, stall) if one.__name__ in words]
if "singly" in words:
    on_gpus.one_by_one(solver)
if "stuck" in words:
    on_gpus.get_stuck(solver)
if {"stall", "stuck"} & {*words}:
    log_to_stderr()
    watchdog.start()
solver.solve(next((word for word in words if word.endswith(".solverstate")), None))

found = {param.name: param.host_data for param in solver.net.learnable_params}
found |= {f"history {i}": blob.host_data for i, blob in enumerate(solver.history)}
masks = [param for param in solver.net.learnable_params if param.mask is not None]
found |= {f"mask of {param.name}": param.mask for param in masks}
found["begun"] = getattr(solver, "begun", [])
np.savez(f"rank{world.rank}.npz", loss=solver.smoothed_loss, **found)
