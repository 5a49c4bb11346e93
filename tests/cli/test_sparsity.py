"""sscaffe sparsity, summary, explain and diff: figures counted by hand, and what they refuse."""

import json
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from sscaffe.layer import TEST
from sscaffe.net import Net
from sscaffe.weight_picture import png, weight_picture
from tests.cli.test_bad_input import refused

GROUPED = """
name: "grouped"
layer { name: "data" type: "Input" top: "data"
        input_param { shape { dim: 2 dim: 4 dim: 5 dim: 5 } } }
layer {
  name: "conv" type: "Convolution" bottom: "data" top: "conv"
  connectivity_mode: DISCONNECTED_GRPWISE
  param { block_group_lasso { group: FILTER2D } block_group_lasso { ydimen: 2 xdimen: 6 } }
  convolution_param { num_output: 4 kernel_size: 3 group: 2 weight_filler { type: "xavier" } }
}
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "a/b" type: "InnerProduct" bottom: "conv" top: "ip"
        inner_product_param { num_output: 3 } }
"""


@pytest.fixture
def grouped(tmp_path, monkeypatch):
    """Make net.prototxt and w.caffemodel: a grouped convolution with known zeros."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(GROUPED)
    with Net("net.prototxt", TEST) as net:
        weights = net.params["conv"][0].data
        weights[...] = 1
        weights[0] = 0  # a row of the first conv group
        weights[2:, 0] = 0  # 9 of the 18 columns of the second
        weights[1, 0, 0, 0] = 1e-5
        net.params["a/b"][0].data[...] = 2
        net.save("w.caffemodel")
        net.save("w.caffemodel.h5")
    return tmp_path


@pytest.mark.parametrize("net", ["", "net.prototxt"])
def test_sparsity_counts_by_layer(grouped, sscaffe, net):
    status, out, err = sscaffe(f"sparsity w.caffemodel {net} --json".split())
    assert status == 0, err
    result = json.loads(out)
    conv, ip = result["layers"]
    assert (conv["layer"], conv["rows"], conv["columns"]) == ("conv", 4, 18)
    assert conv["nonzero"] == 72 - 18 - 18
    assert conv["element"] == pytest.approx(100 * 37 / 72)  # 1e-5 counts as zero
    assert (conv["row"], conv["column"]) == (25, 0)
    assert conv["groups"] == [{"row": 50, "column": 0}, {"row": 0, "column": 50}]
    assert conv["blocks"] == {"1 x 9": 50, "2 x 6": pytest.approx(100 / 6)}
    assert conv["kept"] == 50
    assert conv["structured_speedup"] == conv["ideal_speedup"] == 2
    assert conv["mode"] == "DISCONNECTED_GRPWISE"
    assert conv["frozen"] == conv["frozen_grpwise"] == conv["frozen_eltwise"] == 50
    assert (ip["layer"], ip["element"], ip["frozen"], ip["groups"]) == ("a/b", 0, 0, [])
    assert (result["total"]["structured_speedup"] is None) == (not net)


def test_sparsity_reads_hdf5_and_layers_with_slashes(grouped, sscaffe):
    layers = json.loads(sscaffe("sparsity w.caffemodel.h5 --json")[1])["layers"]
    assert {layer["layer"]: layer["nonzero"] for layer in layers} == {"conv": 36, "a/b": 108}


def test_sparsity_prints_tables(grouped, sscaffe):
    status, out, _ = sscaffe("sparsity w.caffemodel net.prototxt")
    assert status == 0
    for text in ("conv group 1", "blocks of 1 x 9", "all layers", "4 x 18"):
        assert text in out


def test_frozen_differs_by_mode(grouped, sscaffe):
    with Net("net.prototxt", TEST, weights="w.caffemodel") as net:
        net.params["conv"][0].data[1, 1] = 0  # 9 scattered zeros, in no row or column of zeros
        net.params["conv"][0].data[1, 0, 0, 0] = 0
        net.params["conv"][0].data[0, :, 0, 0] = 3
        net.save("x.caffemodel")
    conv = json.loads(sscaffe("sparsity x.caffemodel --json")[1])["layers"][0]
    zeros = 16 + 18 + 9 + 1
    assert conv["frozen_eltwise"] == pytest.approx(100 * zeros / 72)
    # Of the first group, columns (1, not 0 0) are zero in both rows: 8 of 18, that is 16 weights.
    assert conv["frozen_grpwise"] == pytest.approx(100 * (16 + 18) / 72)
    assert conv["frozen"] == conv["frozen_grpwise"]


def test_sparsity_draws_each_matrix(grouped, sscaffe):
    status, out, err = sscaffe("sparsity w.caffemodel --plot pictures --json")
    assert status == 0, err
    assert json.loads(out)["pictures"] == ["pictures/conv.png", "pictures/a_b.png"]
    pixels = np.asarray(Image.open("pictures/conv.png"))
    height = len(pixels) // 4
    zero = pixels[0, 0]
    assert (pixels[:height] == zero).all()
    assert not (pixels[height : 2 * height] == zero).all(axis=2).any()
    assert (pixels[2 * height :, : pixels.shape[1] // 2] == zero).all()
    refused(
        sscaffe("sparsity w.caffemodel --plot pictures"), "sparsity", "pictures/conv.png: is there"
    )


def test_a_picture_of_a_large_matrix_shows_single_weights():
    matrix = np.zeros((3000, 9001))
    matrix[1234, 5678] = -1
    pixels = np.asarray(Image.open(BytesIO(weight_picture(matrix))))
    assert pixels.shape[0] <= 480
    assert pixels.shape[1] <= 1200
    assert (pixels != pixels[0, 0]).any(axis=2).sum() == 1


def test_pictures_are_right_to_the_pixel():
    pixels = np.random.default_rng(3).integers(0, 256, (7, 5, 3), dtype=np.uint8)
    np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(png(pixels)))), pixels)


def test_summary_counts_what_a_net_costs(grouped, sscaffe):
    status, out, err = sscaffe("summary net.prototxt w.caffemodel --json")
    assert status == 0, err
    result = json.loads(out)
    layers = {layer["name"]: layer for layer in result["layers"]}
    conv = layers["conv"]
    assert conv["tops"] == {"conv": [2, 4, 3, 3]}
    assert (conv["params"], conv["kept_params"], conv["nonzero_params"]) == (76, 40, 36)
    assert (conv["macs"], conv["kept_macs"], conv["nonzero_macs"]) == (1296, 648, 648)
    assert (conv["kept_rows"], conv["kept_columns"]) == (3, 18)
    assert (conv["activations"], conv["weights"]) == (4 * 72, 4 * 76)
    assert layers["relu"]["activations"] == 0  # in place
    assert layers["a/b"]["macs"] == 2 * 3 * 36
    assert result["total"]["params"] == 76 + 111
    assert result["total"]["activations"] == 4 * (200 + 72 + 6)


def test_summary_counts_shared_weights_once(tmp_path, sscaffe):
    layer = 'layer { name: "%s" type: "InnerProduct" bottom: "data" top: "%s" '
    layer += 'param { name: "w" } inner_product_param { num_output: 4 bias_term: false } }'
    text = GROUPED[: GROUPED.index("layer {\n")] + layer % ("a", "a") + layer % ("b", "b")
    (tmp_path / "net.prototxt").write_text(text)
    result = json.loads(sscaffe(f"summary {tmp_path}/net.prototxt --json")[1])
    a, b = result["layers"][-2:]
    assert (a["params"], b["params"], b["shares"]) == (400, 0, "a")
    assert (a["macs"], b["macs"]) == (800, 800)
    assert result["total"]["weights"] == 1600
    assert "as a" in sscaffe(f"summary {tmp_path}/net.prototxt")[1]


def test_summary_needs_no_data(tiny, sscaffe):
    (tiny / "net.prototxt").write_text(
        (tiny / "net.prototxt").read_text().replace("digits_lmdb", "nosuch_lmdb")
    )
    assert sscaffe("summary net.prototxt")[0] == 1
    status, out, err = sscaffe("summary net.prototxt --shape 1,6,6 --phase train")
    assert status == 0, err
    assert "8 x 4 x 4 x 4" in out


def test_explain_names_groups_counts_and_sizes(grouped, sscaffe):
    conv, ip = json.loads(sscaffe("explain net.prototxt --json")[1])["layers"]
    assert (conv["rows"], conv["columns"], conv["conv_groups"], conv["kernel_count"]) == (
        4,
        18,
        2,
        9,
    )
    assert conv["ydimens"] == [1, 2, 4]
    assert conv["xdimens"] == [1, 2, 3, 6, 9, 18]
    filter2d, block = conv["groups"]
    assert (filter2d["kind"], filter2d["count"], filter2d["note"]) == ("filter2d", 8, "")
    assert (block["count"], block["note"]) == (6, "not a channel: that is xdimen 9")
    assert ip["groups"] == []
    out = sscaffe("explain net.prototxt")[1]
    assert "1 2 3 6 9 18" in out


def test_explain_says_where_there_are_no_groups(tiny, sscaffe):
    assert "no layer has groups" in sscaffe("explain deploy.prototxt")[1]


def test_diff_of_weights(grouped, sscaffe):
    with Net("net.prototxt", TEST, weights="w.caffemodel") as net:
        net.params["conv"][0].data[3, 1] += 0.5
        net.params["conv"][0].data[0] = 2
        net.save("x.caffemodel")
    assert sscaffe("diff w.caffemodel w.caffemodel.h5")[1] == "A and B are the same\n"
    result = json.loads(sscaffe("diff w.caffemodel x.caffemodel --json")[1])
    conv = result["blobs"][0]
    assert not result["same"]
    assert (conv["max_diff"], conv["mean_diff"]) == (2, (18 * 2 + 9 * 0.5) / 72)
    assert conv["zero_a"] - conv["zero_b"] == pytest.approx(25)
    assert "-25.0" in sscaffe("diff w.caffemodel x.caffemodel")[1]


def test_diff_tells_shapes_and_what_only_one_has(grouped, sscaffe):
    text = GROUPED.replace("num_output: 3", "num_output: 5").replace('name: "conv"', 'name: "c"')
    (grouped / "y.prototxt").write_text(text)
    with Net("y.prototxt", TEST) as net:
        net.save("y.caffemodel")
    out = sscaffe("diff w.caffemodel y.caffemodel")[1]
    for words in ("4x2x3x3, only in A", "4x2x3x3, only in B", "3x36 -> 5x36"):
        assert words in out
    fields = json.loads(sscaffe("diff net.prototxt y.prototxt --json")[1])["fields"]
    found = {(f["layer"], f["field"], f["a"], f["b"]) for f in fields}
    assert found == {
        ("conv", "layer", "Convolution", None),
        ("c", "layer", None, "Convolution"),
        ("a/b", "inner_product_param.num_output", "3", "5"),
    }
    assert "num_output" in sscaffe("diff net.prototxt y.prototxt")[1]


@pytest.mark.parametrize(
    ("words", "pattern"),
    [
        ("sparsity nosuch.caffemodel", "nosuch.caffemodel: cannot be read"),
        ("sparsity net.prototxt", "net.prototxt: expected a caffemodel"),
        ("sparsity w.caffemodel nosuch.prototxt", "nosuch.prototxt: cannot be read"),
        ("sparsity w.caffemodel --threshold -1", "threshold: expected a number of 0 or more"),
        ("sparsity w.caffemodel --plot net.prototxt", "plot: net.prototxt cannot be made"),
        ("summary nosuch.prototxt", "nosuch.prototxt: cannot be read"),
        ("summary net.prototxt net.prototxt", "net.prototxt: expected a caffemodel"),
        ("summary net.prototxt --shape 1,2", "--shape: expected channels,height,width, got '1,2'"),
        ("explain nosuch.prototxt", "nosuch.prototxt: cannot be read"),
        ("explain relu.prototxt", "relu.prototxt: expected layers with a weight matrix, got none"),
        ("explain bad.prototxt", "ydimen: 3 does not divide the 4 rows"),
        ("diff w.caffemodel nosuch.prototxt", "nosuch.prototxt: cannot be read"),
        ("diff w.caffemodel nosuch.caffemodel", "nosuch.caffemodel: cannot be read"),
        ("diff w.caffemodel net.prototxt", "net.prototxt: expected the same kind as w.caffemodel"),
    ],
)
def test_refuses(grouped, sscaffe, words, pattern):
    (grouped / "bad.prototxt").write_text(GROUPED.replace("ydimen: 2", "ydimen: 3"))
    (grouped / "relu.prototxt").write_text(GROUPED[: GROUPED.index("layer {\n")])
    refused(sscaffe(words), words.split()[0], pattern)


def test_one_factor_for_all(tmp_path, monkeypatch, sscaffe):
    """Scale with num_axes: 0 has a blob without axes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(
        """
        layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 2 } } }
        layer { name: "scale" type: "Scale" bottom: "data" top: "y"
                scale_param { num_axes: 0 filler { value: 0 } } }
        """
    )
    with Net("net.prototxt", TEST) as net:
        net.save("w.caffemodel")
    status, out, err = sscaffe("sparsity w.caffemodel --json")
    assert status == 0, err
    (scale,) = json.loads(out)["layers"]
    assert (scale["layer"], scale["rows"], scale["element"]) == ("scale", 1, 100)
