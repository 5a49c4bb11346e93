"""Published models, blob by blob, as BVLC Caffe 1.0 computes them.

``SSCAFFE_DATA=<folder>`` says where they are; by default ../shared/data. They are not part of this
repository.
"""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from sscaffe.layer import REGISTRY, TEST, TRAIN
from sscaffe.net import Net
from sscaffe.net.build import prepare
from sscaffe.proto import caffe_pb2
from sscaffe.prototxt import read_net, read_solver
from sscaffe.solver import Solver
from sscaffe.solver.snapshot import read_state

DEFAULT = Path(__file__).parents[2] / "shared" / "data"
FOLDER = Path(os.environ.get("SSCAFFE_DATA") or DEFAULT).resolve()
MODELS = FOLDER / "models"
ABSENT = pytest.param("", marks=pytest.mark.skip(reason=f"no models in {FOLDER}: SSCAFFE_DATA"))

# Where the rounding of Caffe's own sums is larger than the tolerance. Here it is up to 1.7e-4, as
# a comparison with sums in double precision shows: terms of up to 1400 in all add up to nearly 0.
ROUNDING = {("cifar10_full_v1", "conv2"): 3e-4}


def every(pattern, folder=MODELS):
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob(pattern))
    return found or [ABSENT]


@pytest.mark.parametrize("name", every("*.json", FOLDER / "golden_real"))
def test_every_blob_is_as_in_caffe(name):
    info = json.loads((FOLDER / "golden_real" / name).read_text())
    net = Net(MODELS / info["prototxt"], TEST, weights=MODELS / info["caffemodel"])
    (data,) = (net.blobs[blob] for blob in net.inputs)
    with np.load((FOLDER / "golden_real" / name).with_suffix(".npz")) as recorded:
        data.reshape(*info["input_shape"])
        net.reshape()
        data.set_data(recorded["input"])
        net.forward()
        keys = [key for key in recorded if key.startswith(("caffe_out/", "caffe_blob/"))]
        assert len(keys) >= len(net.outputs)
        for key in keys:
            blob = key.partition("/")[2]
            np.testing.assert_allclose(
                net.blobs[blob].const_data,
                recorded[key],
                rtol=1e-4,
                atol=ROUNDING.get((Path(name).stem, blob), 1e-4),
                err_msg=key,
            )


@pytest.mark.parametrize("phase", [TRAIN, TEST])
@pytest.mark.parametrize("name", every("*.prototxt"))
def test_every_prototxt_is_read_and_has_layers_that_there_are(name, phase):
    if "solver" in name:
        assert read_solver(MODELS / name).max_iter
        return
    net = prepare(read_net(MODELS / name), caffe_pb2.NetState(phase=caffe_pb2.Phase.Name(phase)))
    assert {layer.type for layer in net.layer} <= set(REGISTRY)


@pytest.mark.parametrize("name", every("*.solverstate"))
def test_every_solverstate_is_read(name):
    state = read_state(MODELS / name)
    assert state.proto.iter == int(Path(name).stem.rpartition("_")[2])
    assert [array.size for array in state.history]


TRAINED = {  # the state, its train net, and a batch of it
    "lenet_v1_everpeace/lenet_iter_10000.solverstate": (
        "lenet_train_test.prototxt",
        (4, 1, 28, 28),
    ),
    "cifar10_v1_everpeace/cifar10_full_iter_70000.solverstate": (
        "cifar10_full_train_test.prototxt",
        (4, 3, 32, 32),
    ),
    "cifar10_v1_everpeace/cifar10_quick_iter_5000.solverstate": (
        "cifar10_quick_train_test.prototxt",
        (4, 3, 32, 32),
    ),
    "cifar10_bxuan/cifar10_quick_iter_4000.solverstate": (
        "cifar10_quick_train_test.prototxt",
        (4, 3, 32, 32),
    ),
}


@pytest.mark.parametrize("name", TRAINED if MODELS.exists() else [ABSENT])
def test_training_goes_on_from_published_states(name, tmp_path):
    net_name, shape = TRAINED[name]
    folder = (MODELS / name).parent
    # Some were published under another name than that in the state.
    model = Path(read_state(MODELS / name).proto.learned_net).name
    state = shutil.copy(MODELS / name, tmp_path)
    shutil.copy((MODELS / name).with_suffix(".caffemodel"), tmp_path / model)
    settings = caffe_pb2.SolverParameter(base_lr=1e-4, lr_policy="fixed", momentum=0.9)
    settings.net_param.CopyFrom(with_dummy_data(read_net(folder / net_name), shape))
    with Solver(settings) as solver:
        solver.restore(state)
        start = solver.iter
        assert any(blob.const_data.any() for blob in solver.history)
        before = [param.blob.const_data.copy() for param in solver.net.learnable_params]
        solver.step(1)
        assert solver.iter == start + 1
        for param, old in zip(solver.net.learnable_params, before, strict=True):
            assert 0 < abs(param.blob.const_data - old).max() < 0.1


def with_dummy_data(net, shape):
    """Return the net with zeros of these shapes in place of its databases."""
    replaced = caffe_pb2.NetParameter()
    replaced.CopyFrom(net)
    for layer in replaced.layer:
        if layer.type == "Data":
            layer.type = "DummyData"
            for dims in (shape, shape[:1]):
                layer.dummy_data_param.shape.add(dim=dims)
                layer.dummy_data_param.data_filler.add(type="constant", value=1)
            for field in ("data_param", "transform_param"):
                layer.ClearField(field)
    return replaced
