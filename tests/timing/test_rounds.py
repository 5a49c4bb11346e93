"""Rounds: everything once in each, as many as there is time for."""

from types import SimpleNamespace

import pytest

from sscaffe.timing import rounds
from sscaffe.timing.rounds import LEAST_ROUNDS, ROUNDS, in_turns


@pytest.fixture
def made_up(monkeypatch):
    """Return a function that makes things to run, by the ms that they take, and a list of runs."""
    now, runs = [0.0], []
    monkeypatch.setattr(rounds, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def make(**milliseconds):
        def run(name, taken):
            runs.append(name)
            now[0] += taken / 1e3
            return taken

        return {name: lambda n=name, t=taken: run(n, t) for name, taken in milliseconds.items()}

    return make, runs


def test_each_runs_once_in_every_round_after_another_one(made_up):
    make, runs = made_up
    times = in_turns(make(a=10, b=20), 2)
    assert times == {"a": [10, 10], "b": [20, 20]}
    assert runs == ["a", "b", "a", "b", "b", "a"]


def test_what_is_short_runs_twice_and_the_second_counts(made_up):
    make, runs = made_up
    assert in_turns(make(a=1, b=20), 1) == {"a": [1], "b": [20]}
    assert runs == ["a", "b", "a", "a", "b"]


@pytest.mark.parametrize(
    ("milliseconds", "expected"), [(10, ROUNDS), (100, 11), (1000, LEAST_ROUNDS)]
)
def test_long_ones_have_fewer_rounds(made_up, milliseconds, expected):
    assert len(in_turns(made_up[0](a=milliseconds))["a"]) == expected


def test_rounds_that_are_asked_for_are_run(made_up):
    assert len(in_turns(made_up[0](a=1000), 20)["a"]) == 20
