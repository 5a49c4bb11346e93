"""The command line itself: help, exit statuses, how errors are told."""

import subprocess
import sys
from pathlib import Path

import click
import pytest

from sscaffe import __version__
from sscaffe.cli import ALIASES, COMMANDS, main
from sscaffe.errors import DivergedError, ShapeError
from tests.cli.conftest import ROOT
from tests.stopwatch import processor_seconds


@pytest.fixture
def broken(monkeypatch):
    """Put a command in place of ``train`` that raises what it is given."""

    def put(error):
        @click.command()
        def command():
            raise error

        module = type(sys)("sscaffe.cli.train")
        module.command = command
        monkeypatch.setitem(sys.modules, "sscaffe.cli.train", module)

    return put


def test_help_lists_each_command_on_one_line(sscaffe):
    status, out, _ = sscaffe("--help")
    lines = out.splitlines()
    assert status == 0
    for name, text in COMMANDS.items():
        assert any(line.split(None, 1) == [name, text] for line in lines)


def test_help_is_quick_and_loads_no_numpy():
    script = (
        "import sys, sscaffe.cli\n"
        "sscaffe.cli.main(['--help'])\n"
        "sys.exit('numpy was loaded' if 'numpy' in sys.modules else 0)\n"
    )
    words = [sys.executable, "-c", script]
    times = [processor_seconds(words, cwd=ROOT, capture_output=True) for _ in range(3)]
    # The machine may be busy; one quick start shows that it can be done.
    assert min(times) < 0.5


@pytest.mark.parametrize("name", [*COMMANDS, *ALIASES, "data mnist"])
def test_each_command_has_help_that_ends_with_an_example(sscaffe, name):
    status, out, _ = sscaffe(f"{name} --help")
    assert status == 0
    assert "Example: sscaffe " in " ".join(out.split()[-30:])


# What launch prints is what its ranks print.
@pytest.mark.parametrize("name", [n for n in COMMANDS if n not in ("data", "generate", "launch")])
def test_each_command_prints_json(sscaffe, name):
    assert "--json" in sscaffe(f"{name} --help")[1]


def test_no_command_shows_the_help(sscaffe):
    status, out, _ = sscaffe([])
    assert status == 0
    assert "device_query" in out


def test_an_unknown_command_names_the_nearest(sscaffe):
    status, out, err = sscaffe("trian --solver x")
    assert (status, out) == (1, "")
    assert err.startswith("sscaffe: trian: expected train\n")


def test_an_unknown_flag_names_the_nearest(sscaffe):
    status, out, err = sscaffe("train -sovler x")
    assert (status, out) == (1, "")
    assert err == "sscaffe train: -sovler: expected --solver\n  see: sscaffe train --help\n"


def test_an_error_is_one_sentence_with_its_notes(sscaffe, broken):
    error = ShapeError("group: 5 does not divide 96; use a divisor of 96")
    error.add_note("  layer:  'conv2'")
    broken(error)
    expected = (
        "sscaffe train: group: 5 does not divide 96; use a divisor of 96\n  layer:  'conv2'\n"
    )
    assert sscaffe("train") == (1, "", expected)


def test_divergence_has_a_status_of_its_own(sscaffe, broken):
    broken(DivergedError("loss: expected a finite number, got nan; lower base_lr"))
    assert sscaffe("train")[0] == 3


def test_a_fault_of_the_program_is_one_sentence_too(sscaffe, broken):
    broken(KeyError("conv1"))
    status, out, err = sscaffe("train")
    assert (status, out) == (1, "")
    assert err == (
        "sscaffe train: sscaffe met a fault of its own: KeyError: 'conv1'; "
        "run again with --debug to see where\n"
    )


@pytest.mark.parametrize("words", ["--debug train", "train --debug", "train -debug"])
@pytest.mark.parametrize("error", [ShapeError("x: wrong"), KeyError("x")], ids=repr)
def test_debug_shows_where(sscaffe, broken, words, error):
    broken(error)
    status, _, err = sscaffe(words)
    assert status == 1
    assert "Traceback (most recent call last)" in err
    assert "test_main.py" in err


def test_a_lack_of_memory_says_so(sscaffe, broken):
    broken(MemoryError())
    assert "the memory that this process may use is used up; use" in sscaffe("train")[2]
    broken(MemoryError("8 bytes cannot be allocated"))
    assert "is used up (8 bytes cannot be allocated); use" in sscaffe("train")[2]
    of_cupy = type("OutOfMemoryError", (MemoryError,), {"__module__": "cupy.cuda.memory"})
    broken(of_cupy("Out of memory allocating 8 bytes"))
    assert (
        "the memory of the GPU is used up (out of memory allocating 8 bytes); use"
        in sscaffe("train")[2]
    )


def test_an_interrupt_is_told_by_the_status(broken):
    broken(KeyboardInterrupt())
    assert main(["train"]) == 130


def test_a_closed_pipe_is_no_error():
    script = f"{sys.executable} -m sscaffe device_query --json | true; echo ${{PIPESTATUS[0]}}"
    run = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert run.stderr == ""


def test_the_version(sscaffe):
    status, out, _ = sscaffe("--version")
    assert status == 0
    assert __version__ in out


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_under_the_results_is_no_fault_of_sscaffe():
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "sscaffe", "device_query"]
        run = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr == (
        "sscaffe device_query: the output: No space left on device; the results were not written\n"
    )
