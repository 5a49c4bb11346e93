"""Runs in turns, as many as there is time for."""

import time
from collections.abc import Callable, Mapping
from typing import TypeVar

ROUNDS = 50
LEAST_ROUNDS = 5
SECONDS = 1.0  # of all rounds together, after LEAST_ROUNDS
SHORT = 5.0  # ms; what takes less may find all that it needs in the caches

Key = TypeVar("Key")


def in_turns(
    runs: Mapping[Key, Callable[[], float]], rounds: int | None = None
) -> dict[Key, list[float]]:
    """Run each of several things once in every round, and return what they returned.

    A machine that others use slows them all alike, so ratios of their times mean something.

    Parameters
    ----------
    runs : mapping
        What runs; each returns how long it took. A first round, which pays for memory and prepared
        weights, does not count.
    rounds : int, optional
        How many; by default ROUNDS, or fewer if they take longer than SECONDS.
    """
    keys = list(runs)
    is_short = {key: run() < SHORT for key, run in runs.items()}
    times: dict[Key, list[float]] = {key: [] for key in keys}
    begin = time.perf_counter()
    for done in range(rounds or ROUNDS):
        if rounds is None and done >= LEAST_ROUNDS and time.perf_counter() - begin > SECONDS:
            break
        first = done % max(len(keys), 1)  # each comes after another one in turn
        for key in keys[first:] + keys[:first]:
            if is_short[key]:
                # The others have filled the caches with things of their own.
                runs[key]()
            times[key].append(runs[key]())
    return times
