"""Nets are built, run, reshaped and closed; what cannot be built says where."""

import gc
import logging

import numpy as np
import pytest

from sscaffe.errors import PrototxtError, ShapeError, UnsupportedError
from sscaffe.layer import TEST, TRAIN
from sscaffe.net import Net
from tests.net.layers import INPUT, Times, feed, input_layer, loss, make_net, times


def test_structure_is_told_in_the_words_of_caffe():
    net = make_net('name: "n" ' + INPUT + times("a") + times("b") + loss("b"))
    assert (net.name, net.phase, len(net.layers)) == ("n", TEST, 5)
    assert net.layer_names == ["x", "x_x_0_split", "a", "b", "loss"]
    assert list(net.blobs) == ["x", "x_x_0_split_0", "x_x_0_split_1", "a", "b", "loss"]
    assert list(net.params) == ["a", "b"]
    assert net.bottom_ids == [[], [0], [1], [2], [4]]
    assert net.top_ids == [[0], [1, 2], [3], [4], [5]]
    assert (net.inputs, net.outputs) == (["x"], ["a", "loss"])
    assert net.blobs["a"].shape == (2, 3)
    assert net.tops[2] == [net.blobs["a"]]
    assert [layer.type for layer in net.param.layer][:2] == ["Input", "Split"]


def test_a_net_is_read_from_a_file(tmp_path):
    (tmp_path / "n.prototxt").write_text('name: "n" ' + INPUT)
    assert Net(tmp_path / "n.prototxt", TEST).name == "n"


def test_phase_level_and_stages_choose_layers():
    text = (
        INPUT
        + times("train", more="include { phase: TRAIN }")
        + times("deep", more="include { min_level: 2 }")
        + times("staged", more='include { stage: "s" }')
    )
    assert make_net(text, TRAIN).layer_names == ["x", "train"]
    assert make_net(text, TEST, level=2).layer_names == ["x", "deep"]
    assert make_net(text, TEST, stages=["s"]).layer_names == ["x", "staged"]
    assert make_net('state { level: 2 stage: "s" } ' + text).layer_names[2:] == ["deep", "staged"]


def test_each_layer_has_the_phase_of_the_net():
    net = make_net(INPUT + times("a"), TRAIN)
    assert [layer.phase for layer in net.layers] == [TRAIN, TRAIN]
    assert net.param.layer[1].phase == TRAIN


def test_forward_sums_weighted_losses():
    net = make_net(
        INPUT + times("a", more="loss_weight: 0.5") + loss("x") + loss("x", "l2", "loss_weight: 10")
    )
    feed(net)
    assert net.run_forward() == 21 * 0.5 + 21 + 210
    assert net.blob_loss_weights["loss"] == 1
    assert net.blob_loss_weights["l2"] == 10
    assert net.blob_loss_weights["x"] == 0


def test_forward_and_backward_run_from_layer_to_layer():
    net = make_net(INPUT + times("a") + times("b", "a") + loss("b"))
    feed(net)
    net.run_forward()
    net.blobs["a"].set_data(2)
    assert net.run_forward(first=2) == 12
    assert net.run_forward(first=0, last=1) == 0
    assert net.blobs["a"].const_data[1, 2] == 6
    net.run_backward(first=3, last=2)
    assert [net.layers[i].backwards for i in (1, 2)] == [0, 1]


def test_gradients_reach_weights_and_add_up_over_splits():
    scale = "power_param { scale: 3 }"
    net = make_net(INPUT + times("a") + times("b", "a", more=scale) + loss("a", "l1") + loss("b"))
    feed(net)
    net.clear_param_diffs()
    assert net.forward_backward() == 21 + 63
    np.testing.assert_array_equal(net.params["b"][0].const_diff, [15, 21, 27])
    np.testing.assert_array_equal(net.params["a"][0].const_diff, [20, 28, 36])
    net.run_backward()
    np.testing.assert_array_equal(net.params["b"][0].const_diff, [30, 42, 54])
    net.clear_param_diffs()
    np.testing.assert_array_equal(net.params["b"][0].const_diff, 0)


def test_a_loss_that_is_read_on_gets_both_gradients():
    net = make_net(INPUT + times("a") + loss("a") + loss("loss", "again", "loss_weight: 4"))
    feed(net)
    net.clear_param_diffs()
    assert net.forward_backward() == 21 + 84
    np.testing.assert_array_equal(net.params["a"][0].const_diff, [25, 35, 45])


def test_a_loss_weight_scales_the_gradient():
    net = make_net(INPUT + times("a") + loss("a", more="loss_weight: 0.5"))
    feed(net)
    net.clear_param_diffs()
    net.forward_backward()
    np.testing.assert_array_equal(net.params["a"][0].const_diff, [2.5, 3.5, 4.5])


