"""Published models, blob by blob, as BVLC Caffe 1.0 computes them.

``SSCAFFE_DATA=<folder>`` says where they are; by default ../shared/data. They are not part of this
repository.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from sscaffe.layer import REGISTRY, TEST, TRAIN
from sscaffe.net import Net
from sscaffe.net.build import prepare
from sscaffe.proto import caffe_pb2
from sscaffe.prototxt import read_net, read_solver
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
