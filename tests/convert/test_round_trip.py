"""Nets to ONNX and back: the same outputs, for layers, for our models and for published ones."""

import os
from pathlib import Path

import pytest

from sscaffe.convert.from_onnx import read_onnx
from sscaffe.convert.to_onnx import export, write_onnx
from sscaffe.generate import files_of, resnet, squeezenet
from sscaffe.layer import TEST
from sscaffe.net import Net
from sscaffe.prototxt import format_net, parse_net
from tests.convert.onnx_runs import (
    MODELS,
    assert_close,
    need_onnx,
    net_of,
    outputs_of,
    randomize,
    run_onnx,
)
from tests.convert.test_to_onnx import CASES, distinct

DATA = Path(os.environ.get("SSCAFFE_DATA") or Path(__file__).parents[3] / "shared" / "data")

NO_WAY_BACK = {"threshold"}  # Greater and Cast


def net_from(path):
    param, weights = read_onnx(path)
    net = Net(parse_net(format_net(param)), TEST)  # as it would be written and read
    assert {layer.name for layer in weights} == set(net.params)
    for layer in weights:
        for blob, array in zip(net.params[layer.name], layer.arrays, strict=True):
            blob.set_data(array)
    return net


def there_and_back(net, path):
    """Return the outputs of the net, and those of what came back from ONNX, on the same input."""
    expected = outputs_of(net)
    write_onnx(path, net)
    back = net_from(path)
    assert back.inputs == net.inputs
    for name in net.inputs:
        back.blobs[name].set_data(net.blobs[name].const_data.copy())
    back.run_forward()
    return expected, {name: back.blobs[name].const_data for name in back.outputs}


@pytest.mark.parametrize("name", [name for name in CASES if name not in NO_WAY_BACK])
def test_layers(name, tmp_path):
    need_onnx()
    text, shape = CASES[name]
    expected, found = there_and_back(net_of(distinct(text), shape), tmp_path / "m.onnx")
    assert_close(found, expected)


def generated(model):
    (text,) = (t for name, t in files_of(model, "m").items() if name.endswith("deploy.prototxt"))
    return Net(parse_net(text), TEST)


OURS = {
    "lenet": lambda: Net(MODELS / "lenet/lenet_deploy.prototxt", TEST),
    "convnet": lambda: Net(MODELS / "convnet/convnet_deploy.prototxt", TEST),
    "mlp": lambda: Net(MODELS / "mlp/mlp_deploy.prototxt", TEST),
    "resnet20": lambda: generated(resnet(3)),
    "squeezenet": lambda: generated(squeezenet("1.1")),
}


@pytest.mark.parametrize("name", OURS)
def test_models_of_ours(name, tmp_path):
    need_onnx()
    net = randomize(OURS[name]())
    expected, found = there_and_back(net, tmp_path / "m.onnx")
    assert all(array.std() > 0 and array.max() < 0.99 for array in expected.values())
    assert_close(found, expected)
    assert_close(run_onnx(export(net).SerializeToString(), net), expected)


PUBLISHED = {
    "lenet_v1_everpeace/lenet.prototxt": "lenet_iter_10000.caffemodel",
    "cifar10_v1_everpeace/cifar10_full.prototxt": "cifar10_full_iter_70000.caffemodel",
    "cifar10_bxuan/cifar10_full.prototxt": "cifar10_full_iter_60000.caffemodel.h5",
    "squeezenet_deepcomp/SqueezeNet_deploy.prototxt": "decompressed_SqueezeNet.caffemodel",
    "mtcnn/det1.prototxt": "det1.caffemodel",
    "mtcnn/det2.prototxt": "det2.caffemodel",
    "mtcnn/det3.prototxt": "det3.caffemodel",
    "mtcnn/det4.prototxt": "det4.caffemodel",
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_models(name, tmp_path):
    need_onnx()
    path = DATA / "models" / name
    if not path.exists():
        pytest.skip(f"no models in {DATA}: SSCAFFE_DATA")
    net = Net(path, TEST, weights=path.with_name(PUBLISHED[name]))
    expected, found = there_and_back(net, tmp_path / "m.onnx")
    assert_close(found, expected)
    assert_close(run_onnx(export(net).SerializeToString(), net), expected)


@pytest.mark.parametrize("name", ["lenet", "resnet20"])
def test_what_comes_back_looks_like_what_went(name, tmp_path):
    need_onnx()
    net = randomize(OURS[name]())
    write_onnx(tmp_path / "m.onnx", net)
    param, weights = read_onnx(tmp_path / "m.onnx")
    assert [saved.name for saved in weights] == list(net.params)
    went = [layer for layer in net.param.layer if layer.type != "Split"]
    for one, other in zip(param.layer, went, strict=True):
        assert (one.name, one.type) == (other.name, other.type)
        assert list(one.top) == list(other.top)


def test_nothing_is_written_over_that_others_read(tmp_path):
    need_onnx()
    text = """
    layer { name: "a" type: "TanH" bottom: "x" top: "a" }
    layer { name: "b" type: "Reshape" bottom: "a" top: "b"
            reshape_param { shape { dim: 2 dim: -1 } } }
    layer { name: "c" type: "ReLU" bottom: "b" top: "c" }
    layer { name: "d" type: "Sigmoid" bottom: "a" top: "d" }
    layer { name: "e" type: "ReLU" bottom: "d" top: "e" }
    layer { name: "f" type: "Eltwise" bottom: "d" bottom: "e" top: "f" }
    """
    expected, found = there_and_back(net_of(text), tmp_path / "m.onnx")
    assert_close(found, expected)
    param, _ = read_onnx(tmp_path / "m.onnx")
    assert not [layer.name for layer in param.layer if set(layer.bottom) & set(layer.top)]
