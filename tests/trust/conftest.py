"""Folders with a net to train, and what a training that nobody disturbs makes of it."""

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
