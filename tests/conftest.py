"""Fixtures that every test may use."""

import sys

import numpy as np
import pytest

from sscaffe import kernels, random_numbers
from sscaffe.device import _Chosen, cpu, gpu
from sscaffe.glog import logger
from tests.cuda_on_host import place

place()  # Before anything imports CuPy.

LEVEL, HANDLERS = logger.level, list(logger.handlers)


@pytest.fixture(autouse=True)
def same_seeds(monkeypatch):
    """Give nets without a seed the same weights in every run: what one compares may be a tie."""
    monkeypatch.setattr(random_numbers, "_seeds", random_numbers.RandomNumbers(1701))


@pytest.fixture
def rng():
    return np.random.default_rng(1701)


@pytest.fixture
def without_cupy(monkeypatch):
    """Let CuPy be missing, also where there is a GPU, or the stand-in for one."""
    monkeypatch.delattr(kernels, "gpu_runtime", raising=False)
    monkeypatch.delitem(sys.modules, "sscaffe.kernels.gpu_runtime", raising=False)
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.setattr(_Chosen, "gpu", None)
    gpu.cache_clear()
    yield
    gpu.cache_clear()


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
