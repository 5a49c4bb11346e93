"""Folders with a net to train, what a training that nobody disturbs makes of it, a small disk."""

import os
import subprocess

import pytest

from tests.trust.jobs import digest, prepare, train


@pytest.fixture
def job(tmp_path):
    """Make a folder with a net, its solver and its data."""
    return prepare(tmp_path / "job")


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """Return the SHA-256 of the last caffemodel of a training that nobody disturbed."""
    folder = prepare(tmp_path_factory.mktemp("undisturbed"))
    status, _, log = train(folder)
    assert status == 0, log
    return digest(folder / "small_iter_400.caffemodel")


@pytest.fixture
def small_disk(tmp_path):
    """Mount a disk of 3 MB, where that is allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(words, capture_output=True).returncode:
        pytest.skip("mounting a tmpfs is not allowed here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
