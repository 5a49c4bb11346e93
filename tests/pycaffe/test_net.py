"""Net as pycaffe's scripts use it."""

import gc
import resource

import numpy as np
import pytest

from sscaffe import SscaffeError, UnsupportedError
from sscaffe.proto import caffe_pb2
from tests.pycaffe.nets import DEPLOY, SMALL


@pytest.fixture
def path(tmp_path):
    (tmp_path / "net.prototxt").write_text(SMALL)
    return str(tmp_path / "net.prototxt")


@pytest.fixture
def net(caffe, path):
    return caffe.Net(path, caffe.TRAIN)


@pytest.fixture
def deploy(caffe, tmp_path):
    (tmp_path / "deploy.prototxt").write_text(DEPLOY)
    return caffe.Net(str(tmp_path / "deploy.prototxt"), caffe.TEST)


def test_arrays_outlive_the_net(net):
    arrays = [array for blob in net.blobs.values() for array in (blob.data, blob.diff)]
    arrays += [blob.data for blobs in net.params.values() for blob in blobs]
    net.forward()
    sums = [float(array.sum()) for array in arrays]
    blobs = list(net.blobs.values())
    net.close()
    del net
    gc.collect()
    assert [float(array.sum()) for array in arrays] == sums
    assert all(np.isfinite(blob.data).all() for blob in blobs)


def test_nets_that_come_and_go_leave_no_memory(caffe, path):
    def grow(count):
        for _ in range(count):
            caffe.Net(path, caffe.TRAIN).forward()
        gc.collect()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    before = grow(20)
    assert grow(200) < 1.02 * before


def test_layers_by_name(net):
    assert list(net.layer_dict) == ["images", "conv", "score", "loss"]
    assert net.layer_dict["conv"].type == "Convolution"
    assert net.layers[1] is net.layer_dict["conv"]
    assert len(net.layers[2].blobs) == 2
    assert list(net._layer_names) == list(net.layer_dict)


def test_names(net, deploy):
    assert net.inputs == []
    assert net.outputs == ["loss"]
    assert net.bottom_names["loss"] == ["scores", "label"]
    assert net.top_names["images"] == ["images", "label"]
    assert net.top_names["score"] == ["scores"]
    assert deploy.inputs == ["images"]
    assert [deploy._blob_names[i] for i in deploy._outputs] == ["prob"]
    assert [deploy._blob_names[i] for i in deploy._inputs] == ["images"]
    assert net.blob_loss_weights["loss"] == 1
    assert [net._blob_names[i] for i in net._bottom_ids(2)] == ["conv"]
    assert [net._blob_names[i] for i in net._top_ids(2)] == ["scores"]
    assert len(net._blobs) == len(net.blobs)


def test_forward_returns_outputs_as_live_arrays(net):
    outputs = net.forward()
    assert list(outputs) == ["loss"]
    first = float(outputs["loss"])
    assert set(net.forward(blobs=["conv"])) == {"loss", "conv"}
    assert float(outputs["loss"]) == float(net.blobs["loss"].data) != first


def test_inputs_by_name(deploy, rng):
    x = rng.standard_normal((4, 3, 5, 6))
    prob = deploy.forward(images=x)["prob"]
    np.testing.assert_allclose(prob.sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(deploy.blobs["images"].data, x.astype(np.float32))


def test_an_input_is_spread_as_numpy_does(caffe, tmp_path, rng):
    text = DEPLOY.replace("dim: 4 dim: 3 dim: 5", "dim: 1 dim: 1 dim: 5")
    (tmp_path / "one.prototxt").write_text(text)
    net = caffe.Net(str(tmp_path / "one.prototxt"), caffe.TEST)
    x = rng.standard_normal((1, 5, 6)).astype(np.float32)
    net.forward(images=x)
    np.testing.assert_array_equal(net.blobs["images"].data, x[None])


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"pictures": np.zeros((4, 3, 5, 6))}, "Input blob arguments do not match net inputs."),
        ({"images": np.zeros((3, 3, 5, 6))}, "Input is not batch sized"),
        ({"images": np.zeros((4, 3, 6, 5))}, r"\(4, 3, 5, 6\)"),
    ],
)
def test_inputs_that_do_not_fit(deploy, inputs, message):
    with pytest.raises(SscaffeError, match=message):
        deploy.forward(**inputs)