def test_a_loss_in_place_has_its_gradient_in_every_pass():
    net = make_net(INPUT + times("a") + times("b", "a", "a", "loss_weight: 2"))
    feed(net)
    net.params["b"][0].set_data(3)
    for _ in range(2):
        net.clear_param_diffs()
        net.forward_backward()
        np.testing.assert_array_equal(net.params["a"][0].const_diff, [30, 42, 54])


def test_the_gradient_that_a_user_gives_a_loss_is_kept_until_it_is_reshaped():
    net = make_net(INPUT + times("a") + loss("a"))
    feed(net)
    net.run_forward()
    net.blobs["loss"].set_diff(4)
    net.clear_param_diffs()
    net.run_backward()
    np.testing.assert_array_equal(net.params["a"][0].const_diff, [20, 28, 36])
    net.reshape()
    assert net.blobs["loss"].const_diff == 1


def test_a_top_left_out_is_added_for_a_loss():
    net = make_net(INPUT + 'layer { name: "l" type: "TestSum" bottom: "x" } ')
    feed(net)
    assert net.run_forward() == 21
    assert list(net.blobs) == ["x"]
    assert net.blob_names == ["x", "(automatic)"]
    assert net.outputs == []


def test_layers_are_reshaped_only_when_a_bottom_changed():
    net = make_net(INPUT + times("a") + times("b", "a"))
    net.run_forward()
    net.run_forward()
    assert [layer.reshapes for layer in net.layers[1:]] == [1, 1]
    net.blobs["x"].reshape(5, 3)
    feed(net)
    net.run_forward()
    assert net.blobs["b"].shape == (5, 3)
    assert net.blobs["b"].const_data[4, 2] == 15
    assert [layer.reshapes for layer in net.layers[1:]] == [2, 2]
    net.reshape()
    assert net.layers[1].reshapes == 3


def test_a_blob_reshaped_there_and_back_is_still_shared_by_its_split():
    net = make_net(INPUT + times("a") + times("b"))
    net.run_forward()
    net.blobs["x"].reshape(5, 3)
    net.blobs["x"].reshape(2, 3)
    feed(net)
    net.run_forward()
    np.testing.assert_array_equal(net.blobs["a"].const_data, [[1, 2, 3], [4, 5, 6]])


def test_a_top_that_somebody_reshaped_is_put_right():
    net = make_net(INPUT + times("a"))
    feed(net)
    net.run_forward()
    net.blobs["a"].reshape(1)
    net.run_forward()
    assert net.blobs["a"].const_data[1, 2] == 6


def convolution(name, bottom):
    return (
        f'layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}" '
        'convolution_param { num_output: 16 kernel_size: 3 weight_filler { type: "xavier" } } } '
    )


def test_arrays_held_outside_stay_up_to_date(rng):
    net = make_net(
        input_layer("x", 2, 16, 8, 8) + convolution("a", "x") + convolution("b", "a") + loss("b"),
        TRAIN,
    )
    held = net.blobs["a"].data, net.blobs["a"].diff, net.params["b"][0].diff
    for _ in range(2):
        for array in held:
            array[...] = 0
        feed(net, rng.standard_normal((2, 16, 8, 8)))
        net.clear_param_diffs()
        net.run_forward()
        assert abs(held[0]).sum() > 0
        net.run_backward()
        assert abs(held[1]).sum() > 0
        assert abs(held[2]).sum() > 0


def refusal(text, kind=PrototxtError, **options):
    with pytest.raises(kind) as caught:
        make_net(text, source="n.prototxt", **options)
    return [str(caught.value), *caught.value.__notes__]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (
            times("a").replace("TestTimes", "TestTime").replace('bottom: "x"', ""),
            [
                "type: there is no layer type 'TestTime'; did you mean 'TestTimes'?",
                "  layer:  'a' (TestTime) in n.prototxt",
            ],
        ),
        (
            INPUT + times("a", more='top: "b"'),
            [
                "top: expected 1 for a layer of type TestTimes, got 2",
                "  layer:  'a' (TestTimes) in n.prototxt",
                "  bottom: 'x' (2, 3)",
            ],
        ),
        (
            'layer { name: "a" type: "TestTimes" top: "a" }',
            [
                "bottom: expected 1 for a layer of type TestTimes, got 0",
                "  layer:  'a' (TestTimes) in n.prototxt",
            ],
        ),
        (
            INPUT + loss("x", more='bottom: "x" bottom: "x"'),
            [
                "bottom: expected at most 2 for a layer of type TestSum, got 3",
                "  layer:  'loss' (TestSum) in n.prototxt",
                "  bottom: 'x_x_0_split_0' (2, 3), 'x_x_0_split_1' (2, 3), 'x_x_0_split_2' (2, 3)",
            ],
        ),
        (
            INPUT + loss("x", more="loss_weight: 1 loss_weight: 2"),
            [
                "loss_weight: expected one for each of the 1 tops, got 2",
                "  layer:  'loss' (TestSum) in n.prototxt",
                "  bottom: 'x' (2, 3)",
            ],
        ),
        (
            INPUT + times("a", more="propagate_down: true propagate_down: true"),
            [
                "propagate_down: expected none or 1, one a bottom, got 2",
                "  layer:  'a' (TestTimes) in n.prototxt",
                "  bottom: 'x' (2, 3)",
            ],
        ),
        (
            INPUT + times("a", top="b") + times("a", "b", "c"),
            [
                "name: an earlier layer with weights is named 'a' too; weights are found by name, "
                "so rename one of them",
                "  layer:  'a' (TestTimes) in n.prototxt",
                "  bottom: 'b' (2, 3)",
            ],
        ),
        (
            times("a") + times("b", "a"),
            ["bottom: layer 'a' reads 'x', but no layer makes it", "  net:    n.prototxt"],
        ),
    ],
)
def test_a_net_that_cannot_be_built_says_where(text, lines):
    kind = UnsupportedError if lines[0].startswith("type") else PrototxtError
    assert refusal(text, kind) == lines


