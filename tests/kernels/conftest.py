"""Fixtures for the tests of the C++ core."""

import numpy as np
import pytest

from sscaffe import _core


@pytest.fixture(params=["avx512", "avx2", "portable"])
def isa(request):
    """Each instruction set that this machine has; the best one again afterwards."""
    best = _core.cpu_features()
    try:
        _core.set_isa(request.param)
    except ValueError as refusal:
        pytest.skip(str(refusal))
    yield request.param
    _core.set_isa(best)


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    """Several numbers of threads; the number it was afterwards."""
    before = _core.get_num_threads()
    _core.set_num_threads(request.param)
    yield request.param
    _core.set_num_threads(before)


@pytest.fixture
def set_num_threads():
    """Give what sets the number of threads, until the test ends."""
    before = _core.get_num_threads()
    yield _core.set_num_threads
    _core.set_num_threads(before)


@pytest.fixture(params=[np.float32, np.float64], ids=["float", "double"])
def dtype(request):
    return request.param
