"""The tests of layers run twice: on the CPU, and marked ``gpu`` on a GPU or its stand-in."""

import pytest

from sscaffe import blob, layer
from sscaffe.device import gpu

# What a GPU does in another way, by the start of a test's name.
OTHERWISE = {}


@pytest.fixture(autouse=True, params=["cpu", pytest.param("gpu", marks=pytest.mark.gpu)])
def place(request, monkeypatch):
    """Make a device the one of all layers and blobs for which the test names none."""
    if request.param == "gpu":
        for module in (blob, layer):
            monkeypatch.setattr(module, "cpu", gpu)
    return request.param
