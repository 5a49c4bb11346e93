"""Layers that run as one give what they give one by one; compact nets give it from less memory."""

from threading import Thread

import numpy as np
import pytest

from sscaffe import machine
from sscaffe.errors import UnsupportedError
from sscaffe.layer import TEST, TRAIN
from sscaffe.net import Net
from sscaffe.net.fusion import FusedStep, find_chains
from sscaffe.net.plan import Plan
from sscaffe.prototxt import parse_net

TOLERANCE = 1e-5  # of the largest element: folding rounds weights once more


def layer(kind, bottom, top, more=""):
    bottoms = "".join(f"bottom: '{name}' " for name in bottom.split())
    return f"layer {{ name: '{kind}_{top}' type: '{kind}' {bottoms} top: '{top}' {more} }}\n"


def conv(bottom, top, outputs=8, more=""):
    return layer(
        "Convolution",
        bottom,
        top,
        f"convolution_param {{ num_output: {outputs} kernel_size: 3 pad: 1 {more} "
        "weight_filler { type: 'msra' } bias_filler { type: 'gaussian' } }",
    )


INPUT = """layer { name: 'x' type: 'Input' top: 'x'
  input_param { shape { dim: 2 dim: 8 dim: 9 dim: 7 } } }
"""
BIASED = (
    "scale_param { bias_term: true filler { type: 'gaussian' } bias_filler { type: 'gaussian' } }"
)

IN_PLACE = (
    INPUT
    + conv("x", "a", more="bias_term: false")
    + layer("BatchNorm", "a", "a")
    + layer("Scale", "a", "a", BIASED)
    + layer("ReLU", "a", "a")
    + layer("Pooling", "a", "p", "pooling_param { kernel_size: 2 stride: 2 }")
    + layer("InnerProduct", "p", "y", "inner_product_param { num_output: 5 }")
    + layer("ReLU", "y", "y")
)
RESIDUAL = (
    INPUT
    + conv("x", "a")
    + layer("BatchNorm", "a", "b")
    + layer("Scale", "b", "c", BIASED)
    + layer("ReLU", "c", "d")
    + conv("d", "e", more="conv_mode: LOWERED_CCNMM")
    + layer("BatchNorm", "e", "f")
    + layer("Scale", "f", "f", BIASED)
    + layer("Eltwise", "x f", "g")
    + layer("ReLU", "g", "h")
    + conv("h", "shortcut", 4, "group: 2")
    + conv("h", "i", 4)
    + layer("Eltwise", "i shortcut", "j")
    + layer("ReLU", "j", "j")
    + conv("j", "k", 4)
    + layer("ReLU", "k", "k")
    + layer("Concat", "j k", "l")
    + layer("Pooling", "l", "y", "pooling_param { pool: AVE kernel_size: 3 }")
)

DENSE = RESIDUAL.replace("conv_mode: LOWERED_CCNMM", "")
DECONVOLUTION = (
    "convolution_param { num_output: 8 kernel_size: 2 stride: 2 weight_filler { type: 'msra' } }"
)


def make_net(text, phase=TEST):
    """Return a net with statistics such as training leaves behind, and numbers in its input."""
    net = Net(parse_net(text), phase)
    rng = np.random.default_rng(3)
    for blob in (blob for name in net.params for blob in net.params[name]):
        blob.set_data(rng.normal(size=blob.shape))
    for made in net.layers:
        if made.type == "BatchNorm":
            made.blobs[1].set_data(rng.uniform(0.5, 2, made.blobs[1].shape))
            made.blobs[2].set_data(0.9)
    net.blobs["x"].set_data(rng.normal(size=net.blobs["x"].shape))
    return net


def run_one_by_one(net):
    for step in net._steps:
        step.forward()
    return {name: blob.const_data.copy() for name, blob in net.blobs.items()}


def assert_close(got, wanted):
    np.testing.assert_allclose(got, wanted, rtol=0, atol=TOLERANCE * abs(wanted).max())


def chains(text, kept=None):
    net = make_net(text)
    ids = None if kept is None else {id(net.blobs[name]) for name in kept}
    return [[net.layer_names[p] for p in c.places] for c in find_chains(net._steps, ids)]


def test_what_runs_in_place_becomes_part_of_the_layer_before_it():
    assert chains(IN_PLACE)[0] == ["Convolution_a", "BatchNorm_a", "Scale_a", "ReLU_a"]


