"""Packed files: bit-exact, small, and closed to what is damaged or hostile."""

import json
import struct
import zlib

import numpy as np
import pytest

from sscaffe.errors import WeightsError
from sscaffe.layer import TEST
from sscaffe.net import Net
from sscaffe.net.weights import read_weights
from sscaffe.packed import MAGIC, is_packed, pack, read_packed, write_packed
from sscaffe.packed_forms import FORMS, smallest
from sscaffe.prototxt import parse_net

SHAPES = [(), (0,), (1,), (7,), (3, 0), (5, 9), (4, 3, 3, 5), (2, 600), (1, 1, 1, 8)]


def sparse(shape, density, rng):
    array = rng.standard_normal(shape).astype(np.float32)
    return np.asarray(np.where(rng.random(shape) < density, array, 0), np.float32)


def bits(array):
    return np.asarray(array, "<f4").reshape(-1).view(np.uint32)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("density", [0, 0.002, 0.1, 0.6, 1])
def test_every_form_gives_the_same_bits(form, shape, density, rng):
    array = sparse(shape, density, rng)
    found = FORMS[form].unpack(memoryview(FORMS[form].pack(array)), shape)
    np.testing.assert_array_equal(bits(found), bits(array))


@pytest.mark.parametrize("form", FORMS)
def test_what_a_mask_leaves_keeps_its_bits(form, rng):
    weights = rng.standard_normal((20, 50)).astype(np.float32)
    array = weights * (rng.random(weights.shape) < 0.1).astype(np.float32)
    assert (np.signbit(array) & (array == 0)).any()
    found = FORMS[form].unpack(memoryview(FORMS[form].pack(array)), array.shape)
    np.testing.assert_array_equal(bits(found), bits(array))


def test_gaps_of_every_length_around_a_jump():
    for zeros in (0, 1, 253, 254, 255, 256, 509, 510, 511, 1000):
        array = np.zeros(zeros + 3, np.float32)
        array[zeros:-1] = 1, 2
        found = FORMS["gaps"].unpack(memoryview(FORMS["gaps"].pack(array)), array.shape)
        np.testing.assert_array_equal(found, array, err_msg=str(zeros))


def test_minus_zero_and_nan_keep_their_bits():
    array = np.array([0, 0x80000000, 0x7FC12345, 0xFF800000, 1], np.uint32).view(np.float32)
    for form in FORMS.values():
        found = form.unpack(memoryview(form.pack(array)), array.shape)
        np.testing.assert_array_equal(bits(found), bits(array))


def test_the_form_that_fits_is_chosen(rng):
    rows_and_columns = sparse((50, 500), 1, rng)
    rows_and_columns[5:] = 0
    rows_and_columns[:, 75:] = 0
    form, content = smallest(rows_and_columns)
    assert form == "block"
    assert len(content) == 4 * 5 * 75 + 7 + 63
    assert smallest(sparse((50, 500), 1, rng))[0] == "dense"
    assert smallest(sparse((50, 500), 0.4, rng))[0] == "bitmap"
    assert smallest(sparse((50, 500), 0.02, rng))[0] == "gaps"
    assert smallest(sparse((50, 500), 0.02, rng) * np.float32(-1))[0] == "signed"


def test_a_file_is_read_back(tmp_path, rng):
    arrays = [sparse((20, 30), 0.1, rng), sparse((20,), 1, rng)]
    layers = [pack("conv/1", "Convolution", arrays), pack("none", "", [])]
    write_packed(tmp_path / "w", layers)
    assert is_packed(tmp_path / "w")
    one, none = read_packed(tmp_path / "w")
    assert (one.name, one.type) == ("conv/1", "Convolution")
    assert (none.name, none.type, none.blobs) == ("none", "", [])
    for blob, array in zip(one.blobs, arrays, strict=True):
        np.testing.assert_array_equal(bits(blob.array()), bits(array))
        assert blob.shape == array.shape
    assert (tmp_path / "w").stat().st_size < 1000 < sum(a.nbytes for a in arrays)


NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
        inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
