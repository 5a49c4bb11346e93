"""Who a process is, by what launchers tell it."""

import subprocess
import sys

import pytest

from sscaffe.cli import main
from sscaffe.errors import SscaffeError, UnsupportedError
from sscaffe.hosts import places
from sscaffe.launch.mpiexec import ranks_per_host
from sscaffe.parallel import world
from sscaffe.parallel.team import warn_if_alone
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
        timeout=200,
        check=False,
    )
    assert run.returncode == 1
    assert "2 processes were started, and mpi4py's MPI sees 1 of them" in run.stderr
    assert "use the mpiexec of: " in run.stderr


@pytest.mark.parametrize(
    ("here", "known", "threads"), [("2", None, 2), ("9", None, 1), ("2", "3", 7)]
)
def test_ranks_share_the_processors_unless_the_environment_says(monkeypatch, here, known, threads):
    asked = [7]
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if known:
        monkeypatch.setenv("OMP_NUM_THREADS", known)
    monkeypatch.setenv("MPI_LOCALNRANKS", here)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(4)), raising=False)
    monkeypatch.setattr("sscaffe._core.set_num_threads", asked.append)
    world.share_processors()
    assert asked[-1] == threads


def test_a_solver_without_a_team_warns_under_mpi(monkeypatch, caplog):
    monkeypatch.setenv("PMI_SIZE", "3")
    warn_if_alone()
    assert "MPI started 3 processes, and this solver trains alone" in caplog.text


@pytest.mark.parametrize("name", ["summary", "sweep", "time"])
def test_what_would_be_done_by_each_rank_is_refused(monkeypatch, capsys, name):
    monkeypatch.setenv("PMI_SIZE", "2")
    assert main([name, "--model", "a.prototxt"]) == 1
    assert capsys.readouterr().err.startswith(f"sscaffe {name}: MPI started 2 processes")


@pytest.mark.parametrize("host", ["-oProxyCommand=x", "-v@a", "a b", "", "a;b", "ä"])
def test_what_is_no_name_of_a_host_is_refused(host):
    with pytest.raises(SscaffeError, match="hosts: expected names"):
        ranks_per_host([host, "b"], 2)
    with pytest.raises(SscaffeError, match="hosts: expected names"):
        places([host])