def test_blobs_that_may_be_read_are_made():
    assert chains(RESIDUAL) == [["Convolution_k", "ReLU_k"]]
    net = make_net(RESIDUAL)
    wanted = run_one_by_one(net)
    net.run_forward()
    for name, blob in net.blobs.items():
        assert_close(blob.const_data, wanted[name])


def test_in_a_compact_net_a_chain_may_leave_out_blobs():
    found = chains(RESIDUAL, ["y"])
    assert ["Convolution_a", "BatchNorm_b", "Scale_c", "ReLU_d"] in found
    assert ["Convolution_e", "BatchNorm_f", "Scale_f", "Eltwise_g", "ReLU_h"] in found
    assert any(chain[1:] == ["Eltwise_j", "ReLU_j"] for chain in found)


def test_a_chain_does_not_leave_out_a_blob_that_is_kept():
    found = chains(RESIDUAL, ["y", "b", "g"])
    assert ["Convolution_a", "BatchNorm_b"] in found
    assert ["Convolution_e", "BatchNorm_f", "Scale_f", "Eltwise_g"] in found


@pytest.mark.parametrize("text", [IN_PLACE, RESIDUAL], ids=["in place", "residual"])
def test_a_compact_net_gives_the_same_again_and_again(text):
    net = make_net(text)
    wanted = run_one_by_one(net)
    net.compact()
    for _ in range(3):
        net.run_forward()
        assert_close(net.blobs["y"].const_data, wanted["y"])


@pytest.mark.parametrize("text", [IN_PLACE, RESIDUAL], ids=["in place", "residual"])
def test_a_compact_net_can_be_reshaped(text):
    net, other = make_net(text), make_net(text)
    if text is IN_PLACE:  # an inner product's weights fix the size of the image
        shape = (3, 8, 9, 7)
    else:
        shape = (3, 8, 5, 6)
        text = text.replace("conv_mode: LOWERED_CCNMM", "")
        net, other = make_net(text), make_net(text)
    net.compact()
    net.run_forward()
    x = np.random.default_rng(5).normal(size=shape)
    for each in (net, other):
        each.blobs["x"].reshape(*shape)
        each.blobs["x"].set_data(x)
    net.run_forward()
    assert_close(net.blobs["y"].const_data, run_one_by_one(other)["y"])


def test_a_blob_that_is_kept_can_be_read_and_another_says_why_not():
    net = make_net(RESIDUAL)
    wanted = run_one_by_one(net)
    net.compact(keep=["h"])
    with pytest.raises(UnsupportedError, match=r"compact.* keep"):
        _ = net.blobs["l"].data
    net.run_forward()
    assert_close(net.blobs["h"].const_data, wanted["h"])
    with pytest.raises(UnsupportedError, match=r"compact.* keep"):
        _ = net.blobs["l"].data


def test_compact_refuses_what_it_cannot_do():
    with pytest.raises(UnsupportedError, match="keep: the net has no blob 'z'"):
        make_net(IN_PLACE).compact(keep=["z"])
    with pytest.raises(UnsupportedError, match="compact: a net in TRAIN"):
        make_net(IN_PLACE, TRAIN).compact()
    net = make_net(IN_PLACE)
    net.compact()
    net.run_forward()
    with pytest.raises(UnsupportedError, match=r"backward, callbacks: compact"):
        net.run_backward()
    with pytest.raises(UnsupportedError, match="run as one since compact"):
        net.run_forward(1, 2)


def test_weights_that_a_sparse_kernel_packed_are_dropped():
    net = make_net(RESIDUAL)
    net.compact()
    net.run_forward()
    with pytest.raises(UnsupportedError, match="compact"):
        _ = net.params["Convolution_e"][0].data
    with pytest.raises(UnsupportedError, match=r"save weights before it, .* squeezed"):
        net.to_proto()
    assert net.params["Convolution_k"][0].data.shape == (4, 4, 3, 3)


def test_freed_memory_goes_back_once(monkeypatch):
    calls = []
    monkeypatch.setattr(machine, "give_back_memory", lambda: calls.append(1))
    net = make_net(RESIDUAL)
    net.compact()
    for _ in range(4):
        net.run_forward()
    assert calls == [1]


