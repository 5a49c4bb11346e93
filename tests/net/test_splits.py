"""Split layers, and the graphs that are refused."""

import numpy as np
import pytest

from sscaffe.errors import PrototxtError
from sscaffe.net.splits import insert_splits
from sscaffe.proto import caffe_pb2
from sscaffe.prototxt import parse_net
from tests.net.layers import feed, input_layer, make_net


def layer(name, bottoms="", tops=None, more=""):
    names = " ".join(f'bottom: "{b}"' for b in bottoms.split())
    names += " ".join(f' top: "{t}"' for t in (name if tops is None else tops).split())
    return f'layer {{ name: "{name}" type: "T" {names} {more} }} '


def sharing(name, bottom, kind="Flatten", more=""):
    """Write a layer whose tops are the array of its bottom."""
    return layer(name, bottom, f"{name} {more}").replace('"T"', f'"{kind}"')


def split(*layers):
    return insert_splits(parse_net("".join(layers)))


def refusal(*layers):
    with pytest.raises(PrototxtError) as caught:
        split(*layers)
    return str(caught.value)


def test_a_blob_with_one_reader_gets_no_split():
    net = split(layer("x"), layer("a", "x"), layer("b", "a"))
    assert [one.name for one in net.layer] == ["x", "a", "b"]


def test_names_of_a_split_are_those_of_caffe():
    net = split(layer("data", "", "image label"), layer("a", "label"), layer("b", "image label"))
    added = net.layer[1]
    assert (added.name, added.type) == ("label_data_1_split", "Split")
    assert list(added.bottom) == ["label"]
    assert list(added.top) == ["label_data_1_split_0", "label_data_1_split_1"]
    assert list(net.layer[2].bottom) == ["label_data_1_split_0"]
    assert list(net.layer[3].bottom) == ["image", "label_data_1_split_1"]


def test_a_blob_changed_in_place_is_split_after_the_change():
    net = split(layer("x"), layer("relu", "x", "x"), layer("a", "x"), layer("b", "x"))
    assert [one.name for one in net.layer] == ["x", "relu", "x_relu_0_split", "a", "b"]


def test_a_layer_may_read_a_blob_twice():
    net = split(layer("x"), layer("sum", "x x"))
    assert list(net.layer[2].bottom) == ["x_x_0_split_0", "x_x_0_split_1"]


def test_a_loss_weight_is_the_first_reader_and_moves_to_the_split():
    net = split(
        layer("x", "", "x y", "loss_weight: 2 loss_weight: 3"), layer("a", "x"), layer("b", "x")
    )
    assert list(net.layer[0].loss_weight) == [0, 3]
    assert list(net.layer[1].loss_weight) == [2, 0, 0]
    assert list(net.layer[2].bottom) == ["x_x_0_split_1"]
    assert len(net.layer) == 4


def test_splitting_again_changes_nothing():
    once = split(layer("x"), layer("a", "x"), layer("b", "x"))
    assert insert_splits(once) == once


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([layer("a", "data")], "bottom: layer 'a' reads 'data', but no layer makes it"),
        (
            [layer("conv1"), layer("a", "conv11")],
            "bottom: layer 'a' reads 'conv11', but no layer makes it; did you mean 'conv1'?",
        ),
        (
            [layer("x"), layer("a", "b"), layer("b", "x")],
            "bottom: 'b' of layer 'a' is produced later by layer 'b'; move 'b' before 'a'",
        ),
        (
            [layer("x"), layer("a", "x c"), layer("b", "a"), layer("c", "b")],
            "bottom: 'c' of layer 'a' is made by layer 'c', which itself needs layer 'a'; "
            "a net has no cycles",
        ),
        ([layer("a", "a")], "bottom: 'a' is made by layer 'a' itself; a net has no cycles"),
        (
            [layer("x"), layer("a", "x", "y"), layer("b", "x", "y")],
            "top: 'y' is made by layer 'a' and by layer 'b'; rename one of them",
        ),
        (
            [layer("a", "", "y y")],
            "top: layer 'a' names 'y' twice; give each top a name of its own",
        ),
        (
            [layer("a"), layer("b"), layer("c", "a b", "b")],
            "top: 'b' is made by layer 'b' and by layer 'c'; to compute in place, name it at the "
            "same place among bottoms and tops",
        ),
        (
            [layer("x"), layer("a", "x"), layer("relu", "x", "x")],
            "top: layer 'relu' changes 'x' in place, but layer 'a' needs it unchanged; "
            "give 'relu' a top of its own",
        ),
        (
            [layer("x"), layer("sum", "x x", "x")],
            "top: layer 'sum' changes 'x' in place, but layer 'sum' needs it unchanged; "
            "give 'sum' a top of its own",
        ),
        (
            [layer("x", more="loss_weight: 1"), layer("relu", "x", "x")],
            "top: layer 'relu' changes 'x' in place, but the loss_weight of layer 'x' needs it "
            "unchanged; give 'relu' a top of its own",
        ),
    ],
)
def test_what_cannot_be_joined_is_refused(layers, message):
    assert refusal(*layers) == message


