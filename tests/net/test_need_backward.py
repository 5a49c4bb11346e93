"""Which layers run backward."""

import numpy as np
import pytest

from sscaffe.layer import TRAIN
from tests.net.layers import INPUT, feed, input_layer, loss, make_net, times

FROZEN = "param { lr_mult: 0 }"


def needs(net):
    return dict(zip(net.layer_names, net.layer_need_backward, strict=True))


def test_layers_below_a_loss_with_weights_run_backward():
    net = make_net(INPUT + times("a") + times("b", "a") + loss("b"), TRAIN)
    assert needs(net) == {"x": False, "a": True, "b": True, "loss": True}
    assert net.bottom_need_backward == [[], [False], [True], [True]]


def test_layers_below_the_first_that_learns_do_not():
    net = make_net(INPUT + times("a", more=FROZEN) + times("b", "a") + loss("b"), TRAIN)
    assert needs(net) == {"x": False, "a": False, "b": True, "loss": True}
    assert net.bottom_need_backward[2] == [False]


def test_a_frozen_layer_above_one_that_learns_passes_gradients_on_only():
    net = make_net(INPUT + times("a") + times("b", "a", more=FROZEN) + loss("b"), TRAIN)
    feed(net)
    net.clear_param_diffs()
    net.forward_backward()
    assert needs(net)["b"]
    np.testing.assert_array_equal(net.params["b"][0].const_diff, 0)
    np.testing.assert_array_equal(net.params["a"][0].const_diff, [5, 7, 9])


def test_a_net_without_loss_runs_nothing_backward():
    assert not any(needs(make_net(INPUT + times("a") + times("b", "a"))).values())


def test_layers_beside_the_loss_are_skipped():
    net = make_net(INPUT + times("a") + times("side", "a") + loss("a"), TRAIN)
    assert needs(net) == {
        "x": False,
        "a": True,
        "a_a_0_split": True,
        "side": False,
        "loss": True,
    }
    feed(net)
    net.forward_backward()
    assert [layer.backwards for layer in net.layers if layer.type == "TestTimes"] == [1, 0]


def test_propagate_down_false_stops_the_gradient():
    net = make_net(
        INPUT + times("a") + times("b", "a", more="propagate_down: false") + loss("b"), TRAIN
    )
    assert needs(net) == {"x": False, "a": False, "b": True, "loss": True}


def test_propagate_down_true_asks_for_the_gradient_of_data():
    net = make_net(INPUT + times("a", more="propagate_down: true") + loss("a"), TRAIN)
    feed(net)
    net.forward_backward()
    np.testing.assert_array_equal(net.blobs["x"].const_diff, 1)


def test_force_backward_asks_for_every_gradient_but_labels():
    net = make_net(
        "force_backward: true "
        + INPUT
        + input_layer("label", 2, 3)
        + times("a", more=FROZEN)
        + loss("a", more='bottom: "label"')
    )
    feed(net)
    net.clear_param_diffs()
    net.forward_backward()
    assert all(net.layer_need_backward)
    assert net.bottom_need_backward[3] == [True, False]
    np.testing.assert_array_equal(net.blobs["x"].const_diff, 1)
    np.testing.assert_array_equal(net.params["a"][0].const_diff, [5, 7, 9])


@pytest.mark.parametrize("weight", [0, 1])
def test_a_loss_without_weight_is_no_loss(weight):
    net = make_net(INPUT + times("a") + loss("a", more=f"loss_weight: {weight}"), TRAIN)
    assert needs(net)["a"] is bool(weight)
