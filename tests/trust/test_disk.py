"""No room, no folder, no right to write: refused before iteration 0, or survived without loss."""

import os
import resource
import subprocess

import pytest

from sscaffe.blob import Blob
from sscaffe.errors import FullError, SscaffeError
from sscaffe.solver import room
from tests.solver.nets import assert_same, small_solver, weights_of
from tests.stopwatch import Stopwatch
from tests.trust.jobs import SOLVER, prepare, say, train

FORMATS = ("BINARYPROTO", "HDF5")
LIMIT = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0}))"


def fill(folder, left=0):
    """Leave so many bytes on a disk."""
    count = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize - left
    (folder / "filler").write_bytes(bytes(count))


@pytest.mark.parametrize("form", FORMATS)
def test_the_estimate_is_never_too_low(form, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for more in ("", "snapshot_diff: true", 'type: "Adam" momentum: 0.9'):
        solver = small_solver(f"snapshot_format: {form} {more}")
        solver.step(1)
        state = solver.snapshot()
        model = state.replace("solverstate", "caffemodel")
        for path, size in zip((model, state), solver._sizes(), strict=True):
            assert (tmp_path / path).stat().st_size <= size


def test_the_estimate_grows_with_the_weights():
    solver = small_solver("momentum: 0.9")
    large = [*solver.history, Blob((1000, 1000))]
    (_, before), (_, after) = (
        room.sizes(solver.net, h, diff=False) for h in (solver.history, large)
    )
    assert after - before == 4_000_000


@pytest.mark.parametrize("form", FORMATS)
def test_a_full_disk_is_refused_before_training(form, small_disk, tmp_path):
    folder = prepare(tmp_path / "job", solver=f"{SOLVER} snapshot_format: {form}")
    fill(small_disk, 8192)
    status, _, log = train(folder, "--set", f"snapshot_prefix={small_disk}/small")
    assert status == 4
    assert "a snapshot needs about" in log
    assert str(small_disk) in log
    assert "Solving" not in log
    assert sorted(path.name for path in small_disk.iterdir()) == ["filler"]


@pytest.mark.parametrize("check", [True, False], ids=["checked", "unchecked"])
@pytest.mark.parametrize("form", FORMATS)
def test_a_disk_that_fills_up_keeps_the_snapshot_before(form, check, small_disk, monkeypatch):
    text = f'snapshot_format: {form} snapshot_prefix: "{small_disk}/small"'
    solver = small_solver(text)
    solver.step(1)
    state = solver.snapshot()
    kept = weights_of(solver)
    fill(small_disk)
    before = sorted(small_disk.iterdir())
    if not check:  # as if another program had taken the room just now
        monkeypatch.setattr(room, "require_room", lambda *_: None)
    solver.step(1)
    with pytest.raises(FullError, match=str(small_disk)) as refusal:
        solver.snapshot()
    assert "bytes" in str(refusal.value)
    assert sorted(small_disk.iterdir()) == before
    resumed = small_solver(text)
    resumed.restore(state)
    assert_same(weights_of(resumed), kept)
    (small_disk / "filler").unlink()
    solver.step(1)  # The training goes on, and so do the snapshots.
    solver.snapshot()


@pytest.mark.parametrize("bytes_allowed", [0, 100, 60_000])
def test_a_limit_of_file_sizes_is_refused_before_training(bytes_allowed, tmp_path):
    folder = prepare(tmp_path / "job")
    status, _, log = train(folder, before=LIMIT.format(bytes_allowed))
    assert status == 4
    assert f"may write {bytes_allowed}; raise the limit with: ulimit -f unlimited" in log
    assert "Solving" not in log


@pytest.mark.parametrize("form", FORMATS)
def test_a_limit_that_is_met_while_writing_leaves_the_snapshot_before(form, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    solver = small_solver(f"snapshot_format: {form}")
    solver.step(1)
    state = solver.snapshot()
    kept = weights_of(solver)
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(room, "require_room", lambda *_: None)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    solver.step(1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, limits[1]))
    try:
        with pytest.raises(FullError, match="small_iter_2"):
            solver.snapshot()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(tmp_path.iterdir()) == before
    resumed = small_solver(f"snapshot_format: {form}")
    resumed.restore(state)
    assert_same(weights_of(resumed), kept)


@pytest.mark.parametrize("going_on", [False, True])
def test_a_training_without_room_stops_or_goes_on_as_it_was_told(going_on, small_disk, tmp_path):
    folder = prepare(tmp_path / "job")
    fill(small_disk, 200_000)  # for one snapshot and what is to be left beside it
    flags = ["--set", f"snapshot_prefix={small_disk}/small", "--set", "max_iter=20"]
    flags += ["--snapshot_failure", "warn"] if going_on else []
    status, _, log = train(folder, *flags)
    assert status == 4, log
    assert "Snapshot complete" in log
    assert ("; the training goes on" in log) == going_on
    (small_disk / "filler").unlink()
    assert train(folder, "--snapshot", "auto", *flags)[0] == 0


@pytest.mark.parametrize("what", ["missing", "file", "read-only"])
def test_a_folder_that_cannot_be_used_is_refused_within_a_second(what, tmp_path):
    folder = prepare(tmp_path / "job")
    place = tmp_path / "place"
    if what == "file":
        place.touch()
    if what == "read-only":
        place.mkdir()
        words = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(place)]
        if os.geteuid() or subprocess.run(words, capture_output=True).returncode:
            pytest.skip("mounting a tmpfs is not allowed here")
    try:
        with Stopwatch() as watch:
            status, _, log = train(folder, "--set", f"snapshot_prefix={place}/small")
    finally:
        if what == "read-only":
            subprocess.run(["umount", "-l", str(place)], check=True)
    assert status == 1
    assert "snapshot_prefix: " in log
    assert str(place) in log
    assert "Solving" not in log
    assert "Traceback" not in log
    assert watch.seconds < 10  # with the start of Python, on a busy machine
    say(f"\n{what}: {watch.seconds:.2f} s")


def test_a_folder_that_vanishes_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deep").mkdir()
    solver = small_solver('snapshot_prefix: "deep/small"')
    (tmp_path / "deep").rmdir()
    with pytest.raises(SscaffeError, match="folder deep cannot be used: No such file"):
        solver.snapshot()
