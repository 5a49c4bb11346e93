"""Weights are saved and loaded, in both formats; bad files are refused."""

import logging

import numpy as np
import pytest

from sscaffe.errors import ShapeError, SscaffeError, WeightsError
from sscaffe.layer import TRAIN
from sscaffe.net import Net
from sscaffe.net.weights import read_weights
from sscaffe.proto import caffe_pb2
from sscaffe.serialized import array_to_blobproto, read_binary, write_binary
from tests.net.layers import INPUT, Statistics, make_net, times

h5py = pytest.importorskip("h5py", reason="h5py is not installed")

TWO = 'name: "n" ' + INPUT + times("a") + times("b", "a")
FORMATS = ["w.caffemodel", "w.caffemodel.h5"]


@pytest.fixture
def two():
    net = make_net(TWO)
    net.params["a"][0].set_data([1.5, -2, 3])
    net.params["b"][0].set_data([4, 0, 6])
    return net


def saved(path, **blobs):
    """Write a caffemodel of these layers, one list of arrays each."""
    model = caffe_pb2.NetParameter()
    for name, arrays in blobs.items():
        layer = model.layer.add(name=name)
        layer.blobs.extend(array_to_blobproto(np.array(array, float)) for array in arrays)
    write_binary(path, model)
    return path


@pytest.mark.parametrize("name", FORMATS)
def test_weights_come_back(tmp_path, two, name):
    two.save(tmp_path / name)
    other = make_net(TWO)
    other.copy_from(tmp_path / name)
    for layer in ("a", "b"):
        np.testing.assert_array_equal(
            other.params[layer][0].const_data, two.params[layer][0].const_data
        )
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", FORMATS)
def test_content_not_name_tells_the_format(tmp_path, two, name):
    two.save(tmp_path / name)
    (tmp_path / name).rename(tmp_path / "weights")
    other = make_net(TWO, weights=tmp_path / "weights")
    assert other.params["a"][0].const_data[0] == 1.5


def test_several_files_are_copied_in_order(tmp_path):
    first = saved(tmp_path / "1", a=[[1, 1, 1]], b=[[1, 1, 1]])
    second = saved(tmp_path / "2", b=[[2, 2, 2]])
    net = make_net(TWO, weights=[first, str(second)])
    assert [net.params[name][0].const_data[0] for name in ("a", "b")] == [1, 2]
    assert net.weights_generation == 2


def test_a_caffemodel_holds_every_layer(tmp_path, two):
    two.params["b"][0].set_diff(7)
    two.save(tmp_path / "w", diff=True)
    model = read_binary(tmp_path / "w", caffe_pb2.NetParameter)
    assert model.name == "n"
    assert [(layer.name, len(layer.blobs)) for layer in model.layer] == [
        ("x", 0),
        ("a", 1),
        ("b", 1),
    ]
    assert list(model.layer[2].blobs[0].shape.dim) == [3]
    assert list(model.layer[2].blobs[0].data) == [4, 0, 6]
    assert list(model.layer[2].blobs[0].diff) == [7, 7, 7]
    assert model.layer[2].bottom == ["a"]
    assert model.layer[2].phase == two.phase
    assert not two.to_proto().layer[2].blobs[0].diff


