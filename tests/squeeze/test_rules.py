"""What each kind of layer lets go, and what it keeps and why."""

import numpy as np
import pytest

from sscaffe import PrototxtError, WeightsError
from sscaffe.layer import TEST, TRAIN
from sscaffe.net import Net
from sscaffe.proto import caffe_pb2
from sscaffe.prototxt import parse_net
from sscaffe.solver import Solver
from sscaffe.squeeze import squeeze
from tests.squeeze.nets import INPUT, conv, layer, shape, squeezed

FIVE = slice(0, 5)


def kill(name, which=FIVE, bias=0.0):
    """Return an edit that makes filters zero."""

    def edit(weights):
        weights[name][0][which] = 0
        weights[name][1][which] = bias

    return edit


TAIL = conv("y", "z", 4)


@pytest.mark.parametrize("bias", [0.0, 0.7])
@pytest.mark.parametrize(
    "between",
    [
        layer("ReLU", "a", "y"),
        layer("ReLU", "a", "y", "relu_param { negative_slope: 0.1 }"),
        layer("PReLU", "a", "y"),
        layer("ELU", "a", "y"),
        layer("Sigmoid", "a", "y"),
        layer("TanH", "a", "y"),
        layer("AbsVal", "a", "y"),
        layer("Power", "a", "y", "power_param { power: 2 scale: 2 shift: 1 }"),
        layer("Exp", "a", "y"),
        layer("BNLL", "a", "y"),
        layer("Dropout", "a", "y"),
        layer("BatchNorm", "a", "y"),
        layer("Scale", "a", "y", "scale_param { bias_term: true }"),
        layer("Bias", "a", "y"),
        layer("Pooling", "a", "y", "pooling_param { kernel_size: 3 stride: 2 }"),
        layer("Pooling", "a", "y", "pooling_param { pool: AVE kernel_size: 2 stride: 2 }"),
        layer("Pooling", "a", "y", "pooling_param { kernel_size: 3 stride: 1 pad: 1 }"),
        layer(
            "Convolution", "a", "y", "convolution_param { num_output: 8 group: 8 kernel_size: 3 }"
        ),
        layer("BatchNorm", "a", "b") + layer("Scale", "b", "c") + layer("ReLU", "c", "y"),
        layer("BatchNorm", "a", "a", name="bn") + layer("ReLU", "a", "y"),
    ],
)
def test_dead_filters_go_through(between, bias, rng):
    small = squeezed(INPUT + conv("x", "a") + between + TAIL, kill("a", bias=bias), rng)
    assert shape(small, "a") == (3, 3, 3, 3)
    assert shape(small, "z") == (4, 3, 3, 3)


def test_a_bias_appears_where_a_constant_has_to_go(rng):
    text = INPUT + conv("x", "a") + conv("a", "z", 4, more="bias_term: false")
    small = squeezed(text, kill("a", bias=0.7), rng)
    assert shape(small, "z") == (4, 3, 3, 3)
    assert shape(small, "z", 1) == (4,)
    assert small.net.layer[2].convolution_param.bias_term
    assert len(squeezed(text, kill("a"), rng).weights["z"]) == 1


def test_what_scale_makes_constant_is_told_of_the_filter(rng):
    norm = layer("BatchNorm", "a", "b") + layer(
        "Scale", "b", "c", "scale_param { bias_term: true }"
    )
    text = INPUT + conv("x", "a") + norm + conv("c", "z", 4, more="pad: 1")

    def edit(weights):
        weights["c"][0][:3] = 0

    small = squeezed(text, edit, rng)
    assert shape(small, "a")[0] == 8
    reason = "what it emits is not 0, and meets a border of zeros in z"
    assert small.changes[0].kept == {reason: 3}


@pytest.mark.parametrize("pad", ["pad: 1", "pad_h: 1 pad_w: 0", "pad_l: 1"])
def test_a_constant_that_meets_padding_stays(pad, rng):
    text = INPUT + conv("x", "a") + conv("a", "z", 4, more=pad)
    small = squeezed(text, kill("a", bias=0.7), rng)
    assert shape(small, "a")[0] == 8
    (why,) = small.changes[0].kept.items()
    assert why == ("what it emits is not 0, and meets a border of zeros in z", 5)
    assert shape(squeezed(text, kill("a"), rng), "a")[0] == 3


