"""Small nets and solvers that the tests of the solver train."""

import numpy as np
import pytest

from sscaffe import prototxt
from sscaffe.blob import Blob, Param
from sscaffe.errors import WeightsError
from sscaffe.proto import caffe_pb2, text_format
from sscaffe.serialized import read_binary, write_binary
from sscaffe.solver import Solver

# DummyData draws from the solver's random numbers in each forward pass, and so does Dropout.
NET = """
name: "small"
layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param {
    shape { dim: 4 dim: 2 dim: 5 dim: 5 } shape { dim: 4 }
    data_filler { type: "gaussian" std: 1 } data_filler { type: "constant" value: 1 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" %(mode)s
  param { %(conv)s }
  convolution_param { num_output: 4 kernel_size: 3 group: 2 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "drop1" type: "Dropout" bottom: "conv1" top: "conv1" }
layer { name: "ip1" type: "InnerProduct" bottom: "conv1" top: "ip1"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip1" bottom: "label" top: "loss" }
"""

SOLVER = 'base_lr: 0.1 lr_policy: "fixed" random_seed: 7 solver_mode: CPU snapshot_prefix: "small"'


def small_net(conv="", mode=""):
    """Return the net; `conv` goes into the param of conv1's weights, `mode` into the layer."""
    return prototxt.parse_net(NET % {"conv": conv, "mode": mode})


def settings(text="", net=None):
    """Return a SolverParameter; fields in `text` override the defaults."""
    param = prototxt.parse_solver(SOLVER)
    given = prototxt.parse_solver(text)
    for field, _ in given.ListFields():
        param.ClearField(field.name)
    param.MergeFrom(given)
    named = [f for f in ("net", "train_net", "train_net_param") if param.HasField(f)]
    if not named:
        param.net_param.CopyFrom(net or small_net())
    return param


def small_solver(text="", **net):
    """Return a solver of the small net."""
    return Solver(settings(text, small_net(**net)))


def make_param(array, spec="", *, name="l", index=0, group=1, kernel_count=1, learns=True):
    """Return a parameter with these values, in their precision."""
    array = np.asarray(array)
    blob = Blob(array.shape, array.dtype)
    blob.set_data(array)
    spec = text_format.Parse(spec, caffe_pb2.ParamSpec())
    return Param(blob, name, index, spec, group=group, kernel_count=kernel_count, learns=learns)


def weights_of(solver):
    """Return copies of all weights of a solver's net, by layer and number."""
    return {
        (name, i): blob.const_data.copy()
        for name, blobs in solver.net.params.items()
        for i, blob in enumerate(blobs)
    }


def assert_same(first, second):
    """Check that two results of `weights_of` are equal bit for bit."""
    assert first.keys() == second.keys()
    for key, array in first.items():
        np.testing.assert_array_equal(array, second[key], err_msg=str(key))


MODES = {
    "CONNECTED": "",
    "ELTWISE": "connectivity_mode: DISCONNECTED_ELTWISE",
    "GRPWISE": "connectivity_mode: DISCONNECTED_GRPWISE",
}


def make_zeros(solver):
    weights = solver.net.params["conv1"][0].data
    weights[0] = weights[2:, 0, 1] = 0


def history_of(solver):
    return {i: blob.const_data.copy() for i, blob in enumerate(solver.history)}


def plain_state(path):
    """Take away what only sscaffe writes, as if Caffe had written the file."""
    state = read_binary(path, caffe_pb2.SolverState)
    for field, _ in state.ListFields():
        if field.number > 1000:
            state.ClearField(field.name)
    write_binary(path, state)


def restore_refused(message, state="small_iter_0.solverstate", text="", error=WeightsError):
    """Check the message, and that the refusal changed nothing."""
    solver = small_solver(text)
    solver.step(1)
    before = weights_of(solver), history_of(solver), solver.iter
    with pytest.raises(error, match=message):
        solver.restore(state)
    assert_same(weights_of(solver), before[0])
    assert_same(history_of(solver), before[1])
    assert solver.iter == before[2]
