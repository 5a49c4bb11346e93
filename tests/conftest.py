"""Fixtures that every test may use."""

import numpy as np
import pytest

from sscaffe.device import cpu
from sscaffe.log import logger


@pytest.fixture
def rng():
    return np.random.default_rng(1701)


@pytest.fixture
def device():
    return cpu()


@pytest.fixture(autouse=True)
def logger_as_it_was():
    """Leave the logger as a test found it; commands set its level and give it handlers."""
    level, handlers = logger.level, list(logger.handlers)
    yield
    logger.setLevel(level)
    logger.handlers[:] = handlers