@pytest.mark.parametrize(
    ("between", "reason"),
    [
        (layer("LRN", "a", "y"), "LRN y wants all channels"),
        (layer("Softmax", "a", "y"), "Softmax y wants all channels"),
        (layer("Tile", "a", "y", "tile_param { tiles: 2 }"), "Tile y wants all channels"),
        (
            layer("Pooling", "a", "y", "pooling_param { pool: AVE kernel_size: 3 pad: 1 }"),
            "y makes it differ at the border",
        ),
    ],
)
def test_what_keeps_a_filter_is_named(between, reason, rng):
    small = squeezed(INPUT + conv("x", "a") + between + TAIL, kill("a", bias=0.7), rng)
    assert shape(small, "a")[0] == 8
    assert small.changes[0].kept == {reason: 5}


def test_an_output_of_the_net_stays(rng):
    small = squeezed(INPUT + conv("x", "a"), kill("a"), rng)
    assert small.changes[0].kept == {"a is an output of the net": 5}


def test_what_is_part_of_the_loss_stays(rng):
    power = layer("Power", "a", "y", "loss_weight: 0.5")
    small = squeezed(INPUT + conv("x", "a") + power + TAIL, kill("a"), rng)
    assert shape(small, "a")[0] == 8


def test_filters_that_nobody_reads_go(rng):
    def edit(weights):
        weights["z"][0][:, 2:6] = 0

    small = squeezed(INPUT + conv("x", "a") + layer("ReLU", "a", "y") + TAIL, edit, rng)
    assert shape(small, "a") == (4, 3, 3, 3)


def test_a_cascade_goes_in_one_call(rng):
    def edit(weights):
        weights["c"][0][:, 1:] = 0

    text = INPUT + conv("x", "a") + conv("a", "b") + conv("b", "c") + conv("c", "d", 2, 1)
    small = squeezed(text, lambda w: (edit(w), kill("a", slice(1, 8))(w)), rng)
    assert shape(small, "a") == (1, 3, 3, 3)
    assert shape(small, "b") == (1, 1, 3, 3)
    assert shape(small, "c") == (8, 1, 3, 3)


def test_a_layer_of_zeros_keeps_one_filter(rng):
    small = squeezed(INPUT + conv("x", "a") + conv("a", "z"), kill("a", slice(None), 0.2), rng)
    assert shape(small, "a")[0] == 1
    assert small.changes[0].kept == {"the last of its layer": 1}


def test_concat_slice_and_split(rng):
    text = INPUT + conv("x", "a") + conv("x", "b", 4) + layer("Concat", "a b", "ab")
    text += layer("Slice", "ab", "s t", "slice_param { slice_point: 6 }")
    text += conv("s", "u") + conv("t", "v") + conv("ab", "w")
    small = squeezed(text, lambda w: (kill("a")(w), kill("b", slice(0, 2), 0.3)(w)), rng)
    assert (shape(small, "a")[0], shape(small, "b")[0]) == (3, 2)
    assert [shape(small, name)[1] for name in "uvw"] == [1, 4, 5]
    (cut,) = (one for one in small.net.layer if one.type == "Slice")
    assert list(cut.slice_param.slice_point) == [1]


def test_slices_of_equal_parts_get_their_points(rng):
    text = INPUT + conv("x", "a") + layer("Slice", "a", "s t") + conv("s", "u") + conv("t", "v")
    small = squeezed(text, kill("a", slice(0, 2)), rng)
    assert [shape(small, name)[1] for name in "uv"] == [2, 4]


def test_a_sum_ties_channels_together(rng):
    text = INPUT + conv("x", "a") + conv("x", "b") + layer("Eltwise", "a b", "y") + TAIL
    one = squeezed(text, kill("a"), rng)
    assert shape(one, "a")[0] == 8
    assert one.changes[0].kept == {"y adds live channels to it": 5}
    both = squeezed(text, lambda w: (kill("a", bias=0.2)(w), kill("b", slice(2, 6), 0.3)(w)), rng)
    assert shape(both, "a")[0] == shape(both, "b")[0] == 5


@pytest.mark.parametrize("operation", ["PROD", "MAX"])
def test_products_and_maxima_of_dead_channels(operation, rng):
    text = INPUT + conv("x", "a") + conv("x", "b")
    text += layer("Eltwise", "a b", "y", f"eltwise_param {{ operation: {operation} }}") + TAIL
    small = squeezed(text, lambda w: (kill("a", bias=0.2)(w), kill("b", bias=0.3)(w)), rng)
    assert shape(small, "z")[1] == 3
    assert shape(squeezed(text, kill("a"), rng), "z")[1] == (3 if operation == "PROD" else 8)


def test_flatten_and_inner_products(rng):
    text = INPUT + conv("x", "a") + layer("Flatten", "a", "f")
    text += layer("InnerProduct", "f", "i", "inner_product_param { num_output: 6 }")
    text += layer("InnerProduct", "i", "j", "inner_product_param { num_output: 5 transpose: true }")
    small = squeezed(text, lambda w: (kill("a", bias=0.4)(w), kill("i", slice(1, 3), 0.1)(w)), rng)
    assert shape(small, "i") == (4, 3 * 36)
    assert shape(small, "j") == (4, 5)


