"""One rank of a training: ``driver.py [words]``; what it ends with goes to a file of its own."""

import sys

import numpy as np

from sscaffe.parallel.team import Team
from sscaffe.parallel.world import current
from sscaffe.solver import Solver

words = sys.argv[1:]
world = current()
solver = Solver("solver.prototxt", team=Team(world, split_batch="split" in words))
snapshot = next((word for word in words if word.endswith(".solverstate")), None)
solver.solve(snapshot)
found = {param.name: param.host_data for param in solver.net.learnable_params}
found |= {f"history {i}": blob.host_data for i, blob in enumerate(solver.history)}
masks = [param for param in solver.net.learnable_params if param.mask is not None]
found |= {f"mask of {param.name}": param.mask for param in masks}
np.savez(f"rank{world.rank}.npz", loss=solver.smoothed_loss, **found)
