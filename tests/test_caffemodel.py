"""Caffemodels read without their numbers: the same as when they are read whole."""

import numpy as np
import pytest

from sscaffe import caffemodel
from sscaffe.caffemodel import open_caffemodel
from sscaffe.errors import WeightsError
from sscaffe.net.weights import saved_layers
from sscaffe.proto import caffe_pb2, text_format
from sscaffe.serialized import (
    array_to_blobproto,
    blobproto_to_array,
    read_binary,
    varint,
    write_binary,
)


def example():
    model = text_format.Parse(
        """
        name: "n"
        layers { name: "v1" blobs { num: 1 channels: 1 height: 1 width: 2 data: [5, 6] } }
        layers { layer { name: "v0" blobs { shape { dim: 2 } double_data: [0.1, 0.2] } } }
        layer { name: "none" type: "ReLU" relu_param { negative_slope: -0.5 } }
        """,
        caffe_pb2.NetParameter(),
    )
    for name, shape in (("a", (2, 3)), ("b", (0, 4)), ("c", ())):
        values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape) + 0.25
        model.layer.add(name=name).blobs.append(array_to_blobproto(values, -values))
    model.layer_count = len(model.layer)
    return model


def read_whole(path):
    layers = saved_layers(read_binary(path, caffe_pb2.NetParameter))
    return [(name, [blobproto_to_array(blob) for blob in blobs]) for name, blobs in layers]


def read_by_parts(path):
    with open_caffemodel(path) as file:
        return [
            (name, [joined(file.values(blob)) for blob in blobs])
            for name, blobs in saved_layers(file.model)
        ]


def joined(values):
    first, second = (list(values()) for _ in range(2))  # may be read again
    assert [part.tobytes() for part in first] == [part.tobytes() for part in second]
    return np.concatenate([part.reshape(-1) for part in first] or [np.empty(0)])


def outcome(read, path):
    try:
        return [
            (name, [(array.size, array.ravel().tolist()) for array in arrays])
            for name, arrays in read(path)
        ]
    except WeightsError as error:
        return str(error)


def is_read_whole(path):
    with open_caffemodel(path) as file:
        return any(blob.data for layer in file.model.layer for blob in layer.blobs)


def test_layers_of_some_types_keep_their_numbers(tmp_path):
    path = tmp_path / "w"
    write_binary(path, example())
    with open_caffemodel(path, whole_types=["ReLU"]) as file:
        assert list(file.model.layer[3].blobs[0].data) == [0.25]
        assert joined(file.values(file.model.layer[3].blobs[0])) == [0.25]


@pytest.mark.parametrize("part", [8, 4 << 20])
def test_all_forms_are_read_without_their_numbers(tmp_path, monkeypatch, part):
    monkeypatch.setattr(caffemodel, "PART", part)
    path = tmp_path / "w"
    write_binary(path, example())
    assert not is_read_whole(path)
    assert outcome(read_by_parts, path) == outcome(read_whole, path)
    with open_caffemodel(path) as file:
        assert [layer.name for layer in file.model.layer] == ["none", "a", "b", "c"]
        assert file.model.layer[0].relu_param.negative_slope == -0.5
        assert list(file.model.layer[1].blobs[0].shape.dim) == [2, 3]


def test_a_file_that_is_cut_anywhere_is_refused_in_the_same_words(tmp_path):
    path, content = tmp_path / "w", example().SerializeToString(deterministic=True)
    for length in range(len(content)):
        path.write_bytes(content[:length])
        assert outcome(read_by_parts, path) == outcome(read_whole, path)


def test_a_file_that_is_damaged_anywhere_is_read_as_if_whole(tmp_path, rng):
    path, content = tmp_path / "w", example().SerializeToString(deterministic=True)
    for place in range(len(content)):
        for value in (content[place] ^ (1 << rng.integers(8)), rng.integers(256)):
            path.write_bytes(content[:place] + bytes([value]) + content[place + 1 :])
            assert repr(outcome(read_by_parts, path)) == repr(outcome(read_whole, path))


def field(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def with_blob(content):
    return field(100, field(1, b"a") + field(7, content))


def floats(*values):
    return np.array(values, "<f4").tobytes()


@pytest.mark.parametrize(
    ("blob", "whole"),
    [
        (field(5, floats(1, 2)) + field(7, b"\x0a\x01\x03") + field(5, floats(3)), False),
        (b"\x2d" + floats(1) + b"\x2d" + floats(2), True),  # one by one
        (b"\xa3\x06" + field(5, floats(7)) + b"\xa4\x06" + field(5, floats(1)), True),  # a group
        (field(5, floats(1) + b"\0"), True),
        (field(8, b"") + field(5, floats(1)), False),
    ],
)
def test_numbers_may_be_written_in_other_ways(tmp_path, blob, whole):
    path = tmp_path / "w"
    path.write_bytes(with_blob(blob))
    assert outcome(read_by_parts, path) == outcome(read_whole, path)
    if isinstance(outcome(read_whole, path), list):
        assert is_read_whole(path) == whole


def test_a_missing_file_or_a_folder_is_refused(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(WeightsError, match="cannot be read"), open_caffemodel(path):
            pass


def test_a_file_that_shrinks_while_it_is_read_is_refused(tmp_path):
    path = tmp_path / "w"
    write_binary(path, example())
    with open_caffemodel(path) as file:
        values = file.values(file.model.layer[1].blobs[0])
        path.write_bytes(b"")
        with pytest.raises(WeightsError, match="became shorter"):
            list(values())