def test_a_flatten_that_leaves_an_axis_keeps_all(rng):
    text = INPUT.replace("dim: 8 dim: 8", "dim: 8 dim: 8 dim: 4") + conv("x", "a")
    text += layer("Flatten", "a", "f", "flatten_param { end_axis: 3 }")
    text += layer("InnerProduct", "f", "i", "inner_product_param { num_output: 6 }")
    small = squeezed(text, kill("a", bias=0.4), rng)
    assert shape(small, "i") == (6, 8 * 6 * 6 * 2)


def test_layers_of_one_name(rng):
    text = INPUT + conv("x", "a") + layer("ReLU", "a", "a", name="r") + conv("a", "b", 8, 1)
    text += layer("ReLU", "b", "y", name="r") + TAIL
    small = squeezed(text, lambda w: (kill("a", bias=0.3)(w), kill("b", bias=0.2)(w)), rng)
    assert (shape(small, "b"), shape(small, "z")) == ((3, 3, 1, 1), (4, 3, 3, 3))


@pytest.mark.parametrize("kind", ["ReLU", "Pooling"])
def test_layers_of_one_name_that_differ_are_refused(kind, rng):
    name = "a" if kind == "ReLU" else "p"
    text = INPUT + conv("x", "a") + layer("Pooling", "a", "p", "pooling_param { kernel_size: 2 }")
    more = "pooling_param { kernel_size: 2 }" * (kind == "Pooling")
    text += layer(kind, "p", "y", more, name=name) + TAIL
    with pytest.raises(PrototxtError, match=f"two that are named '{name}' and differ"):
        squeezed(text, kill("a"), rng)


def test_reshape_as_flatten(rng):
    text = (
        INPUT
        + conv("x", "a")
        + layer("Reshape", "a", "f", "reshape_param { shape { dim: 0 dim: 288 } }")
    )
    text += layer("InnerProduct", "f", "i", "inner_product_param { num_output: 6 }")
    assert shape(squeezed(text, kill("a", bias=0.4), rng), "i") == (6, 3 * 36)


def test_groups_stay_of_one_size(rng):
    text = INPUT + conv("x", "a") + conv("a", "b", 8, 1, "group: 2") + conv("b", "z", 4, 1)
    small = squeezed(text, lambda w: (kill("a", [0, 1, 4])(w), kill("b", [0, 1, 7])(w)), rng)
    assert shape(small, "a")[0] == 6
    assert shape(small, "b") == (6, 3, 1, 1)
    assert small.changes[0].kept == {"the groups of b have to be of one size": 1}


def test_deconvolution(rng):
    deconv = layer(
        "Deconvolution", "a", "y", "convolution_param { num_output: 6 kernel_size: 2 stride: 2 }"
    )
    text = INPUT + conv("x", "a") + deconv + TAIL

    def edit(weights):
        kill("a")(weights)
        weights["y"][0][:, 1:3] = 0

    small = squeezed(text, edit, rng)
    assert shape(small, "y") == (3, 4, 2, 2)
    assert shape(squeezed(text, kill("a", bias=0.1), rng), "a")[0] == 8


RESIDUAL = (
    INPUT
    + conv("x", "a")
    + layer("ReLU", "a", "a", name="relu_a")
    + conv("a", "b", 8, more="pad: 1")
    + layer("BatchNorm", "b", "b", name="bn_b")
    + layer("Scale", "b", "b", "scale_param { bias_term: true }", name="scale_b")
    + layer("Eltwise", "a b", "s")
    + layer("ReLU", "s", "s", name="relu_s")
    + conv("s", "z", 4)
)


@pytest.mark.parametrize("constant", [False, True])
def test_a_dead_residual_branch_goes(constant, rng):
    def edit(weights):
        kill("b", slice(None))(weights)
        weights["bn_b"][0][...] = 0
        weights["scale_b"][1][...] = 0.3 * constant

    small = squeezed(RESIDUAL, edit, rng)
    assert {"b", "bn_b", "scale_b"} <= set(small.removed)
    types = [one.type for one in small.net.layer]
    assert "Eltwise" not in types
    assert ("Bias" in types) == constant
    assert len(types) == 5 + constant


def test_a_branch_with_a_factor_becomes_a_scale(rng):
    text = RESIDUAL.replace("top: 's' ", "top: 's' eltwise_param { coeff: 2 coeff: 1 }", 1)
    small = squeezed(text, kill("b", slice(None), 0.5), rng)
    assert "Scale" in [one.type for one in small.net.layer]


