"""Who a process is, by what launchers tell it."""

import subprocess
import sys

import pytest

from sscaffe.errors import UnsupportedError
from sscaffe.parallel import world
from tests.parallel import jobs


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """Forget what launched the tests, and what they find out."""
    for name in (*world._SIZES, *world._PLACES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(world, "_world", world.World())
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)


def test_a_process_that_nobody_launched_is_alone():
    found = world.current()
    assert (found.rank, found.size, found.place, found.is_first) == (0, 1, 0, True)
    assert found.broadcast("x") == "x"
    assert found.gather("x") == ["x"]
    assert found.largest(3) == 3
    found.abort(1)  # does nothing


def test_a_plain_run_does_not_import_mpi4py():
    script = "import sys; from sscaffe.parallel.world import current; current()\n"
    script += "sys.exit('mpi4py' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], env=jobs.environment(), check=True)


def test_mpi4py_is_asked_for(monkeypatch):
    monkeypatch.setenv("PMI_SIZE", "2")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(UnsupportedError, match=r"2 processes .*pip install 'sscaffe\[mpi\]'"):
        world.current()


def test_the_launcher_of_another_mpi_is_refused(tmp_path):
    pytest.importorskip("mpi4py", reason="needs mpi4py: pip install 'sscaffe[mpi]'")
    jobs.prepare_net(tmp_path)
    words = [sys.executable, "-m", "sscaffe", "train", "--solver", "solver.prototxt"]
    run = subprocess.run(
        words,
        cwd=tmp_path,
        env=jobs.environment() | {"OMPI_COMM_WORLD_SIZE": "2"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 1
    assert "2 processes were started, and mpi4py's MPI sees 1 of them" in run.stderr
    assert "use the mpiexec of: " in run.stderr
