"""Python layers: they run only where that is allowed, and pycaffe's files run as they are."""

import sys
import textwrap

import numpy as np
import pytest

import sscaffe
from sscaffe.cli import main
from sscaffe.errors import PrototxtError, UnsupportedError
from sscaffe.solver import Solver
from sscaffe.solver.settings import caffe_pb2
from tests.net.layers import INPUT, make_net

MODULE = """
import caffe

LOADED = True


class Times(caffe.Layer):
    def setup(self, bottom, top):
        self.factor = float(self.param_str)
        self.blobs.add_blob(1)
        self.blobs[0].data[...] = 2

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        top[0].data[...] = self.factor * self.blobs[0].data * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        self.blobs[0].diff[...] += (self.factor * bottom[0].data * top[0].diff).sum()
        if propagate_down[0]:
            bottom[0].diff[...] = self.factor * self.blobs[0].data * top[0].diff


class Own:
    pass
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module of layers into the working directory, and return its name."""
    name = f"layers_of_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    yield name
    sys.modules.pop(name, None)


def layer(module, name="Times", more="param_str: '3' share_in_parallel: true"):
    param = f"python_param {{ module: '{module}' layer: '{name}' {more} }}"
    return f'layer {{ name: "p" type: "Python" bottom: "x" top: "y" {param} }}'


def test_no_code_runs_unless_it_is_allowed(module):
    with pytest.raises(UnsupportedError) as caught:
        make_net(INPUT + layer(module))
    assert str(caught.value) == (
        f"type: a Python layer runs code, here Times of module {module}; if you trust it, allow it "
        "with allow_python=True, on the command line with --allow-python-layers"
    )
    assert module not in sys.modules


def test_a_layer_written_for_pycaffe(module, rng):
    net = make_net("force_backward: true " + INPUT + layer(module), allow_python=True)
    x = rng.standard_normal(net.blobs["x"].shape)
    net.blobs["x"].set_data(x)
    net.forward()
    np.testing.assert_allclose(net.blobs["y"].host_data, 6 * x, rtol=1e-6)
    net.blobs["y"].set_diff(1)
    net.clear_param_diffs()
    net.backward()
    np.testing.assert_allclose(net.blobs["x"].host_diff, 6)
    np.testing.assert_allclose(net.params["p"][0].host_diff, [3 * x.sum()], rtol=1e-5)
    assert "caffe" not in sys.modules or sys.modules["caffe"] is not sscaffe


def test_solvers_and_commands_pass_the_permission_on(module, tmp_path, capsys):
    loss = "loss_weight: 1 }"
    net = INPUT + layer(module)[:-1] + loss
    (tmp_path / "net.prototxt").write_text(net)
    settings = caffe_pb2.SolverParameter(
        net="net.prototxt", base_lr=0.1, lr_policy="fixed", max_iter=1, solver_mode="CPU"
    )
    with pytest.raises(UnsupportedError, match="a Python layer runs code"):
        Solver(settings)
    with sscaffe.get_solver(settings, allow_python=True) as solver:
        solver.step(1)
    assert main(["time", "-model", "net.prototxt", "-iterations", "1"]) == 1
    assert "a Python layer runs code" in capsys.readouterr().err
    allowed = ["time", "-model", "net.prototxt", "-iterations", "1", "--allow-python-layers"]
    assert main(allowed) == 0


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("Nobody", "", "layer: expected a class in .* derives from sscaffe.Layer, got nothing"),
        ("Own", "", "layer: expected a class in .* got <class .*Own'> for 'Own'"),
        ("LOADED", "", "layer: expected a class in .* got True"),
    ],
)
def test_refuses_what_is_not_a_layer(name, more, message, module):
    with pytest.raises(PrototxtError, match=message):
        make_net(INPUT + layer(module, name, more), allow_python=True)


def test_refuses_modules_that_there_are_not(module, tmp_path):
    with pytest.raises(PrototxtError, match="module: there is no Python module 'nowhere_at_all'"):
        make_net(INPUT + layer("nowhere_at_all"), allow_python=True)
    with pytest.raises(PrototxtError, match="module: expected a name in python_param, got none"):
        make_net(INPUT + layer(""), allow_python=True)
    (tmp_path / f"{module}.py").write_text(textwrap.dedent("import nowhere_at_all"))
    with pytest.raises(ModuleNotFoundError, match="nowhere_at_all"):
        make_net(INPUT + layer(module), allow_python=True)
    assert str(tmp_path) not in sys.path
