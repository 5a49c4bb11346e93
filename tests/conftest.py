"""Fixtures that every test may use."""

import numpy as np
import pytest

from sscaffe.device import cpu


@pytest.fixture
def rng():
    return np.random.default_rng(1701)


@pytest.fixture
def device():
    return cpu()
