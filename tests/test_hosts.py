"""Programs on hosts: how they are called, stopped, and end with this side."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from sscaffe.errors import SscaffeError
from sscaffe.hosts import SHELL, places
from tests.remote_shell import fake_shell
from tests.stopwatch import wait_until

ROOT = Path(__file__).parents[1]

# Writes what SIGINT does to it, and what it knows.
PROGRAM = """
import os, signal, sys, time
# What runs in the background of a shell inherits that SIGINT is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    print(os.getcwd(), os.environ.get("SSCAFFE_X"), sys.argv[1:], flush=True)
    time.sleep(600)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    time.sleep(0.5)
    print("ended", flush=True)
    sys.exit(5)
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return places(["a"], str(fake_shell(tmp_path)))[0]


def test_a_program_on_a_host_is_stopped(place, tmp_path, monkeypatch):
    monkeypatch.setenv("SSCAFFE_X", "it's")
    log = Path("a log")
    process = place.start([sys.executable, "-c", PROGRAM, "a b", "$HOME"], log)
    wait_until(lambda: log.exists() and "HOME" in log.read_text())
    assert log.read_text() == f"{tmp_path} it's ['a b', '$HOME']\n"
    place.stop(process)
    assert process.wait(100) == 5
    assert log.read_text().endswith("interrupted\nended\n")


def test_a_program_on_a_host_ends_when_this_side_is_killed(place, tmp_path):
    script = (
        "import sys, time; from pathlib import Path; from sscaffe.hosts import places\n"
        "place = places(['a'], sys.argv[1])[0]\n"
        "place.start([sys.executable, '-c', sys.argv[2]], Path('log'))\n"
        "time.sleep(600)"
    )
    words = [sys.executable, "-c", script, str(tmp_path / "shell"), PROGRAM]
    with subprocess.Popen(words) as parent:
        wait_until(lambda: Path("log").exists() and Path("log").read_text())
        parent.kill()
    wait_until(lambda: Path("log").read_text().endswith("interrupted\nended\n"))


@pytest.mark.parametrize(("code", "status"), [("exit(3)", 3), ("os.kill(os.getpid(), 9)", 137)])
def test_the_status_is_that_of_the_program(place, code, status):
    assert place.run([sys.executable, "-c", f"import os; {code}"]) == status


def test_ssh_gets_a_host_and_a_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("SSCAFFE_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    place = places(["me@b"], f"{sys.executable} -c 'import sys; print(sys.argv[1:])' -x")[0]
    with place.start(["do", "it"], Path("log")):
        pass
    run = shlex.join([sys.executable, "-m", "sscaffe.hosts", "do", "it"])
    command = f"cd {tmp_path} && exec env OMP_NUM_THREADS=3 {run} >> log 2>&1"
    assert Path("log").read_text() == f"{['-x', 'me@b', command]}\n"
    assert places(["b"])[0].shell == SHELL.split()


@pytest.mark.parametrize("name", ["-oProxyCommand=x", "a b", "a\n"])
def test_what_is_no_host(name):
    with pytest.raises(SscaffeError, match="hosts: expected names with commas, got"):
        places([name])


def test_what_is_no_shell():
    with pytest.raises(
        SscaffeError, match="remote_shell: expected a program such as ssh, got none"
    ):
        places(["a"], " ")
