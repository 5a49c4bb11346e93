"""One rank of a contestant: does as many steps as it is told; the first says how long they took.

[mpiexec -n N] python -m bench.rank_worker SPEC. Each rank reads from a pipe of its own: one that
waited for another rank by MPI would keep a core busy while other contestants have their turns.
"""

import itertools
import json
import sys
import time
from pathlib import Path

from bench.ours import train
from sscaffe.parallel.team import Team
from sscaffe.parallel.world import current


def main(spec):
    """Train until the pipe ends."""
    world = current()
    run = train(spec, Team(world) if spec["together"] else None)
    with Path(spec["folder"], f"{spec['name']}.{world.rank}").open() as turns:
        for line in turns:
            times = [time.perf_counter()]
            for _ in range(int(line)):
                run()
                times.append(time.perf_counter())
            if world.is_first:
                took = [1e3 * (b - a) for a, b in itertools.pairwise(times)]
                print(json.dumps(took), file=ANSWERS, flush=True)


if __name__ == "__main__":
    ANSWERS, sys.stdout = sys.stdout, sys.stderr
    main(json.loads(sys.argv[1]))
