"""Synthetic inputs, and what stands in for data that is not there."""

import numpy as np
import pytest

from sscaffe.errors import DataError
from sscaffe.layer import TEST, TRAIN
from sscaffe.net import Net
from sscaffe.proto import caffe_pb2
from sscaffe.prototxt import parse_net
from sscaffe.timing import fill_inputs, is_sparse, stand_in_for_missing_data
from tests.timing.nets import NET

DATA = """
layer {{ name: "d" type: "Data" top: "data" top: "label" include {{ phase: TRAIN }}
        transform_param {{ {} }}
        data_param {{ source: "not/here" backend: LMDB batch_size: 6 }} }}
"""


@pytest.mark.parametrize("phase", [TRAIN, TEST])
def test_inputs_are_random_and_labels_are_zero(phase):
    net = Net(parse_net(NET), phase)  # in TEST, both go through Split layers
    fill_inputs(net)
    data = net.blobs["data"].const_data
    assert abs(data.mean()) < 0.6
    assert 0.5 < data.std() < 1.5
    np.testing.assert_array_equal(net.blobs["label"].const_data, [0, 0])
    net.forward()


@pytest.mark.parametrize(
    ("field", "expected"),
    [("", False), ("conv_mode: LOWERED_GEMM", False), ("conv_mode: DIRECT_DCONV", False)]
    + [
        (f"conv_mode: {m}", True)
        for m in ("LOWERED_CSRMM", "LOWERED_CCNMM", "DIRECT_SCONV", "AUTO")
    ],
)
def test_sparse_modes_are_known(field, expected):
    assert is_sparse(parse_net(NET.replace("group: 1", field))) is expected


def test_a_sparse_inner_product_is_known():
    assert is_sparse(parse_net(NET.replace("num_output: 3", "num_output: 3 gemm_mode: SPMDM")))


@pytest.mark.parametrize(
    ("transform", "given", "shape"),
    [
        ("", (1, 28, 28), [6, 1, 28, 28]),
        ("crop_size: 24 mean_value: 1 mean_value: 2 mean_value: 3", None, [6, 3, 24, 24]),
    ],
)
def test_an_input_stands_in_for_a_missing_database(transform, given, shape):
    param = parse_net(DATA.format(transform))
    (layer,) = stand_in_for_missing_data(param, given).layer
    assert param.layer[0].type == "Data"
    assert layer.type == "Input"
    assert [list(s.dim) for s in layer.input_param.shape] == [shape, [6]]
    assert layer.include == param.layer[0].include


@pytest.mark.parametrize("transform", ["", "crop_size: 24", "crop_size: 24 mean_value: 1"])
def test_a_shape_that_nobody_knows_is_refused(transform):
    message = r"source: there is no LMDB 'not/here'.* give it with --shape"
    with pytest.raises(DataError, match=message):
        stand_in_for_missing_data(parse_net(DATA.format(transform)))


@pytest.mark.parametrize("root", ["", "root"])
def test_a_database_that_is_there_is_used(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / root / "digits"
    folder.mkdir(parents=True)
    param = parse_net(DATA.format("").replace("not/here", "digits"))
    with pytest.raises(DataError, match="there is no LMDB 'digits'"):
        stand_in_for_missing_data(param, root=root)  # an empty folder is none
    (folder / "data.mdb").touch()
    assert stand_in_for_missing_data(param, root=root).layer[0].type == "Data"


def test_a_database_is_looked_for_under_the_root_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits" / "data.mdb").touch()
    param = parse_net(DATA.format("").replace("not/here", "digits"))
    assert stand_in_for_missing_data(param, (1, 4, 4), "other").layer[0].type == "Input"


@pytest.mark.parametrize(
    ("layer", "shapes"),
    [
        (
            'type: "HDF5Data" top: "x" top: "y" top: "z" hdf5_data_param { source: "no" '
            "batch_size: 5 }",
            [[5, 2, 3, 4], [5], [5]],
        ),
        (
            'type: "ImageData" top: "x" top: "y" image_data_param { source: "no" batch_size: 5 }',
            [[5, 2, 3, 4], [5]],
        ),
        (
            'type: "MemoryData" top: "x" top: "y" memory_data_param { batch_size: 5 channels: 3 '
            "height: 7 width: 9 }",
            [[5, 3, 7, 9], [5, 1, 1, 1]],
        ),
    ],
    ids=["HDF5Data", "ImageData", "MemoryData"],
)
def test_other_layers_without_their_data(layer, shapes):
    param = stand_in_for_missing_data(parse_net(f'layer {{ name: "d" {layer} }}'), (2, 3, 4))
    assert param.layer[0].type == "Input"
    assert [list(shape.dim) for shape in param.layer[0].input_param.shape] == shapes
    net = Net(param, TEST)
    fill_inputs(net)
    net.forward()


@pytest.mark.parametrize(
    ("fields", "shape"),
    [
        ("image_data_param { source: 'no' new_height: 6 new_width: 8 }", [3, 6, 8]),
        ("image_data_param { source: 'no' new_height: 6 new_width: 8 } "
         "transform_param { crop_size: 4 }", [3, 4, 4]),
    ],
)  # fmt: skip
def test_image_data_tells_its_shape(fields, shape):
    text = f"layer {{ name: 'd' type: 'ImageData' top: 'x' {fields} }}"
    (layer,) = stand_in_for_missing_data(parse_net(text)).layer
    assert list(layer.input_param.shape[0].dim) == [1, *shape]


def test_old_nets_crop_in_data_param():
    text = DATA.format("force_color: true").replace("batch_size: 6", "batch_size: 6 crop_size: 5")
    (layer,) = stand_in_for_missing_data(parse_net(text)).layer
    assert list(layer.input_param.shape[0].dim) == [6, 3, 5, 5]


def test_a_mean_file_tells_the_channels(tmp_path):
    mean = caffe_pb2.BlobProto(channels=2, height=8, width=8, num=1, data=[0.0] * 128)
    (tmp_path / "mean.binaryproto").write_bytes(mean.SerializeToString())
    text = DATA.format('crop_size: 5 mean_file: "mean.binaryproto"')
    (layer,) = stand_in_for_missing_data(parse_net(text), root=str(tmp_path)).layer
    assert list(layer.input_param.shape[0].dim) == [6, 2, 5, 5]


def test_data_of_another_phase_is_left_alone():
    param = parse_net(DATA.format(""))  # included in TRAIN
    kept = stand_in_for_missing_data(param, state=caffe_pb2.NetState(phase=TEST))
    assert kept == param
    with pytest.raises(DataError, match="give it with --shape"):
        stand_in_for_missing_data(param, state=caffe_pb2.NetState(phase=TRAIN))
