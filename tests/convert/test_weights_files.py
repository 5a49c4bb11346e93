"""Weights in every format: the same bits on the way there and back, and hostile files refused."""

import io
import zipfile

import numpy as np
import pytest

from sscaffe import hdf5
from sscaffe.convert.saved import ENDINGS, Format, SavedLayer, format_of, in_order_of
from sscaffe.convert.weights_files import KINDS, read_weights, write_weights
from sscaffe.errors import SscaffeError, WeightsError
from sscaffe.proto import caffe_pb2
from sscaffe.prototxt import parse_net
from sscaffe.serialized import array_to_blobproto, write_binary


def need(kind):
    if kind is Format.SAFETENSORS:
        pytest.importorskip("safetensors", reason="the extra convert is not installed")
    if kind is Format.HDF5:
        pytest.importorskip("h5py", reason="the extra convert is not installed")


def layers_of(rng):
    conv = rng.standard_normal((4, 3, 3, 3)).astype(np.float32)
    conv[conv < 0.5] = 0
    scalar = np.asarray(rng.standard_normal(()), np.float32)
    return [
        SavedLayer("conv1", "Convolution", [conv, np.arange(4, dtype=np.float32)]),
        SavedLayer("a/b/conv", "Convolution", [conv[:2]]),
        SavedLayer("prelu", "PReLU", [scalar]),
    ]


def assert_equal(found, layers):
    by_name = {layer.name: layer.arrays for layer in found}
    assert by_name.keys() == {layer.name for layer in layers}
    for layer in layers:
        for array, expected in zip(by_name[layer.name], layer.arrays, strict=True):
            assert (array.shape, array.dtype) == (expected.shape, np.float32)
            assert array.tobytes() == expected.tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_read_back_bit_for_bit(tmp_path, kind, rng):
    need(kind)
    write_weights(tmp_path / "w", kind, layers_of(rng))
    assert_equal(read_weights(tmp_path / "w", kind), layers_of(np.random.default_rng(1701)))


@pytest.mark.parametrize("kind", [Format.PACKED, Format.CAFFEMODEL])
def test_types_are_kept_where_the_format_has_them(tmp_path, kind, rng):
    write_weights(tmp_path / "w", kind, layers_of(rng))
    kinds = [layer.type for layer in read_weights(tmp_path / "w", kind)]
    assert kinds == ["Convolution", "Convolution", "PReLU"]


def test_shapes_of_old_caffemodels_lose_their_ones(tmp_path):
    model = caffe_pb2.NetParameter()
    for name, kind, shapes in (
        ("c", caffe_pb2.V1LayerParameter.CONVOLUTION, [(1, 1, 3, 3), (1, 1, 1, 1)]),
        ("i", caffe_pb2.V1LayerParameter.INNER_PRODUCT, [(1, 1, 1, 6), (1, 1, 1, 1)]),
    ):
        layer = model.layers.add(name=name, type=kind)
        for shape in shapes:
            blob = array_to_blobproto(np.ones(shape, np.float32))
            blob.ClearField("shape")
            blob.num, blob.channels, blob.height, blob.width = shape
            layer.blobs.append(blob)
    write_binary(tmp_path / "w", model)
    found = read_weights(tmp_path / "w", Format.CAFFEMODEL)
    assert [[a.shape for a in layer.arrays] for layer in found] == [
        [(1, 1, 3, 3), (1,)],
        [(1, 6), (1,)],
    ]


def test_double_precision_is_rounded_with_a_word(tmp_path, caplog):
    write_weights(tmp_path / "w", Format.NPZ, [SavedLayer("a", "", [np.array([0.1, 2.0])])])
    (layer,) = read_weights(tmp_path / "w", Format.NPZ)
    assert layer.arrays[0].dtype == np.float64
    write_weights(tmp_path / "p", Format.PACKED, [layer])
    assert "a: weights in double precision are rounded to single" in caplog.text


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.caffemodel.h5", Format.HDF5), ("A.CAFFEMODEL", Format.CAFFEMODEL), ("a.npz", Format.NPZ)],
)
def test_the_ending_tells_the_format(name, kind):
    assert format_of(name) is kind


