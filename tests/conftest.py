"""Fixtures that every test may use."""

import numpy as np
import pytest

from sscaffe.device import cpu
from sscaffe.glog import logger
from tests.cuda_on_host import place

place()  # Before anything imports CuPy.

LEVEL, HANDLERS = logger.level, list(logger.handlers)


@pytest.fixture
def rng():
    return np.random.default_rng(1701)


@pytest.fixture
def device():
    return cpu()


@pytest.fixture(autouse=True)
def logger_as_it_was():
    """Give each test the logger as it was imported; commands set its level and give it handlers."""
    _reset_logger()  # A fixture of a module runs before this one.
    yield
    _reset_logger()


def _reset_logger():
    logger.setLevel(LEVEL)
    logger.handlers[:] = HANDLERS


@pytest.fixture(autouse=True, scope="session")
def cache_of_the_tests(tmp_path_factory):
    """Keep what AUTO remembers out of the user's folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSCAFFE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
