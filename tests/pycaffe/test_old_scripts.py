"""What old scripts do besides what pycaffe documents, and what they get wrong."""

import warnings

import numpy as np
import pytest

from sscaffe import TEST, Net, ShapeError
from tests.pycaffe.nets import DEPLOY

STAGED = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 } } }
layer { name: "y" type: "ReLU" bottom: "x" top: "y" include { stage: "deploy" } }
"""


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "deploy.prototxt"
    file.write_text(DEPLOY)
    return file


def test_phase_may_be_a_number_of_numpy(path):
    assert Net(path, np.int64(TEST)).phase == TEST


def test_one_stage_may_be_a_string(tmp_path):
    file = tmp_path / "staged.prototxt"
    file.write_text(STAGED)
    assert list(Net(file, TEST, stages="deploy").blobs) == ["x", "y"]


def test_io_has_the_messages(caffe):
    assert caffe.io.caffe_pb2 is caffe.proto.caffe_pb2


@pytest.mark.parametrize("shape", [([4, 3, 5, 6],), (4, 3, 2.5, 6), ("4",)])
def test_reshape_takes_whole_numbers_alone(path, shape):
    blob = Net(path, TEST).blobs["images"]
    with pytest.raises(ShapeError, match="expected whole numbers, as in reshape"):
        blob.reshape(*shape)
    assert blob.shape == (4, 3, 5, 6)


def test_compact_warns_of_an_array_that_goes_stale(path):
    net = Net(path, TEST)
    held = net.blobs["conv"].data[0]
    with pytest.warns(RuntimeWarning, match=r"array of a blob of shape \(4, 7, 3, 4\)"):
        net.compact()
    assert held.shape == (7, 3, 4)


def test_compact_is_quiet_about_arrays_that_stay_live(path):
    net = Net(path, TEST)
    held, conv = net.blobs["prob"].data, net.blobs["conv"].data
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net.compact(keep=["conv"])
    net.forward(images=np.ones((4, 3, 5, 6)))
    np.testing.assert_allclose(held.sum(axis=1), 1, rtol=1e-5)
    assert (conv == net.blobs["conv"].data).all()
