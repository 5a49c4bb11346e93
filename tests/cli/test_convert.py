"""``sscaffe convert``: formats by the endings of names, and what is printed."""

import json

import numpy as np
import pytest

from sscaffe.layer import TEST
from sscaffe.net import Net
from sscaffe.proto import caffe_pb2
from sscaffe.serialized import read_binary
from sscaffe.timing.inputs import fill_inputs
from tests.cli.conftest import DEPLOY
from tests.convert.onnx_runs import need_onnx


@pytest.fixture
def sparse(tiny):
    """Save weights half of which are zero as w.caffemodel, and return the net."""
    net = Net(tiny / "deploy.prototxt", TEST)
    for blobs in net.params.values():
        data = blobs[0].data
        data[...] = np.random.default_rng(1).standard_normal(data.shape)
        data[1:] = 0
    net.save(tiny / "w.caffemodel")
    return net


def assert_same(path, net):
    other = Net("deploy.prototxt", TEST, weights=path)
    for name, blobs in net.params.items():
        for one, two in zip(blobs, other.params[name], strict=True):
            assert one.const_data.tobytes() == two.const_data.tobytes()


def test_a_packed_file_is_smaller_and_the_same(sscaffe, sparse, tiny):
    status, out, _ = sscaffe("convert w.caffemodel w.packed --json")
    assert status == 0
    report = json.loads(out)
    assert (report["from"], report["to"]) == ("caffemodel", "packed")
    conv = report["layers"][0]
    assert (conv["blob"], conv["shape"], conv["zeros"]) == ("conv1/0", [4, 1, 3, 3], 27)
    assert (conv["form"], conv["bytes"]) == ("block", 4 * 9 + 1 + 2)
    assert report["bytes"]["w.packed"] == (tiny / "w.packed").stat().st_size
    assert report["bytes"]["w.packed"] < 0.7 * report["bytes"]["w.caffemodel"]
    assert_same("w.packed", sparse)
    assert sscaffe("test -model deploy.prototxt -weights w.packed -iterations 1")[0] == 0


def test_the_table(sscaffe, sparse):
    _, out, _ = sscaffe("convert w.caffemodel w.packed")
    lines = [line.split() for line in out.splitlines()]
    assert ["conv1/0", "4", "x", "1", "x", "3", "x", "3", "75", "block", "39"] in lines
    assert out.splitlines()[-1].startswith("w.packed: ")


@pytest.mark.parametrize("ending", ["npz", "safetensors", "h5", "packed", "caffemodel"])
def test_there_and_back(sscaffe, sparse, ending):
    if ending == "safetensors":
        pytest.importorskip("safetensors", reason="the extra convert is not installed")
    assert sscaffe(f"convert w.caffemodel other.{ending}")[0] == 0
    assert sscaffe(f"convert other.{ending} back.caffemodel --net deploy.prototxt")[0] == 0
    assert_same("back.caffemodel", sparse)
    model = read_binary("back.caffemodel", caffe_pb2.NetParameter)
    assert [(layer.name, layer.type) for layer in model.layer] == [
        ("conv1", "Convolution"),
        ("ip1", "InnerProduct"),
    ]


def test_formats_that_names_do_not_tell(sscaffe, sparse):
    status, _, err = sscaffe("convert w.caffemodel w.bin")
    assert status == 1
    assert "w.bin: expected a name that ends in .caffemodel.h5, .h5" in err
    assert sscaffe("convert w.caffemodel w.bin --to packed")[0] == 0
    assert sscaffe("convert --from=packed w.bin w.npz")[0] == 0


def test_onnx(sscaffe, sparse, tiny):
    need_onnx()
    status, out, _ = sscaffe("convert w.caffemodel w.onnx --net deploy.prototxt --json")
    assert status == 0
    assert json.loads(out)["written"] == ["w.onnx"]
    status, out, _ = sscaffe("convert w.onnx back.packed --json")
    assert status == 0
    assert json.loads(out)["written"] == ["back.packed", "back.prototxt"]
    net = Net("back.prototxt", TEST, weights="back.packed")
    for each in (sparse, net):
        fill_inputs(each)
        each.run_forward()
    (one,), (two,) = sparse.outputs, net.outputs
    np.testing.assert_allclose(
        net.blobs[two].const_data, sparse.blobs[one].const_data, rtol=0, atol=1e-6
    )


def test_onnx_of_a_net_whose_database_is_not_here(sscaffe, sparse, tiny):
    need_onnx()
    text = (tiny / "net.prototxt").read_text().replace("digits_lmdb", "none")
    (tiny / "n.prototxt").write_text(text)
    status, _, err = sscaffe("convert w.caffemodel w.onnx --net n.prototxt --shape 1,6,6")
    assert status == 1
    assert "which is not exported to ONNX; give a net for deployment" in err
    assert not (tiny / "w.onnx").exists()


def test_skimcaffe(sscaffe, tiny):
    text = DEPLOY.replace("kernel_size: 3", "kernel_size: 3 conv_mode: 2")
    (tiny / "skim.prototxt").write_text(text)
    status, out, _ = sscaffe("convert --from skimcaffe skim.prototxt out.prototxt --json")
    assert (status, json.loads(out)["changed"]) == (0, 1)
    expected = text.replace("conv_mode: 2", "conv_mode: DIRECT_SCONV")
    assert (tiny / "out.prototxt").read_text() == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("convert w.caffemodel deploy.prototxt", "deploy.prototxt: is there already"),
        ("convert w.caffemodel w.caffemodel --force", "is the input itself"),
        ("convert none.caffemodel w.npz", "none.caffemodel: cannot be read: no such file"),
        ("convert w.caffemodel w.npz --from npz", "w.caffemodel: cannot be read as npz"),
        ("convert w.caffemodel w.npz --from packed", "expected a packed weights file"),
        ("convert w.caffemodel n.prototxt", "expected weights"),
        ("convert w.caffemodel w.onnx", "--net: expected the net of the weights"),
        ("convert --from skimcaffe net.prototxt none/out.prototxt", "there is no folder none"),
    ],
)
def test_what_is_refused(sscaffe, sparse, words, message):
    status, out, err = sscaffe(words)
    assert (status, out) == (1, "")
    assert message in err


def test_help(sscaffe):
    status, out, _ = sscaffe("convert --help")
    assert status == 0
    assert "Example: sscaffe convert ssl.caffemodel ssl.packed" in out
    assert ".packed                weights without their zeros" in out