def test_layers_of_2014_are_upgraded():
    net = make_net('input: "x" input_shape { dim: 2 } layers { type: RELU bottom: "x" top: "y" }')
    assert [layer.type for layer in net.layers] == ["Input", "ReLU"]


def test_an_error_while_running_says_where():
    net = make_net(INPUT + times("a"), source="n.prototxt")
    net.blobs["x"].reshape(2, 4)
    with pytest.raises(ShapeError, match="expected rows of shape") as caught:
        net.run_forward()
    assert caught.value.__notes__ == [
        "  layer:  'a' (TestTimes) in n.prototxt",
        "  bottom: 'x' (2, 4)",
    ]


def test_layers_made_before_an_error_are_closed(monkeypatch):
    made = []
    setup = Times.setup
    monkeypatch.setattr(
        Times, "setup", lambda self, *blobs: (made.append(self), setup(self, *blobs))
    )
    with pytest.raises(PrototxtError, match="top: expected 1"):
        make_net(INPUT + times("a") + times("b", "a", more='top: "c"'))
    assert [(layer.name, layer.closed) for layer in made] == [("a", True)]


def test_layers_are_closed_by_with_and_by_the_end_of_the_net():
    with make_net(INPUT + times("a")) as net:
        layer = net.layers[1]
        assert not layer.closed
    assert layer.closed
    other = make_net(INPUT + times("a"))
    layer = other.layers[1]
    del other
    gc.collect()
    assert layer.closed


def test_the_log_has_a_line_for_each_layer(caplog):
    caplog.set_level(logging.INFO, "sscaffe")
    make_net('name: "n" ' + INPUT + times("a") + loss("a"))
    assert caplog.messages == [
        "x (Input): - -> x (2, 3)",
        "a (TestTimes): x -> a (2, 3)",
        "loss (TestSum): a -> loss (), loss weight 1",
        "Net n: 3 layers, 3 parameters",
    ]


CLASSIFIER = (
    input_layer("data", 4, 5)
    + input_layer("label", 4)
    + """
    layer { name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1"
      inner_product_param { num_output: 6 weight_filler { type: "xavier" } } }
    layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }
    layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
      inner_product_param { num_output: 6 weight_filler { type: "xavier" } } }
    layer { name: "sum" type: "Eltwise" bottom: "ip1" bottom: "ip2" top: "sum" }
    layer { name: "ip3" type: "InnerProduct" bottom: "sum" top: "ip3"
      inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip3" bottom: "label" top: "loss" }
    """
)


@pytest.fixture
def classifier(rng):
    net = make_net(CLASSIFIER, TRAIN)
    feed(net, rng.standard_normal((4, 5)), "data")
    feed(net, [0, 1, 2, 1], "label")
    return net


def test_gradients_of_a_whole_net_are_finite_differences(classifier):
    net, step = classifier, 1e-3
    net.clear_param_diffs()
    net.forward_backward()
    for param in net.learnable_params:
        gradient = param.const_diff.copy()
        for index in np.ndindex(param.shape):
            original = param.const_data[index].copy()
            param.data[index] = original + step
            above = net.run_forward()
            param.data[index] = original - step
            difference = (above - net.run_forward()) / (2 * step)
            param.data[index] = original
            # The loss is a float32 near 1: its rounding is 1e-7 / (2 * step), so 5e-5.
            assert gradient[index] == pytest.approx(difference, abs=1e-3), (param.name, index)


def test_a_net_learns(classifier):
    first = classifier.run_forward()
    for _ in range(50):
        classifier.clear_param_diffs()
        last = classifier.forward_backward()
        for param in classifier.learnable_params:
            param.data[...] -= 0.5 * param.const_diff
    assert last < 0.1 * first


def test_a_batch_of_another_size_runs(classifier, rng):
    classifier.blobs["data"].reshape(9, 5)
    classifier.blobs["label"].reshape(9)
    feed(classifier, rng.standard_normal((9, 5)), "data")
    feed(classifier, np.zeros(9), "label")
    assert np.isfinite(classifier.forward_backward())
    assert classifier.blobs["ip3"].shape == (9, 3)