def test_shared_weights_stay(rng):
    names = " param { name: 'w' } param { name: 'v' } top: "
    text = INPUT + (conv("x", "a") + conv("x", "b")).replace(" top: ", names)
    small = squeezed(text + layer("Concat", "a b", "y") + TAIL, kill("a"), rng)
    assert shape(small, "a")[0] == shape(small, "b")[0] == 8


@pytest.mark.parametrize("bias", [0.0, 0.4])
def test_constant_bottoms_of_a_sum_of_more(bias, rng):
    text = INPUT + "".join(conv("x", name) for name in "abcd")
    text += layer(
        "Eltwise", "a b c d", "y", "eltwise_param { coeff: 1 coeff: 2 coeff: -1 coeff: 3 }"
    )

    def edit(weights):
        for name in "bd":
            kill(name, slice(None), bias)(weights)

    small = squeezed(text + TAIL, edit, rng)
    assert small.removed == ([] if bias else ["b", "d"])


TRAIN_VAL = """
layer { name: 'd' type: 'DummyData' top: 'x' top: 'label' include { phase: TRAIN }
  dummy_data_param { shape { dim: 4 dim: 3 dim: 8 dim: 8 } shape { dim: 4 }
    data_filler { type: 'gaussian' } data_filler { value: 1 } } }
layer { name: 'd' type: 'DummyData' top: 'x' top: 'label' include { phase: TEST }
  dummy_data_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } shape { dim: 2 }
    data_filler { type: 'gaussian' } data_filler { value: 1 } } }
layer { name: 'a' type: 'Convolution' bottom: 'x' top: 'a'
  param { block_group_lasso { xdimen: 27 ydimen: 8 } }
  convolution_param { num_output: 8 kernel_size: 3 weight_filler { type: 'xavier' } } }
layer { name: 'extra' type: 'InnerProduct' bottom: 'x' top: 'extra' include { phase: TRAIN }
  inner_product_param { num_output: 3 weight_filler { type: 'xavier' } } }
layer { name: 'quiet' type: 'Silence' bottom: 'extra' include { phase: TRAIN } }
layer { name: 'i' type: 'InnerProduct' bottom: 'a' top: 'i'
  inner_product_param { num_output: 5 weight_filler { type: 'xavier' } } }
layer { name: 'loss' type: 'SoftmaxWithLoss' bottom: 'i' bottom: 'label' top: 'loss' }
layer { name: 'acc' type: 'Accuracy' bottom: 'i' bottom: 'label' top: 'acc'
  include { phase: TEST } }
"""


def test_a_net_for_training_goes_on_training(tmp_path, rng):
    param = parse_net(TRAIN_VAL)
    net = Net(param, TRAIN)
    net.params["a"][0].data[FIVE] = 0
    net.save(tmp_path / "w.caffemodel")
    small = squeeze(param, tmp_path / "w.caffemodel")
    assert shape(small, "i") == (5, 3 * 36)
    np.testing.assert_array_equal(small.weights["extra"][0], net.params["extra"][0].data)
    assert not small.net.layer[2].param[0].block_group_lasso  # 8 rows are no longer there
    (tmp_path / "s.caffemodel").write_bytes(small.caffemodel().SerializeToString())
    settings = caffe_pb2.SolverParameter(base_lr=0.01, lr_policy="fixed", max_iter=3)
    settings.net_param.CopyFrom(small.net)
    settings.test_iter.append(1)
    settings.test_interval = 2
    settings.weights.append(str(tmp_path / "s.caffemodel"))
    with Solver(settings) as solver:
        before = solver.net.params["a"][0].data.copy()
        np.testing.assert_array_equal(before, net.params["a"][0].data[5:])
        solver.step(2)
        assert (solver.net.params["a"][0].data != before).any()


def test_a_layer_for_each_phase_follows_its_twin(rng):
    text = INPUT + conv("x", "a")
    for phase in ("TEST", "TRAIN"):
        text += conv("a", "b").replace("type: ", f"include {{ phase: {phase} }} type: ")
    text += conv("b", "z", 2)
    small = squeezed(text, lambda w: (kill("a")(w), kill("b", slice(0, 6))(w)), rng)
    twins = [one for one in small.net.layer if one.name == "b"]
    assert [one.convolution_param.num_output for one in twins] == [2, 2]
    assert [(one.name, one.after[:2]) for one in small.changes] == [
        ("a", (3, 3)),
        ("b", (2, 3)),
        ("z", (2, 2)),
    ]
    for phase in (TRAIN, TEST):
        Net(small.net, phase)


def test_weights_that_are_not_there(rng):
    with pytest.raises(WeightsError, match=r"expected those of \['a'\] too"):
        squeeze(parse_net(INPUT + conv("x", "a")), {})
