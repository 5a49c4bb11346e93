"""Binary protobuf files and the arrays in them."""

import numpy as np
import pytest

from sscaffe.errors import SscaffeError, WeightsError
from sscaffe.proto import caffe_pb2, text_format
from sscaffe.serialized import (
    array_to_blobproto,
    blobproto_shape,
    blobproto_to_array,
    has_legacy_shape,
    is_hdf5,
    read_binary,
    write_binary,
)


@pytest.fixture
def model():
    net = caffe_pb2.NetParameter(name="n")
    for name in ("conv1", "ip1"):
        layer = net.layer.add(name=name, type="InnerProduct")
        layer.blobs.add().CopyFrom(array_to_blobproto(np.arange(6.0).reshape(2, 3)))
    return net


def blobproto(text):
    return text_format.Parse(text, caffe_pb2.BlobProto())


@pytest.mark.parametrize("shape", [(), (1,), (5,), (0,), (3, 0, 2), (2, 3, 4, 5), (300, 1)])
def test_arrays_come_back(shape, rng):
    data, diff = (rng.standard_normal(shape).astype(np.float32) for _ in range(2))
    proto = array_to_blobproto(data, diff)
    np.testing.assert_array_equal(blobproto_to_array(proto), data)
    np.testing.assert_array_equal(blobproto_to_array(proto, return_diff=True), diff)
    assert blobproto_shape(proto) == shape


def test_an_array_is_written_as_protobuf_writes_it(rng):
    data = rng.standard_normal((7, 3)).astype(np.float32)
    plain = caffe_pb2.BlobProto()
    plain.shape.dim.extend((7, 3))
    plain.data.extend(data.ravel().tolist())
    assert array_to_blobproto(data).SerializeToString(deterministic=True) == (
        plain.SerializeToString(deterministic=True)
    )


def test_an_array_need_not_be_contiguous_or_of_single_precision():
    data = np.arange(6.0).reshape(2, 3).T
    np.testing.assert_array_equal(blobproto_to_array(array_to_blobproto(data)), data)


def test_double_precision_is_kept():
    proto = blobproto(
        "shape { dim: 2 } double_data: 0.1 double_data: 0.2 double_diff: 3 double_diff: 4"
    )
    assert blobproto_to_array(proto).dtype == np.float64
    np.testing.assert_array_equal(blobproto_to_array(proto), [0.1, 0.2])
    np.testing.assert_array_equal(blobproto_to_array(proto, return_diff=True), [3, 4])


def test_unknown_fields_do_not_pass_for_values():
    # A group of an unknown number that holds what looks like the field of the values.
    group = b"\xa3\x06" + b"\x2a\x04" + b"\0\0\0\0" + b"\xa4\x06"
    proto = caffe_pb2.BlobProto()
    proto.MergeFromString(group + array_to_blobproto(np.array([1.0, 2.0])).SerializeToString())
    np.testing.assert_array_equal(blobproto_to_array(proto), [1, 2])


def test_the_four_dimensions_of_old_are_read():
    proto = blobproto("num: 1 channels: 1 height: 2 width: 1 data: 5 data: 6")
    assert has_legacy_shape(proto)
    np.testing.assert_array_equal(blobproto_to_array(proto), [[[[5], [6]]]])


def test_shape_overrules_the_four_dimensions():
    proto = blobproto("shape { dim: 2 } num: 9 data: 5 data: 6")
    assert not has_legacy_shape(proto)
    assert blobproto_shape(proto) == (2,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("shape { dim: 2 } data: 1", r"data: expected 2 values for shape \(2,\), got 1"),
        ("shape { dim: 2 }", r"data: expected 2 values for shape \(2,\), got 0"),
        ("shape { dim: -2 dim: -1 } data: 1 data: 2", "shape: expected sizes of 0 or more"),
        ("shape { dim: 65536 dim: 32768 }", r"has more than the 2\^31 - 1 elements"),
        ("shape { dim: 4611686018427387904 dim: 4 }", r"has more than the 2\^31 - 1 elements"),
        ("num: -1 data: 1", "shape: expected sizes of 0 or more"),
    ],
)
def test_arrays_that_contradict_themselves_are_refused(text, message):
    with pytest.raises(WeightsError, match=message):
        blobproto_to_array(blobproto(text))


