"""Layers that a script for pycaffe has defined itself."""

import sys

import numpy as np
import pytest

from sscaffe import UnsupportedError
from sscaffe.layer import Layer


class Tenfold(Layer):
    """Ten times the bottom."""

    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        top[0].data[...] = 10 * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = 10 * top[0].diff


class Failing(Tenfold):
    """Raises what users raise."""

    def setup(self, bottom, top):
        raise RuntimeError("of my own")


class Param(Tenfold):
    """Adds a parameter to its bottom, and counts with another."""

    def setup(self, bottom, top):
        self.blobs.add_blob(1)
        self.blobs[0].data[0] = 0

    def forward(self, bottom, top):
        self.blobs[0].data[0] += 1
        top[0].data[...] = self.blobs[0].data[0]


class Phase(Tenfold):
    """Gives its phase."""

    def reshape(self, bottom, top):
        top[0].reshape()

    def forward(self, bottom, top):
        top[0].data[()] = self.phase


class Value(Tenfold):
    """Multiplies by what the prototxt says."""

    def setup(self, bottom, top):
        self.value = float(self.param_str)

    def forward(self, bottom, top):
        top[0].data[...] = self.value * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = self.value * top[0].diff


def layer(kind, bottom="", top="y", more=""):
    bottom = f'bottom: "{bottom}"' if bottom else ""
    return (
        f'layer {{ type: "Python" name: "{top}" {bottom} top: "{top}" '
        f'python_param {{ module: "{__name__}" layer: "{kind}" {more} }} }}\n'
    )


INPUT = 'force_backward: true input: "x" input_shape { dim: 5 dim: 4 dim: 3 }\n'


@pytest.fixture
def make(caffe, tmp_path):
    def make(text, phase=caffe.TRAIN):
        (tmp_path / "net.prototxt").write_text(text)
        return caffe.Net(str(tmp_path / "net.prototxt"), phase)

    return make


@pytest.fixture
def chain(make):
    return make(INPUT + "".join(layer("Tenfold", *pair) for pair in ("xa", "ab", "bc")))


def test_forward(chain):
    chain.blobs["x"].data[...] = 8
    chain.forward()
    assert (chain.blobs["c"].data == 8000).all()


def test_backward(chain):
    chain.blobs["c"].diff[...] = 7
    chain.backward()
    assert (chain.blobs["x"].diff == 7000).all()


def test_reshape(chain):
    chain.blobs["x"].reshape(2, 2, 2, 2)
    chain.forward()
    assert all(blob.data.shape == (2, 2, 2, 2) for blob in chain.blobs.values())


def test_an_error_of_the_layer_is_the_errors_own(make):
    with pytest.raises(RuntimeError, match="of my own"):
        make(INPUT + layer("Failing", "x"))


def test_parameters(make, tmp_path):
    net = make(INPUT + layer("Param", "x"))
    net.forward()
    net.forward()
    assert (net.blobs["y"].data == 2).all()
    net.save(str(tmp_path / "weights"))
    other = make(INPUT + layer("Param", "x"))
    other.copy_from(str(tmp_path / "weights"))
    other.forward()
    assert (other.blobs["y"].data == 3).all()
    third = make(INPUT + layer("Param", "x"))
    third.share_with(other)
    third.forward()
    assert (third.blobs["y"].data == 4).all()
    assert other.params["y"][0].data[0] == 4


@pytest.mark.parametrize("phase", [0, 1])
def test_phase(make, phase):
    assert make(layer("Phase"), phase).forward()["y"] == phase


def test_param_str_reaches_the_layer(make):
    four, half = ("param_str: '4'", "param_str: '0.5'")
    net = make(INPUT + layer("Value", "x", "a", four) + layer("Value", "a", "b", half))
    x = np.random.default_rng(0).standard_normal((5, 4, 3)).astype(np.float32)
    np.testing.assert_allclose(net.forward(x=x)["b"], 2 * x, rtol=1e-6)
    np.testing.assert_allclose(net.backward(b=x)["x"], 2 * x, rtol=1e-6)


def test_a_module_that_the_script_has_not_imported_does_not_run(make, tmp_path, monkeypatch):
    (tmp_path / "stranger.py").write_text("raise SystemExit('ran')")
    monkeypatch.syspath_prepend(tmp_path)
    text = INPUT + layer("Tenfold", "x").replace(__name__, "stranger")
    with pytest.raises(UnsupportedError, match="import the module first, or allow it"):
        make(text)
    assert "stranger" not in sys.modules
