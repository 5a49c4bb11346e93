"""Nets and their ONNX models, run beside each other."""

from pathlib import Path

import numpy as np
import pytest

from sscaffe.layer import TEST
from sscaffe.net import Net
from sscaffe.prototxt import parse_net
from sscaffe.timing.inputs import fill_inputs

TOLERANCE = 1e-4  # of the largest output, and of 1
ABSENT = "the extra onnx is not installed"


def need_onnx():
    pytest.importorskip("onnx", reason=ABSENT)


def runtime():
    return pytest.importorskip("onnxruntime", reason=ABSENT)


def net_of(text, shape=(2, 6, 9, 8), seed=1):
    """Build a net on one input, with random weights; variances are positive."""
    dims = " ".join(f"dim: {size}" for size in shape)
    head = f'layer {{ name: "in" type: "Input" top: "x" input_param {{ shape {{ {dims} }} }} }}'
    return randomize(Net(parse_net(head + text), TEST), seed)


def randomize(net, seed=1):
    rng = np.random.default_rng(seed)
    for layer in net.layers:
        for i, blob in enumerate(layer.blobs):
            values = rng.standard_normal(blob.shape)
            if blob.ndim > 1:  # so that no softmax is all or nothing
                values *= 0.6 / np.sqrt(np.prod(blob.shape[1:]))
            if layer.type == "BatchNorm" and i > 0:
                values = abs(values) + 0.5
            blob.set_data(values.astype(np.float32))
    return net


def outputs_of(net):
    fill_inputs(net)
    net.run_forward()
    return {name: net.blobs[name].const_data.copy() for name in net.outputs}


def run_onnx(content, net):
    """Run a model on what the inputs of the net hold."""
    ort = runtime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    feeds = {value.name: net.blobs[value.name].const_data for value in session.get_inputs()}
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def assert_close(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].shape == array.shape, name
        atol = TOLERANCE * max(1, abs(array).max(initial=0))
        np.testing.assert_allclose(found[name], array, rtol=0, atol=atol, err_msg=name)


MODELS = Path(__file__).parents[2] / "models"
