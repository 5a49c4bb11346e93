"""``import caffe`` gives sscaffe in these tests, and only in these."""

import sys

import pytest

import sscaffe
from sscaffe import alias


@pytest.fixture(scope="package", autouse=True)
def caffe():
    """Install the alias, and take it away again."""
    sscaffe.install_as_caffe()
    yield sys.modules["caffe"]
    sys.meta_path.remove(alias._finder)
    for name in [name for name in sys.modules if name == "caffe" or name.startswith("caffe.")]:
        del sys.modules[name]
