"""The tests of layers run twice: on the CPU, and marked ``gpu`` on a GPU or its stand-in."""

import pytest

from sscaffe import blob, layer
from sscaffe.device import cpu, gpu


@pytest.fixture(autouse=True, params=["cpu", pytest.param("gpu", marks=pytest.mark.gpu)])
def place(request, monkeypatch):
    """Make a device the one of all layers and blobs for which the test names none."""
    if request.param == "gpu":
        for module in (blob, layer):
            monkeypatch.setattr(module, "cpu", gpu)
    return request.param


@pytest.fixture
def device(place):
    return gpu() if place == "gpu" else cpu()