def test_weights_wait_for_the_kernel_that_packs_them():
    text = RESIDUAL
    net, other = make_net(text), make_net(text)
    other.share_with(net)
    wanted = run_one_by_one(other)["y"]
    alone = make_net(text)
    for name, blobs in alone.params.items():
        for blob, source in zip(blobs, net.params[name], strict=True):
            blob.set_data(source.const_data)
    alone.compact()
    alone.run_forward(last=0)
    assert alone.params["Convolution_e"][0].const_data.any()  # not needed yet
    alone.blobs["x"].set_data(other.blobs["x"].const_data)
    alone.run_forward()
    assert_close(alone.blobs["y"].const_data, wanted)


def test_weights_that_another_net_uses_too_are_not_dropped():
    net, other = make_net(RESIDUAL), make_net(RESIDUAL)
    other.share_with(net)
    net.compact()
    net.run_forward()
    wanted = run_one_by_one(other)["y"]
    assert_close(net.blobs["y"].const_data, wanted)


def test_memory_is_used_again():
    net = make_net(INPUT + conv("x", "a") + conv("a", "b") + conv("b", "c") + conv("c", "y"))
    net.compact()
    net.run_forward()
    arena = net.blobs["a"].data_tensor._arena
    assert len(arena._free) == 2  # one is read while the other is written


@pytest.mark.parametrize("text", [IN_PLACE, RESIDUAL], ids=["in place", "residual"])
def test_folded_weights_follow_every_change(text):
    net = make_net(text)
    net.run_forward()
    for name in ("Scale_a", "Scale_f", "BatchNorm_a", "BatchNorm_f"):
        if name in net.params:
            for blob in net.params[name][:2]:
                blob.data[...] *= 1.5
            net.run_forward()
            y = net.blobs["y"].const_data.copy()
            assert_close(y, run_one_by_one(net)["y"])


def test_backward_after_a_folded_pass_is_that_of_the_layers():
    text = IN_PLACE + "force_backward: true"
    net, other = make_net(text), make_net(text)
    other._plan = Plan(other._steps, TRAIN)
    for each in (net, other):
        each.run_forward()
        each.blobs["y"].set_diff(1)
        each.clear_param_diffs()
        each.run_backward()
    assert any(isinstance(unit.step, FusedStep) for unit in Plan(net._steps, TEST).units)
    assert_close(net.blobs["x"].const_diff, other.blobs["x"].const_diff)
    for name in net.params:
        for got, wanted in zip(net.params[name], other.params[name], strict=True):
            assert_close(got.const_diff, wanted.const_diff)


def test_part_of_a_chain_runs_layer_by_layer():
    net = make_net(IN_PLACE)
    net.run_forward(0, 2)
    normalized = net.blobs["a"].const_data.copy()
    other = make_net(IN_PLACE)
    for step in other._steps[:3]:
        step.forward()
    np.testing.assert_array_equal(normalized, other.blobs["a"].const_data)


def test_weights_are_not_dropped_before_every_kernel_has_them():
    net = make_net(RESIDUAL)
    wanted = run_one_by_one(net)["y"]
    net.compact()
    net.run_forward(0, 0)
    net.run_forward()
    assert_close(net.blobs["y"].const_data, wanted)


def test_a_deconvolution_leaves_what_follows_to_itself():
    text = INPUT + layer("Deconvolution", "x", "y", DECONVOLUTION) + layer("ReLU", "y", "y")
    net = make_net(text)
    wanted = run_one_by_one(net)["y"]
    net.run_forward()
    np.testing.assert_array_equal(net.blobs["y"].const_data, wanted)


def test_backward_sees_what_layers_after_a_chain_changed_in_place():
    leaky = layer("ReLU", "a", "a", "relu_param { negative_slope: 0.1 }")
    text = INPUT + conv("x", "a") + layer("BatchNorm", "a", "a") + leaky + conv("a", "y")
    nets = [make_net(text + "force_backward: true") for _ in range(2)]
    nets[1]._plan = Plan(nets[1]._steps, TRAIN)
    for net in nets:
        net.run_forward()
        net.blobs["y"].set_diff(1)
        net.run_backward()
    got, wanted = (net.params["Convolution_y"][0].const_diff for net in nets)
    assert_close(got, wanted)


@pytest.mark.parametrize("compact", [False, True])
def test_threads_that_share_a_net_take_turns(compact):
    net = make_net(RESIDUAL)
    wanted = run_one_by_one(net)["y"]
    if compact:
        net.compact()
    errors = []

    def run():
        try:
            for _ in range(30):
                net.run_forward()
        except Exception as error:  # whatever comes must not be lost in a thread
            errors.append(error)

    threads = [Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert_close(net.blobs["y"].const_data, wanted)
