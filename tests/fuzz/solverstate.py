"""Solverstates: read, and the weights that they name looked for."""

from pathlib import Path

from tests.fuzz.target import contents, from_file, fuzz, instrumented

with instrumented():
    from sscaffe.solver.snapshot import check_state, find_model, read_state
from tests.hostile.models import good_state, state_cases


def load(path: Path) -> None:
    state = read_state(path)
    check_state(state, [], "SGD", path)
    find_model(state, path, str(path.parent))


if __name__ == "__main__":
    fuzz(from_file(load), good_state(), *contents(state_cases(40)))
