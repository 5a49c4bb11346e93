"""What a file may never do: run code, name huge sizes, or be unpickled."""

import re
import sys
from pathlib import Path

import pytest

from sscaffe import blob, machine
from sscaffe.blob import Blob
from sscaffe.errors import PrototxtError, ShapeError, UnsupportedError
from sscaffe.layer import TEST
from sscaffe.net import Net
from sscaffe.prototxt import parse_net
from tests.hostile.test_malformed import EVIL

ROOT = Path(__file__).parents[2]
PYTHON = 'layer { name: "x" type: "Python" top: "y" python_param { module: "%s" layer: "Evil" } }'


def test_a_python_layer_does_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "evil.py").write_text(EVIL)
    for module in ("evil", "os"):
        with pytest.raises(UnsupportedError, match="a Python layer runs code, here Evil of module"):
            Net(parse_net(PYTHON % module), TEST)
    assert "evil" not in sys.modules
    assert not (tmp_path / "imported").exists()


def test_nothing_is_unpickled():
    word = re.compile(
        r"\b(pickle|cPickle|marshal|shelve|joblib|dill|eval|exec)\b\s*[.(]|import pickle"
        r"|allow_pickle\s*=\s*True"
    )
    loads = re.compile(r"\b(np|numpy)\.load\(")
    for path in (ROOT / "sscaffe").rglob("*.py"):
        if path.name == "caffe_pb2.py":
            continue
        text = path.read_text(encoding="utf-8")
        assert not word.search(text), path
        for call in loads.finditer(text):
            assert "allow_pickle=False" in text[call.start() : call.start() + 200], path


@pytest.mark.parametrize("sizes", [(2**31,), (2**32, 2**32), (2**63 - 1,) * 4, (3, -1)])
def test_sizes_that_no_blob_has(sizes):
    with pytest.raises(ShapeError, match="shape: "):
        Blob(sizes)


def test_more_memory_than_there_is_names_the_layer(monkeypatch):
    monkeypatch.setattr(blob, "available_memory", lambda: 10**9)
    text = """
    layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 20000 } } }
    layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
            inner_product_param { num_output: 100000 } }
    """
    with pytest.raises(ShapeError, match=r"takes 8\.0 GB, and 1\.0 GB of memory are free") as error:
        Net(parse_net(text), TEST)
    assert "'ip' (InnerProduct)" in "\n".join(error.value.__notes__)


def test_the_memory_that_is_free_is_known():
    assert 2**20 < machine.available_memory() < 2**50


@pytest.mark.parametrize("depth", [101, 10_000])
def test_layers_in_layers(depth):
    with pytest.raises(PrototxtError, match="<string>:1:"):
        parse_net("layer { " * depth + "}" * depth)