def test_files_come_back(tmp_path, model):
    write_binary(tmp_path / "w.caffemodel", model)
    assert read_binary(tmp_path / "w.caffemodel", caffe_pb2.NetParameter) == model
    assert [path.name for path in tmp_path.iterdir()] == ["w.caffemodel"]


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path, model):
    with pytest.raises(SscaffeError, match="cannot be written"):
        write_binary(tmp_path / "missing" / "w.caffemodel", model)


def test_a_missing_file_or_a_folder_is_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"none\.caffemodel: cannot be read: no such file"):
        read_binary(tmp_path / "none.caffemodel", caffe_pb2.NetParameter)
    with pytest.raises(WeightsError, match="cannot be read: is a directory"):
        read_binary(tmp_path, caffe_pb2.NetParameter)
    with pytest.raises(WeightsError, match="cannot be read"):
        is_hdf5(tmp_path / "none.caffemodel")


NET, STATE, ARRAY = caffe_pb2.NetParameter, caffe_pb2.SolverState, caffe_pb2.BlobProto


@pytest.mark.parametrize(
    ("wanted", "kind", "expected", "got"),
    [
        (NET, "empty", "a caffemodel", "an empty file"),
        (NET, "hdf5", "a caffemodel", "an HDF5 file"),
        (NET, "text", "a caffemodel", "a text file, such as a prototxt"),
        (NET, "state", "a caffemodel", "what seems to be a solverstate"),
        (NET, "array", "a caffemodel", r"what seems to be an array \(binaryproto\)"),
        (NET, "noise", "a caffemodel", "a file that is cut short or of another kind"),
        (STATE, "net", "a solverstate", "what seems to be a caffemodel"),
        (STATE, "array", "a solverstate", r"what seems to be an array \(binaryproto\)"),
        (ARRAY, "net", r"an array \(binaryproto\)", "what seems to be a caffemodel"),
        (ARRAY, "state", r"an array \(binaryproto\)", "what seems to be a solverstate"),
        (caffe_pb2.Datum, "text", "a binary Datum", "a text file"),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path, model, wanted, kind, expected, got):
    array = array_to_blobproto(np.arange(6.0))
    contents = {
        "empty": b"",
        "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(100),
        "text": b'name: "LeNet"\nlayer { name: "data" }\n',
        "noise": bytes(range(256)),
        "net": model.SerializeToString(),
        "array": array.SerializeToString(),
        "state": caffe_pb2.SolverState(
            iter=5, learned_net="snap_iter_5.caffemodel", history=[array]
        ).SerializeToString(),
    }
    path = tmp_path / "file"
    path.write_bytes(contents[kind])
    with pytest.raises(WeightsError, match=f"file: expected {expected}, got {got}"):
        read_binary(path, wanted)


def test_a_file_cut_short_anywhere_is_refused_or_lacks_whole_layers(tmp_path, model):
    content = model.SerializeToString()
    path = tmp_path / "w.caffemodel"
    for size in range(len(content)):
        path.write_bytes(content[:size])
        try:
            shorter = read_binary(path, caffe_pb2.NetParameter)
        except WeightsError:
            continue
        assert shorter.layer[0] == model.layer[0]
        assert len(shorter.layer) == 1


def test_flipped_bits_never_do_worse_than_a_refusal(tmp_path, model, rng):
    content = model.SerializeToString()
    path = tmp_path / "w.caffemodel"
    for place in range(0, len(content) * 8, 3):
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        try:
            for layer in read_binary(path, caffe_pb2.NetParameter).layer:
                for proto in layer.blobs:
                    blobproto_to_array(proto)
        except WeightsError:
            pass


def test_hdf5_is_known_by_its_content(tmp_path):
    path = tmp_path / "w"
    path.write_bytes(b"\x89HDF\r\n\x1a\n")
    assert is_hdf5(path)
    path.write_bytes(b"\x89HDF")
    assert not is_hdf5(path)


def test_a_caffemodel_cut_between_two_layers_is_noticed(tmp_path):
    net = caffe_pb2.NetParameter(name="n", layer_count=2)
    for name in ("a", "b"):
        net.layer.add(name=name).blobs.add().data.extend([1, 2, 3])
    path = tmp_path / "n.caffemodel"
    write_binary(path, net)
    assert read_binary(path, caffe_pb2.NetParameter).layer[1].name == "b"
    whole = path.read_bytes()
    end_of_the_first = whole.index(b"\x0a\x01b") - 3
    path.write_bytes(whole[:end_of_the_first])
    with pytest.raises(WeightsError, match="expected 2 layers, got 1; the file was cut short"):
        read_binary(path, caffe_pb2.NetParameter)