def test_an_ending_that_tells_nothing_is_refused():
    with pytest.raises(SscaffeError, match=r"a\.pth: expected a name that ends in .* got \.pth"):
        format_of("a.pth")
    assert set(ENDINGS.values()) == set(Format)


def test_only_the_layers_of_a_net_in_its_order(rng):
    net = parse_net('layer { name: "prelu" type: "PReLU" } layer { name: "conv1" type: "C" }')
    found = in_order_of(layers_of(rng), net)
    assert [(layer.name, layer.type) for layer in found] == [("prelu", "PReLU"), ("conv1", "C")]
    with pytest.raises(WeightsError, match="matched by name"):
        in_order_of(layers_of(rng), parse_net('layer { name: "other" type: "C" }'))


def npz(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def npy(array, **kwargs):
    file = io.BytesIO()
    np.save(file, array, **kwargs)
    return file.getvalue()


GOOD = npy(np.ones(3, np.float32))


@pytest.mark.parametrize(
    "members",
    [
        {"a/0.npy": npy(np.array([{}], object), allow_pickle=True)},
        {"a/0.npy": GOOD[:-1]},
        {"a/0.npy": GOOD + b"\0"},
        {"a/0.npy": GOOD.replace(b"(3,), ", b"(3000000000,), ")},
        {"a/0.npy": GOOD.replace(b"(3,),", b"(-3,),")},
        {"a/0.npy": GOOD.replace(b"\x93NUMPY\x01", b"\x93NUMPY\x07")},
        {"a/0.npy": npy(np.array(["text"]))},
        {"a/0.npy": npy(np.ones(3, "f4,f4"))},
        {"a/0.npy": b""},
        {"a.npy": GOOD},
        {"a/x.npy": GOOD},
        {"a/1.npy": GOOD},
        {"a/0.npy": GOOD, "a/7.npy": GOOD},
        {},
    ],
    ids=lambda members: str(members)[:70],
)
def test_hostile_npz_files_are_refused(tmp_path, members):
    with pytest.raises(WeightsError, match=r"w\.npz: "):
        read_weights(npz(tmp_path / "w.npz", members), Format.NPZ)


def test_an_npz_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("sscaffe.convert.npz._ALWAYS_ALLOWED", 2**16)
    monkeypatch.setattr("sscaffe.convert.npz._LARGEST_RATIO", 100)
    with zipfile.ZipFile(tmp_path / "w.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/0.npy", npy(np.zeros(10**6, np.float32)))
    with pytest.raises(WeightsError, match="are taken for a trap"):
        read_weights(tmp_path / "w.npz", Format.NPZ)


@pytest.mark.parametrize("kind", KINDS)
def test_files_cut_anywhere_are_refused_or_whole(tmp_path, kind, rng):
    need(kind)
    write_weights(tmp_path / "good", kind, layers_of(rng))
    whole = (tmp_path / "good").read_bytes()
    for size in {0, 1, 7, *range(8, len(whole), max(1, len(whole) // 60))}:
        (tmp_path / "w").write_bytes(whole[:size])
        with pytest.raises(WeightsError, match="w: "):
            _checked(read_weights(tmp_path / "w", kind), len(layers_of(rng)))


def _checked(found, count):
    """Refuse fewer layers: a caffemodel may be cut between two, which nothing in it tells."""
    if len(found) < count:
        raise WeightsError("w: fewer layers")
    return found


def test_rings_of_hdf5_groups_are_refused(tmp_path):
    h5py = pytest.importorskip("h5py", reason="the extra convert is not installed")
    with h5py.File(tmp_path / "w", "w") as file:
        group = file.require_group("data/a")
        group["b"] = file["data"]
    with pytest.raises(WeightsError, match="groups within each other"):
        read_weights(tmp_path / "w", Format.HDF5)
    hdf5.write_hdf5(tmp_path / "v", {"other": None})
    with pytest.raises(WeightsError, match="in a group named data"):
        read_weights(tmp_path / "v", Format.HDF5)
