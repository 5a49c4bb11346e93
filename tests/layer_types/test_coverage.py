"""Every layer type has a check of its gradient and a test of what it refuses."""

import re
from pathlib import Path

import pytest

import sscaffe.layer_types  # noqa: F401 - registers them
from sscaffe.layer import REGISTRY

# Types whose gradient check_gradient cannot check, and why.
NO_GRADIENT = {
    "Accuracy": "counting",
    "ArgMax": "places",
    "Data": "no bottom",
    "DetectionOutput": "boxes that are left",
    "Dropout": "random; the same mask, tested by hand",
    "DummyData": "no bottom",
    "HDF5Data": "no bottom",
    "HDF5Output": "no top",
    "ImageData": "no bottom",
    "Input": "no bottom",
    "MemoryData": "no bottom",
    "Parameter": "no bottom; that of its blob is the top's, tested by hand",
    "PriorBox": "reads shapes only",
    "Python": "the user's",
    "Threshold": "a step",
    "WindowData": "no bottom",
}
# Other tests register types of their own.
TYPES = sorted(name for name, kind in REGISTRY.items() if kind.__module__.startswith("sscaffe."))
TESTS = {
    path: path.read_text(encoding="utf-8")
    for path in Path(__file__).parent.glob("test_*.py")
    if path != Path(__file__)
}


def names_with(call):
    """Return the text of the test files that make a call."""
    return "\n".join(text for text in TESTS.values() if call in text)


@pytest.mark.parametrize("name", TYPES)
def test_every_type_has_a_gradient_check_or_a_reason(name):
    is_checked = re.search(rf"\b{name}\b", names_with("check_gradient("))
    assert is_checked or name in NO_GRADIENT


@pytest.mark.parametrize("name", TYPES)
def test_every_type_has_a_test_of_what_it_refuses(name):
    assert re.search(rf"\b{name}\b", names_with("pytest.raises("))


def test_the_reasons_are_of_types_that_there_are():
    assert NO_GRADIENT.keys() <= set(TYPES)
