"""BatchNorm with Scale and ReLU in one pass gives, in TRAIN, what the three give one by one."""

import numpy as np
import pytest

from sscaffe.layer import TEST, TRAIN
from sscaffe.net import Net
from sscaffe.net.norm_step import NormStep
from sscaffe.prototxt import parse_net

TOLERANCE = 2e-6  # of the largest element: factors are multiplied in another order


def layer(kind, bottom, top, more=""):
    bottoms = "".join(f"bottom: '{name}' " for name in bottom.split())
    return f"layer {{ name: '{kind}_{top}' type: '{kind}' {bottoms} top: '{top}' {more} }}\n"


def conv(bottom, top, outputs):
    filler = "weight_filler { type: 'msra' }"
    fields = f"num_output: {outputs} kernel_size: 3 bias_term: false {filler}"
    return layer("Convolution", bottom, top, f"convolution_param {{ {fields} }}")


SCALE = "scale_param { filler { type: 'gaussian' std: 1 } %s }"
BIASED = SCALE % "bias_term: true bias_filler { type: 'gaussian' std: 0.5 }"
HEAD = """layer { name: 'x' type: 'Input' top: 'x' top: 'label'
  input_param { shape { dim: 5 dim: 3 dim: 11 dim: 9 } shape { dim: 5 } } }
"""
# In place and not; all three, without the rectifier, without the scale; not one channel count fits
# oneDNN's blocks.
NET = (
    HEAD
    + conv("x", "a", 20)
    + layer("BatchNorm", "a", "a")
    + layer("Scale", "a", "a", BIASED)
    + layer("ReLU", "a", "a")
    + conv("a", "b", 7)
    + layer("BatchNorm", "b", "c")
    + layer("Scale", "c", "c", SCALE % "")
    + conv("c", "d", 6)
    + layer("BatchNorm", "d", "d")
    + layer("ReLU", "d", "d")
    + layer("Pooling", "d", "p", "pooling_param { pool: AVE global_pooling: true }")
    + layer(
        "InnerProduct",
        "p",
        "y",
        "inner_product_param { num_output: 4 weight_filler { type: 'msra' } }",
    )
    + layer("SoftmaxWithLoss", "y label", "loss")
)
PLACES = [(2, 3, 4), (6, 7), (9, 10)]


def make_net(text=NET, seed=3, device=None):
    net = Net(parse_net(text), TRAIN, device=device)
    rng = np.random.default_rng(seed)
    net.blobs["x"].set_data(rng.standard_normal(net.blobs["x"].shape))
    net.blobs["label"].set_data(rng.integers(0, 4, net.blobs["label"].shape))
    for blob in (blob for one in net.layers if one.learns for blob in one.blobs):
        blob.set_data(rng.standard_normal(blob.shape) / 2)
    return net


def joined(net):
    return [unit.places for unit in net.units if isinstance(unit.step, NormStep)]


def assert_same(ours, expected, tolerance=TOLERANCE):
    for name, blob in expected.blobs.items():
        check(ours.blobs[name].host_data, blob.host_data, tolerance)
    for mine, other in zip(ours.all_params, expected.all_params, strict=True):
        check(mine.blob.host_data, other.blob.host_data, tolerance)
        check(mine.blob.host_diff, other.blob.host_diff, tolerance)


def check(got, expected, tolerance=TOLERANCE):
    largest = max(abs(expected).max(initial=0), 1e-3)
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * largest)


def step(net, *parts):
    net.clear_param_diffs()
    net.run_forward()
    for part in parts or [()]:
        net.run_backward(*part)