def test_an_hdf5_file_has_a_group_for_every_layer(tmp_path, two):
    two.params["b"][0].set_diff(7)
    two.save(tmp_path / "w.h5", diff=True)
    with h5py.File(tmp_path / "w.h5") as file:
        assert sorted(file) == ["data", "diff"]
        assert sorted(file["data"]) == ["a", "b", "x"]
        assert file["data/b/0"].dtype == np.float32
        np.testing.assert_array_equal(file["data/b/0"], [4, 0, 6])
        np.testing.assert_array_equal(file["diff/b/0"], [7, 7, 7])
        assert len(file["data/x"]) == 0
    two.save(tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5") as file:
        assert sorted(file) == ["data"]


SHARED = (
    INPUT + times("a", more='param { name: "w" }') + times("b", "a", more='param { name: "w" }')
)


@pytest.mark.parametrize("name", FORMATS)
def test_shared_weights_come_back(tmp_path, name):
    net = make_net(SHARED)
    net.params["a"][0].set_data([1, 2, 3])
    net.save(tmp_path / name)
    other = make_net(SHARED, weights=tmp_path / name)
    np.testing.assert_array_equal(other.params["b"][0].const_data, [1, 2, 3])


def test_shared_weights_are_stored_in_each_layer_of_a_caffemodel_but_once_in_hdf5(tmp_path):
    net = make_net(SHARED)
    assert [len(layer.blobs) for layer in net.to_proto().layer] == [0, 1, 1]
    net.save(tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5") as file:
        assert [len(file["data"][name]) for name in ("a", "b")] == [1, 0]


@pytest.mark.parametrize("name", FORMATS)
def test_layer_names_may_have_slashes(tmp_path, name):
    text = INPUT + times("conv/1", top="a") + times("conv/2", "a", "b")
    net = make_net(text)
    net.params["conv/2"][0].set_data(5)
    net.save(tmp_path / name)
    other = make_net(text, weights=tmp_path / name)
    np.testing.assert_array_equal(other.params["conv/2"][0].const_data, 5)


def test_names_that_hdf5_cannot_hold_side_by_side_are_refused(tmp_path):
    net = make_net(INPUT + times("a") + times("a/0", "a", "b"))
    with pytest.raises(WeightsError, match="rename the layer, or use snapshot_format: BINARYPROTO"):
        net.save(tmp_path / "w.h5")
    assert not list(tmp_path.iterdir())


def test_layers_that_only_one_side_has_are_told(tmp_path, caplog):
    caplog.set_level(logging.INFO, "sscaffe")
    net = make_net(TWO)
    caplog.clear()
    path = saved(tmp_path / "w", a=[[1, 2, 3]], ghost=[[1]], relu=[])
    net.copy_from(path)
    assert caplog.messages == [
        "Ignoring source layer ghost",
        f"{path} has no weights for layer b, which keeps its own",
    ]
    assert caplog.records[1].levelname == "WARNING"
    np.testing.assert_array_equal(net.params["b"][0].const_data, 1)


def test_layers_that_only_an_hdf5_file_has_are_told(tmp_path, two, caplog):
    two.save(tmp_path / "w.h5")
    net = make_net(INPUT + times("b"))
    caplog.set_level(logging.INFO, "sscaffe")
    caplog.clear()
    net.copy_from(tmp_path / "w.h5")
    assert caplog.messages == ["Ignoring source layer a"]


@pytest.mark.parametrize("form", ["V1", "V0"])
def test_caffemodels_of_2013_and_2014_are_read_by_name(tmp_path, form):
    model = caffe_pb2.NetParameter()
    layer = model.layers.add()
    target = layer.layer if form == "V0" else layer
    target.name = "a"
    blob = target.blobs.add(num=1, channels=1, height=1, width=3)
    blob.data.extend([7, 8, 9])
    write_binary(tmp_path / "w", model)
    net = make_net(INPUT + times("a"), weights=tmp_path / "w")
    np.testing.assert_array_equal(net.params["a"][0].const_data, [7, 8, 9])


def test_a_legacy_shape_must_fit_from_the_end(tmp_path):
    model = caffe_pb2.NetParameter()
    blob = model.layer.add(name="a").blobs.add(num=3, channels=1, height=1, width=1)
    blob.data.extend([7, 8, 9])
    write_binary(tmp_path / "w", model)
    with pytest.raises(WeightsError, match=r"expected shape \(3,\), got \(3, 1, 1, 1\) for blob 0"):
        make_net(INPUT + times("a"), weights=tmp_path / "w")


@pytest.mark.parametrize(
    ("blobs", "message"),
    [
        (
            {"a": [[1, 2, 3]], "b": [[[1, 2, 3]]]},
            r"blobs: expected shape \(3,\), got \(1, 3\) for blob 0 of layer 'b' in .*w; rename",
        ),
        (
            {"a": [[1, 2, 3]], "b": [[1, 2, 3], [1]]},
            "blobs: expected 1 for layer 'b', got 2 in .*w; rename the layer",
        ),
        ({"a": [[1, 2, 3]], "b": []}, "blobs: expected 1 for layer 'b', got 0"),
        (
            {"a": [[1, 2, 3]], "b": [[1, np.nan, 3]]},
            "expected finite values, got NaN or infinity in blob 0 of layer 'b'",
        ),
        (
            {"a": [[1, 2, 3]], "b": [[1, np.inf, 3]]},
            "expected finite values, got NaN or infinity in blob 0 of layer 'b'",
        ),
        (
            {"ghost": [[1, 2, 3]]},
            "w: expected weights for layers such as 'a', got none for any layer",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused_and_nothing_is_changed(tmp_path, blobs, message):
    net = make_net(TWO)
    with pytest.raises(WeightsError, match=message):
        net.copy_from(saved(tmp_path / "w", **blobs))
    np.testing.assert_array_equal(net.params["a"][0].const_data, 1)
    assert net.weights_generation == 0


def test_a_blob_that_contradicts_itself_is_named(tmp_path):
    model = caffe_pb2.NetParameter()
    model.layer.add(name="a").blobs.add().shape.dim.append(3)
    write_binary(tmp_path / "w", model)
    with pytest.raises(WeightsError, match=r"data: expected 3 values") as caught:
        make_net(INPUT + times("a"), weights=tmp_path / "w")
    assert caught.value.__notes__ == [f"  in:     blob 0 of layer 'a' in {tmp_path / 'w'}"]


def hdf5_file(path, fill):
    with h5py.File(path, "w") as file:
        fill(file)
    return path


def put(name, values):
    return lambda file: file.create_dataset(name, data=values)


def link(file):
    other = file.filename + ".other"
    with h5py.File(other, "w") as outside:
        outside.create_dataset("secret", data=[1.0, 2, 3])
    file.create_group("data/a")["0"] = h5py.ExternalLink(other, "/secret")


def soft_link(file):
    file.create_dataset("elsewhere", data=[1.0, 2, 3])
    file.create_group("data/a")["0"] = h5py.SoftLink("/elsewhere")


def external_storage(file):
    raw = file.filename + ".raw"
    np.zeros(3, np.float32).tofile(raw)
    file.create_dataset("data/a/0", (3,), np.float32, external=[(raw, 0, 12)])


@pytest.mark.parametrize(
    ("fill", "message"),
    [
        (put("other", [1.0]), "expected weights in a group named data"),
        (put("data", [1.0]), "expected weights in a group named data"),
        (put("data/a/0", [[1.0, 2, 3]]), r"a/0: expected shape \(3,\), got \(1, 3\)"),
        (put("data/a/0", ["x", "y", "z"]), "a/0: expected numbers, got object"),
        (put("data/a/0/0", [1.0]), "a/0: expected a dataset in the HDF5 file, got a group"),
        (put("data/a", [1.0]), "blobs: expected 1 for layer 'a', got 0"),
        (put("data/a/1", [1.0, 2, 3]), "blobs: expected 1 for layer 'a', got 1"),
        (put("data/b/0", [1.0, 2, 3]), "w.h5: expected weights for layers such as 'a', got none"),
        (link, "expected values in the HDF5 file itself, got a link"),
        (soft_link, "expected values in the HDF5 file itself, got a link"),
        (external_storage, "expected values in the HDF5 file itself, got another file's"),
    ],
)
def test_hdf5_weights_that_do_not_fit_are_refused(tmp_path, fill, message):
    path = hdf5_file(tmp_path / "w.h5", fill)
    with pytest.raises(WeightsError, match=message):
        make_net(INPUT + times("a"), weights=path)


def test_an_hdf5_file_that_declares_too_much_is_refused_before_it_is_read(tmp_path):
    path = hdf5_file(
        tmp_path / "w.h5",
        lambda file: file.create_dataset("data/a/0", (2**40,), np.float32, chunks=(2**10,)),
    )
    with pytest.raises(WeightsError, match=r"a/0: expected shape \(3,\), got \(1099511627776,\)"):
        make_net(INPUT + times("a"), weights=path)


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_cut_short_anywhere_never_crashes_and_never_loads_in_silence(tmp_path, two, name):
    two.save(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    net = make_net(TWO)
    loaded = 0
    for size in range(0, len(content), 1 if len(content) < 1000 else 37):
        (tmp_path / name).write_bytes(content[:size])
        try:
            net.copy_from(tmp_path / name)
        except WeightsError:
            continue
        loaded += 1
    assert loaded == 0


def test_a_caffemodel_is_a_net_too(tmp_path, two):
    two.save(tmp_path / "w")
    net = Net(read_binary(tmp_path / "w", caffe_pb2.NetParameter), TRAIN)
    np.testing.assert_array_equal(net.params["b"][0].const_data, [4, 0, 6])
    assert [len(layer.blobs) for layer in net.to_proto().layer] == [0, 1, 1]
    assert not any(layer.blobs for layer in net.param.layer)


def test_a_caffemodel_that_does_not_fit_itself_is_no_net(tmp_path, two):
    model = two.to_proto()
    model.layer[2].blobs.add()
    with pytest.raises(WeightsError, match="blobs: expected 1 for layer 'b', got 2 in the net"):
        Net(model, TRAIN)


def test_of_two_layers_of_one_name_the_one_with_weights_is_read(tmp_path):
    model = caffe_pb2.NetParameter()
    model.layer.add(name="a").blobs.add().CopyFrom(array_to_blobproto(np.array([7, 8, 9])))
    model.layer.add(name="a", type="ReLU")
    write_binary(tmp_path / "w", model)
    net = make_net(INPUT + times("a"), weights=tmp_path / "w")
    np.testing.assert_array_equal(net.params["a"][0].const_data, [7, 8, 9])


def test_a_missing_file_is_refused(two):
    with pytest.raises(WeightsError, match=r"none\.caffemodel: cannot be read: no such file"):
        two.copy_from("none.caffemodel")


@pytest.mark.parametrize("name", FORMATS)
def test_a_folder_that_is_missing_is_refused(tmp_path, two, name):
    with pytest.raises(SscaffeError):
        two.save(tmp_path / "missing" / name)


def test_a_net_without_weights_takes_any_caffemodel(tmp_path):
    net = make_net(INPUT)
    net.copy_from(saved(tmp_path / "w", a=[[1]]))
    assert net.weights_generation == 1


def test_nets_share_weights(two):
    other = make_net(INPUT + times("b") + times("c", "b"))
    other.share_with(two)
    two.params["b"][0].data[1] = 9
    np.testing.assert_array_equal(other.params["b"][0].const_data, [4, 9, 6])
    np.testing.assert_array_equal(other.params["c"][0].const_data, 1)
    assert other.weights_generation == 1


def test_nets_share_nothing_if_shapes_differ(two, monkeypatch):
    other = make_net(INPUT.replace("dim: 3", "dim: 4") + times("c") + times("b", "c"))
    with pytest.raises(ShapeError, match=r"blobs: expected shapes \[\(4,\)\] for layer 'b', got"):
        other.share_with(two)
    assert other.params["b"][0].const_data[0] == 1


def test_statistics_are_saved_like_weights(tmp_path):
    text = INPUT + times("s").replace("TestTimes", "TestStatistics")
    net = make_net(text)
    assert isinstance(net.layers[1], Statistics)
    net.params["s"][0].set_data(3)
    net.save(tmp_path / "w")
    other = make_net(text, weights=tmp_path / "w")
    np.testing.assert_array_equal(other.params["s"][0].const_data, 3)


@pytest.mark.parametrize("name", FORMATS)
def test_weights_are_read_without_a_net(tmp_path, name):
    net = make_net('name: "n" ' + INPUT + times("in/a"))
    net.params["in/a"][0].set_data([1.5, -2, 3])
    net.save(tmp_path / name)
    assert read_weights(tmp_path / name, ["in/a", "b"]) == {}  # a vector is no weight matrix
    with pytest.raises(WeightsError, match="expected weights for layers of the net, got none"):
        read_weights(tmp_path / name, ["b"])


def test_weights_of_old_files_lose_the_axes_of_then(tmp_path):
    shapes = {
        "ip": (1, 1, 4, 3),
        "conv": (1, 1, 1, 3),
        "real": (1, 2, 1, 1),
        "filters": (2, 1, 3, 3),
    }
    path = saved(tmp_path / "w.caffemodel", **{n: [np.ones(s)] for n, s in shapes.items()})
    found = {name: array.shape for name, array in read_weights(path, list(shapes)).items()}
    assert found == {"ip": (4, 3), "real": (1, 2, 1, 1), "filters": (2, 1, 3, 3)}
