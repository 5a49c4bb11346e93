"""The mutator that stands in for atheris: it repeats itself, finds faults, and ends."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz import plain

ROOT = Path(__file__).parents[2]
WITHOUT = "import runpy, sys; sys.modules['atheris'] = None; sys.argv[1:] = {flags}\n"
WITHOUT += "runpy.run_module('tests.fuzz.{target}', run_name='__main__')"


def mutants(seed, count=500):
    rng = random.Random(seed)
    return [plain.mutant(rng, [b"layer { }", b"name: 'a'", b""]) for _ in range(count)]


def test_a_seed_gives_the_same_inputs():
    assert mutants(3) == mutants(3)
    assert mutants(3) != mutants(4)
    assert len(set(mutants(3))) > 400


def test_a_fault_is_found_and_shown(capsys):
    def parse(content):
        assert not (content.startswith(b"layer") and content.count(b"{") > 2)
        return True

    with pytest.raises(AssertionError):
        plain.fuzz(parse, [b"layer { }", b"name: 'a'"], 60, seed=1)
    assert "of seed 1: b'layer" in capsys.readouterr().err


def test_a_slow_input_is_a_fault(monkeypatch):
    monkeypatch.setattr(plain, "_SLOW", -1)
    with pytest.raises(TimeoutError, match="input 1 of seed 1 took over -1 s: b'a'"):
        plain.fuzz(bool, [b"a"], 60, seed=1)


@pytest.mark.parametrize("target", ["prototxt", "solver", "caffemodel", "solverstate", "flags"])
def test_each_parser_is_tried_without_atheris(target):
    program = WITHOUT.format(flags=["-max_total_time=1", "-seed=5"], target=target)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    assert " inputs of seed 5 in 1 s" in done.stderr