RELU = layer("relu", "f", "f")


@pytest.mark.parametrize(
    ("layers", "other"),
    [
        ([layer("x"), sharing("f", "x"), layer("pool", "x"), RELU], "layer 'pool' needs 'x'"),
        ([layer("x"), layer("pool", "x"), sharing("f", "x"), RELU], "layer 'pool' needs 'x'"),
        (
            [layer("x"), sharing("g", "x"), sharing("f", "g", "Reshape"), layer("p", "x"), RELU],
            "layer 'p' needs 'x'",
        ),
        ([layer("x"), sharing("f", "x"), sharing("g", "x"), RELU], "layer 'g' needs 'x'"),
        (
            [layer("x"), sharing("f", "x", "Split", "g"), layer("p", "g"), RELU],
            "layer 'p' needs 'g'",
        ),
        (
            [layer("x", more="loss_weight: 1"), sharing("f", "x"), RELU],
            "the loss_weight of layer 'x' needs 'x'",
        ),
        (
            [sharing("f", "", "Parameter"), RELU],
            "layer 'f' needs its weights",
        ),
    ],
)
def test_an_array_that_another_layer_reads_is_not_changed_by_another_name(layers, other):
    assert refusal(*layers) == (
        f"top: layer 'relu' changes 'f' in place, but {other}, the same array, unchanged; "
        "give 'relu' a top of its own"
    )


@pytest.mark.parametrize(
    "layers",
    [
        [layer("x"), sharing("f", "x"), RELU, layer("p", "f"), layer("q", "f")],
        [layer("x"), layer("first", "x", "x"), sharing("f", "x"), RELU],
        [layer("x"), layer("f", "x"), layer("pool", "x"), RELU],
        [layer("x"), sharing("f", "x", "Split", "g"), RELU],
    ],
)
def test_an_array_that_nobody_else_reads_may_be_changed(layers):
    split(*layers)


def test_a_flattened_blob_is_not_changed_for_its_other_reader():
    """The net that the rule is for: without it, `pooled` would see rectified values."""
    text = input_layer("x", 1, 1, 2, 2) + (
        'layer { name: "flat" type: "Flatten" bottom: "x" top: "flat" } '
        'layer { name: "relu" type: "ReLU" bottom: "flat" top: "%s" } '
        'layer { name: "pooled" type: "Pooling" bottom: "x" top: "pooled" '
        "pooling_param { pool: AVE global_pooling: true } } "
    )
    with pytest.raises(PrototxtError, match="layer 'pooled' needs 'x', the same array"):
        make_net(text % "flat")
    net = make_net(text % "rectified")
    feed(net, np.full((1, 1, 2, 2), -4.0))
    net.run_forward()
    assert net.blobs["pooled"].const_data.item() == -4
    assert not net.blobs["rectified"].const_data.any()


def test_a_blob_made_only_in_another_phase_is_explained():
    left_out = caffe_pb2.LayerParameter(name="mnist", top=["data", "label"])
    with pytest.raises(
        PrototxtError, match="'label' of layer 'acc' is made by layer 'mnist', which"
    ):
        insert_splits(parse_net(layer("acc", "label")), [left_out])