def test_finds_what_runs_in_place():
    assert joined(make_net()) == PLACES
    apart = NET.replace("bottom: 'c'  top: 'c'", "bottom: 'c'  top: 'e'").replace(
        "bottom: 'c'  top: 'd'", "bottom: 'e'  top: 'd'"
    )
    assert joined(make_net(apart)) == [PLACES[0], PLACES[2]]
    leaky = NET.replace("top: 'd'  }", "top: 'd' relu_param { negative_slope: 0.1 } }")
    assert joined(make_net(leaky)) == PLACES[:2]
    assert joined(Net(parse_net(NET), TEST)) == []
    # The first learns, but passes nothing on to the net's input.
    first = HEAD + layer("BatchNorm", "x", "x") + layer("Scale", "x", "x", BIASED)
    assert joined(make_net(NET.replace(HEAD, first))) == [(4, 5, 6), (8, 9), (11, 12)]


@pytest.mark.parametrize(
    "change",
    [
        ("top: 'a'  }", "top: 'a' batch_norm_param { use_global_stats: true } }"),
        ("bottom: 'a'  top: 'a' scale_param {", "bottom: 'a'  top: 'a' scale_param { axis: 2"),
    ],
)
def test_leaves_other_layers_alone(change):
    text = NET.replace(*change, 1)
    assert text != NET
    assert PLACES[0] not in joined(make_net(text))


def test_gives_what_the_layers_give():
    ours, expected = make_net(), make_net()
    expected.run_singly()
    assert joined(expected) == []
    for _ in range(3):
        step(ours)
        step(expected)
        assert_same(ours, expected)


def test_adds_to_diffs():
    net, twice = make_net(), make_net()
    step(net)
    step(twice)
    twice.run_forward()
    twice.run_backward()
    for one, two in zip(net.all_params, twice.all_params, strict=True):
        check(two.blob.host_diff, 2 * one.blob.host_diff)


@pytest.mark.parametrize("cut", [3, 4, 7, 10])
def test_a_pass_backward_may_start_within(cut):
    ours, expected = make_net(), make_net()
    expected.run_singly()
    for net in (ours, expected):
        step(net, (13, cut), (cut - 1, 0))
    assert_same(ours, expected)


@pytest.mark.parametrize("cut", [3, 4, 7, 10])
def test_a_pass_forward_may_stop_within(cut):
    ours, expected = make_net(), make_net()
    expected.run_singly()
    for net in (ours, expected):
        step(net)
        net.clear_param_diffs()
        net.run_forward(0, cut - 1)
        net.run_forward(cut)
        net.run_backward()
    assert_same(ours, expected)


def test_callbacks_see_each_layer():
    net, expected, seen = make_net(), make_net(), []
    step(net)
    expected.run_singly()
    step(expected)
    net.after_backward(seen.append)
    net.clear_param_diffs()
    net.run_backward()  # after a forward pass that ran in one
    assert seen == list(range(13, -1, -1))
    assert_same(net, expected)


def test_debug_info_tells_of_each_layer(caplog):
    net = make_net()
    net.debug_info = True
    with caplog.at_level("INFO"):
        step(net)
    backward = [r.message for r in caplog.records if "[Backward] Layer Scale_a" in r.message]
    assert backward
    assert joined(net) == PLACES  # for the iterations that are not displayed


def test_what_is_not_to_be_learned_gets_no_diff():
    text = NET.replace(f"top: 'a' {BIASED}", f"top: 'a' param {{ lr_mult: 0 }} {BIASED}")
    ours = make_net(text)
    assert PLACES[0] in joined(ours)
    step(ours)
    factor, bias = ours.params["Scale_a"]
    assert not factor.host_diff.any()
    assert bias.host_diff.any()


def test_reshape():
    ours, expected = make_net(), make_net()
    expected.run_singly()
    images = np.random.default_rng(0).standard_normal((3, 3, 8, 12))
    for net in (ours, expected):
        step(net)
        net.blobs["x"].reshape(*images.shape)
        net.blobs["x"].set_data(images)
        net.blobs["label"].reshape(3)
        net.blobs["label"].set_data([0, 1, 2])
        step(net)
    assert_same(ours, expected)