"""


def test_a_net_reads_it(tmp_path, rng):
    arrays = [sparse((4, 3), 0.3, rng), sparse((4,), 1, rng)]
    write_packed(tmp_path / "w", [pack("ip", "", arrays), pack("other", "", arrays)])
    net = Net(parse_net(NET), TEST, weights=tmp_path / "w")
    for blob, array in zip(net.params["ip"], arrays, strict=True):
        np.testing.assert_array_equal(bits(blob.const_data), bits(array))
    np.testing.assert_array_equal(read_weights(tmp_path / "w", ["ip"])["ip"], arrays[0])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ([np.zeros((3, 4), np.float32), np.zeros(4, np.float32)], r"expected shape \(4, 3\), got"),
        ([np.zeros((4, 3), np.float32)], "expected 2 for layer 'ip', got 1"),
        ([np.full((4, 3), np.nan, np.float32), np.zeros(4, np.float32)], "finite"),
    ],
)
def test_a_net_refuses_what_does_not_fit(tmp_path, arrays, message):
    write_packed(tmp_path / "w", [pack("ip", "", arrays)])
    with pytest.raises(WeightsError, match=message):
        Net(parse_net(NET), TEST, weights=tmp_path / "w")


def test_every_cut_and_every_changed_byte_is_noticed(tmp_path, rng):
    write_packed(tmp_path / "w", [pack("ip", "", [sparse((9, 5), 0.3, rng)])])
    whole = (tmp_path / "w").read_bytes()
    for size in range(len(whole)):
        (tmp_path / "w").write_bytes(whole[:size])
        with pytest.raises(WeightsError):
            read_packed(tmp_path / "w")
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 4
        (tmp_path / "w").write_bytes(changed)
        with pytest.raises(WeightsError, match=r"w: "):
            read_packed(tmp_path / "w")


def crafted(path, header, content=b"", *, version=1):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    body = header + content
    preamble = struct.pack("<8sIII", MAGIC, version, zlib.crc32(body), len(header))
    path.write_bytes(preamble + body)
    return path


def one(*blob):
    return {"layers": [{"name": "ip", "type": "", "blobs": [list(blob)]}]}


@pytest.mark.parametrize(
    "header",
    [
        b"{" * 5000,
        b"[" * 100_000,
        b"\xff\xfe",
        b"[]",
        b"{}",
        {"layers": 3},
        {"layers": ["ip"]},
        {"layers": [{"name": 3, "type": "", "blobs": []}]},
        {"layers": [{"name": "ip", "type": "", "blobs": [3]}]},
        one([2], "pickle", 8),
        one([2], ["dense"], 8),
        one([2], "dense", 9),
        one([2], "dense", -1),
        one([2], "dense", 2**70),
        one([-2], "dense", 8),
        one([2.0], "dense", 8),
        one([True], "dense", 8),
        one([2**16, 2**16], "block", 8),
        one([2**32, 2**32], "block", 8),
        one([1] * 33, "dense", 8),
        one([2**15, 2**15], "block", 8),  # 4 GiB out of nothing
        one([], "dense", 4),  # and bytes that belong to nothing
    ],
    ids=lambda header: str(header)[:60],
)
def test_hostile_headers_are_refused(tmp_path, header):
    with pytest.raises(WeightsError, match=r"w: "):
        read_packed(crafted(tmp_path / "w", header, b"\0" * 8))


def test_a_later_version_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="expected version 1, got 2; use a newer sscaffe"):
        read_packed(crafted(tmp_path / "w", {"layers": []}, version=2))


@pytest.mark.parametrize("shape", [(3,), (4, 2), (300,)], ids=str)
@pytest.mark.parametrize("form", FORMS)
def test_content_that_is_no_array_is_refused(tmp_path, form, shape, rng):
    refused = 0
    for _ in range(300):
        content = rng.bytes(int(rng.integers(0, 4 * np.prod(shape) + 8)))
        if rng.random() < 0.5:  # so that the count of gaps is small at times
            content = struct.pack("<I", int(rng.integers(0, 4))) + content
        path = crafted(tmp_path / "w", one(list(shape), form, len(content)), content)
        (layer,) = read_packed(path)
        try:
            array = layer.blobs[0].array()
        except WeightsError:
            refused += 1
            continue
        assert array.shape == shape
    assert refused
    path = crafted(tmp_path / "w", one(list(shape), form, 1), b"\xff")
    with pytest.raises(WeightsError, match=rf"^{path}: 1 bytes in form '{form}' do not make"):
        read_packed(path)[0].blobs[0].array()