def test_forward_of_one_layer(net, rng):
    x = rng.standard_normal(net.blobs["conv"].shape).astype(np.float32)
    net.blobs["conv"].data[...] = x
    outputs = net.forward(start="score", end="score")
    assert list(outputs) == ["scores"]
    w, b = (blob.data for blob in net.params["score"])
    wanted = x.reshape(4, -1).astype(np.float64) @ w.T.astype(np.float64) + b
    np.testing.assert_allclose(net.blobs["scores"].data, wanted, rtol=1e-4, atol=1e-4)


def test_backward_of_one_layer(net, rng):
    net.forward()
    gradient = rng.standard_normal(net.blobs["scores"].shape).astype(np.float32)
    net.blobs["scores"].diff[...] = gradient
    diffs = net.backward(start="score", end="score")
    assert list(diffs) == ["conv"]
    wanted = (gradient @ net.params["score"][0].data).reshape(net.blobs["conv"].shape)
    np.testing.assert_allclose(net.blobs["conv"].diff, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("fused", [False, True])
def test_a_blob_in_the_middle_can_be_set(deploy, rng, fused):
    deploy.forward(images=rng.standard_normal((4, 3, 5, 6)))
    if fused:
        deploy.forward()
    x = abs(rng.standard_normal(deploy.blobs["conv"].shape)).astype(np.float32)
    deploy.blobs["conv"].data[...] = x
    prob = deploy.forward(start="score")["prob"].copy()
    w, b = (blob.data.astype(np.float64) for blob in deploy.params["score"])
    scores = x.reshape(4, -1) @ w.T + b
    wanted = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    np.testing.assert_allclose(prob, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("call", ["forward", "backward"])
@pytest.mark.parametrize("flag", ["start", "end"])
def test_a_layer_that_is_not_there(net, call, flag):
    with pytest.raises(SscaffeError, match=f"{flag}: the net has no layer 'x'; it has images, con"):
        getattr(net, call)(**{flag: "x"})


def test_a_blob_that_is_not_there(net):
    with pytest.raises(SscaffeError, match="blobs: the net has no blob 'x'"):
        net.forward(blobs=["x"])
    with pytest.raises(SscaffeError, match="diffs: the net has no blob 'x'"):
        net.backward(diffs=["x"])


def test_gradients_from_above(deploy, caffe, tmp_path, rng):
    text = DEPLOY.replace('name: "deploy"', "force_backward: true")
    (tmp_path / "back.prototxt").write_text(text)
    net = caffe.Net(str(tmp_path / "back.prototxt"), caffe.TEST)
    net.forward(images=rng.standard_normal((4, 3, 5, 6)))
    above = rng.standard_normal((4, 9)).astype(np.float32)
    diffs = net.backward(diffs=["scores"], prob=above)
    assert set(diffs) == {"images", "scores"}
    p = net.blobs["prob"].data
    wanted = p * (above - (above * p).sum(1, keepdims=True))
    np.testing.assert_allclose(diffs["scores"], wanted, atol=1e-5)
    assert abs(diffs["images"]).max() > 0
    with pytest.raises(SscaffeError, match="Top diff arguments do not match net outputs"):
        net.backward(scores=above)
    with pytest.raises(SscaffeError, match="Diff is not batch sized"):
        net.backward(prob=above[:3])


def test_param_diffs_are_cleared_in_arrays_that_are_held(net):
    net.forward()
    net.backward()
    diff = net.params["conv"][0].diff
    assert abs(diff).max() > 0
    net.clear_param_diffs()
    assert (diff == 0).all()


@pytest.mark.parametrize("count", [1, 4, 6, 8])
def test_forward_all_takes_any_number_of_images(deploy, rng, count):
    x = rng.standard_normal((count, 3, 5, 6)).astype(np.float32)
    found = deploy.forward_all(blobs=["scores"], images=x)
    assert found["prob"].shape == found["scores"].shape == (count, 9)
    for i in range(count):
        deploy.blobs["images"].data[...] = x[i]
        np.testing.assert_allclose(deploy.forward()["prob"][0], found["prob"][i], atol=1e-6)


def test_forward_backward_all(caffe, tmp_path, rng):
    (tmp_path / "b.prototxt").write_text("force_backward: true" + DEPLOY)
    net = caffe.Net(str(tmp_path / "b.prototxt"), caffe.TEST)
    x, above = rng.standard_normal((6, 3, 5, 6)), rng.standard_normal((6, 9))
    data, diffs = net.forward_backward_all(diffs=["scores"], images=x, prob=above)
    assert data["prob"].shape == diffs["scores"].shape == (6, 9)
    assert diffs["images"].shape == x.shape
    p = data["prob"]
    wanted = p * (above - (above * p).sum(1, keepdims=True))
    np.testing.assert_allclose(diffs["scores"], wanted, atol=1e-5)


def test_weights_are_read_back(caffe, net, path, tmp_path):
    net.save(str(tmp_path / "w"))
    net.save_hdf5(str(tmp_path / "w2"))
    new = caffe.Net(path, caffe.TRAIN, weights=str(tmp_path / "w"))
    with pytest.warns(DeprecationWarning, match="weights, phase"):
        old = caffe.Net(path, str(tmp_path / "w"), caffe.TRAIN)
    third = caffe.Net(network_file=path, phase=caffe.TRAIN)
    third.load_hdf5(str(tmp_path / "w2"))
    fourth = caffe.Net(path, caffe.TRAIN)
    fourth.copy_from(str(tmp_path / "w"))
    for other in (new, old, third, fourth):
        for name, blobs in net.params.items():
            for mine, theirs in zip(blobs, other.params[name], strict=True):
                np.testing.assert_array_equal(mine.data, theirs.data)


def test_weights_are_shared(caffe, net, path):
    other = caffe.Net(path, caffe.TRAIN)
    other.share_with(net)
    net.params["conv"][0].data[...] = 3
    assert (other.params["conv"][0].data == 3).all()


def test_inputs_of_another_shape(deploy, rng):
    deploy.blobs["images"].reshape(2, 3, 5, 6)
    deploy.reshape()
    assert deploy.blobs["prob"].data.shape == (2, 9)
    assert deploy.forward(images=rng.standard_normal((2, 3, 5, 6)))["prob"].shape == (2, 9)


def test_blobs_have_the_old_names_of_their_axes(deploy):
    blob = deploy.blobs["images"]
    assert (blob.num, blob.channels, blob.height, blob.width) == (4, 3, 5, 6)
    assert (deploy.blobs["prob"].num, deploy.blobs["prob"].width, blob.count) == (4, 1, 360)
    assert list(blob.shape) == [4, 3, 5, 6]
    with pytest.raises(UnsupportedError, match="blob of 5 axes"):
        _ = type(blob)((1, 1, 1, 1, 1)).num


@pytest.mark.parametrize(
    ("level", "names"), [(0, ["images", "always"]), (1, ["images", "always", "deep"])]
)
def test_levels(caffe, tmp_path, level, names):
    (tmp_path / "n.prototxt").write_text("""
layer { name: "images" type: "DummyData" top: "x" dummy_data_param { shape { dim: 1 } } }
layer { name: "always" type: "Power" bottom: "x" top: "y" }
layer { name: "deep" type: "Power" bottom: "x" top: "z" include { min_level: 1 } }""")
    net = caffe.Net(str(tmp_path / "n.prototxt"), caffe.TEST, level=level)
    assert [name for name in net.layer_dict if "split" not in name] == names


@pytest.mark.parametrize("stages", [["a"], ["b"], ["a", "b"]])
def test_stages(caffe, tmp_path, stages):
    (tmp_path / "n.prototxt").write_text("""
layer { name: "x" type: "DummyData" top: "x" dummy_data_param { shape { dim: 1 } } }
layer { name: "a" type: "Power" bottom: "x" top: "a" include { stage: "a" } }
layer { name: "b" type: "Power" bottom: "x" top: "b" include { stage: "b" } }
layer { name: "ab" type: "Power" bottom: "x" top: "ab" include { stage: "a" stage: "b" } }""")
    net = caffe.Net(str(tmp_path / "n.prototxt"), caffe.TEST, stages=stages)
    wanted = [*stages, *(["ab"] if len(stages) == 2 else [])]
    assert [n for n in net.layer_dict if n in ("a", "b", "ab")] == wanted


def test_callbacks_hear_of_each_layer(deploy, net):
    heard = []
    deploy.before_forward(lambda i: heard.append(("before", i)))
    deploy.after_forward(lambda i: heard.append(("after", i)))
    deploy.forward()
    assert heard == [(word, i) for i in range(5) for word in ("before", "after")]
    heard.clear()
    net.forward()
    net.before_backward(lambda i: heard.append(("before", i)))
    net.after_backward(lambda i: heard.append(("after", i)))
    net.backward(start="score")
    assert heard == [(word, i) for i in (2, 1, 0) for word in ("before", "after")]


def test_callbacks_see_what_a_layer_by_itself_makes(deploy, rng):
    deploy.forward(images=rng.standard_normal((4, 3, 5, 6)))
    seen = {}
    deploy.after_forward(lambda i: seen.setdefault(i, deploy.tops[i][0].data.copy()))
    deploy.forward()
    assert seen[1].min() < 0 == seen[2].min()


def test_callbacks_and_compact_exclude_each_other(deploy, caffe, tmp_path):
    deploy.after_forward(print)
    with pytest.raises(UnsupportedError, match="callbacks"):
        deploy.compact()
    other = caffe.Net(str(tmp_path / "deploy.prototxt"), caffe.TEST)
    other.compact()
    with pytest.raises(UnsupportedError, match="open the net anew"):
        other.after_forward(print)


def test_images_of_a_memory_data_layer(caffe, tmp_path):
    (tmp_path / "m.prototxt").write_text("""
layer { name: "m" type: "MemoryData" top: "x" top: "y"
  memory_data_param { batch_size: 2 channels: 1 height: 1 width: 3 } }""")
    net = caffe.Net(str(tmp_path / "m.prototxt"), caffe.TEST)
    x = np.arange(12, dtype=np.float32).reshape(4, 1, 1, 3)
    net.set_input_arrays(x, np.arange(4, dtype=np.float32))
    net.forward()
    net.forward()
    np.testing.assert_array_equal(net.blobs["x"].data, x[2:])
    np.testing.assert_array_equal(net.blobs["y"].data.reshape(-1), [2, 3])


def test_images_for_a_net_without_such_a_layer(net):
    with pytest.raises(UnsupportedError, match="expected a MemoryData layer as the net's first"):
        net.set_input_arrays(np.zeros((4, 3, 5, 6)), np.zeros(4))


def test_zeros_by_layer(net):
    net.params["conv"][0].data[:, 0] = 0
    net.params["conv"][0].data[0] = 0
    zeros = net.sparsity()
    assert list(zeros) == ["conv", "score"]
    assert zeros["conv"]["row"] == pytest.approx(100 / 7)
    assert zeros["conv"]["column"] == pytest.approx(100 / 3)
    assert zeros["score"]["element"] < 1


def test_what_a_net_says_of_itself(net, deploy):
    assert repr(net).startswith("<Net 'small' (TRAIN): 4 layers, 3,733 parameters, ")
    assert "inputs images (4, 3, 5, 6); outputs prob (4, 9)" in repr(deploy)
    net.params["conv"][0].data[:5] = 0
    net.params["score"][0].data[...] = 1  # Drawn at random, one might be all but zero.
    table = net._repr_html_()
    assert table.count("<tr>") == 5
    assert "4 &times; 7 &times; 7 &times; 8" in table
    assert "width:71%" in table
    assert "71.4 % of rows" in table
    assert "of columns" not in table  # None is zero, so there is no bar.
    assert table.count("none") == 1  # of score


def test_a_net_without_a_name(caffe):
    net = caffe.Net(caffe_pb2.NetParameter(), caffe.TEST)
    assert repr(net).startswith("<Net (TEST): 0 layers, 0 parameters")
    assert "<tbody></tbody>" in net._repr_html_()


def test_disconnect_marks_layers(net):
    net.disconnect("conv", mode="GRPWISE")
    modes = [layer.layer_param.connectivity_mode for layer in net.layers]
    wanted = caffe_pb2.LayerParameter
    assert modes[1:3] == [wanted.DISCONNECTED_GRPWISE, wanted.CONNECTED]
    net.disconnect()
    assert net.layers[2].layer_param.connectivity_mode == wanted.DISCONNECTED_ELTWISE
    with pytest.raises(SscaffeError, match="mode: expected one of CONNECTED, ELTWISE, GRPWISE"):
        net.disconnect(mode="ALL")
    with pytest.raises(SscaffeError, match="layers: the net has no layer 'x'"):
        net.disconnect("x")
