"""A compact net is repeated by a tape, which ends with what it was made for."""

import numpy as np
import pytest

from sscaffe import _core
from sscaffe.errors import UnsupportedError
from tests.net.test_plan import (
    DENSE,
    INPUT,
    RESIDUAL,
    assert_close,
    conv,
    layer,
    make_net,
    run_one_by_one,
)


def replayed(net):
    """Run a compact net until it goes by its tape."""
    net.compact()
    for _ in range(4):
        net.blobs["x"].set_data(net.blobs["x"].const_data.copy())
        net.run_forward()
    assert net._ways.replay._tape is not None
    return net


def test_a_tape_gives_what_the_layers_give_for_every_input():
    net, other = replayed(make_net(RESIDUAL)), make_net(RESIDUAL)
    net.layers[1].forward = None  # it is not asked any more
    for seed in range(3):
        x = np.random.default_rng(seed).normal(size=net.blobs["x"].shape)
        for each in (net, other):
            each.blobs["x"].set_data(x)
        net.run_forward()
        assert_close(net.blobs["y"].const_data, run_one_by_one(other)["y"])


ROWS_OF_IMAGES = {
    "axis 0": layer("InnerProduct", "a", "y", "inner_product_param { axis: 0 %s }"),
    "reshape": layer("Reshape", "a", "r", "reshape_param { shape { dim: 1 dim: -1 } }")
    + layer("InnerProduct", "r", "y", "inner_product_param { %s }"),
}


@pytest.mark.parametrize("rows", ROWS_OF_IMAGES)
@pytest.mark.parametrize("channels", [20, 32])
def test_an_inner_product_of_several_images_in_a_row(rows, channels):
    filled = "num_output: 33 weight_filler { type: 'gaussian' std: 0.1 }"
    net = make_net(INPUT + conv("x", "a", channels) + ROWS_OF_IMAGES[rows] % filled)
    net.compact(keep=["a"])
    for _ in range(4):
        net.run_forward()
        weights, bias = (blob.const_data for blob in net.params["InnerProduct_y"])
        expected = weights.astype(float) @ net.blobs["a"].const_data.reshape(-1) + bias
        assert_close(net.blobs["y"].const_data.reshape(-1), expected)


@pytest.mark.parametrize("kind", ["Scale", "LRN"])
def test_a_kept_blob_follows_a_tape_after_a_part_of_the_net_ran(kind):
    text = INPUT + conv("x", "a", 16)
    text += layer("Pooling", "a", "p", "pooling_param { kernel_size: 2 stride: 2 }")
    text += layer(kind, "p", "p") + conv("p", "y", 16)
    net, other = make_net(text), make_net(text)
    net.compact(keep=["p"])
    for _ in range(4):
        net.run_forward()
    net.forward(end=f"{kind}_p")
    for seed in range(3):
        x = np.random.default_rng(seed).normal(size=net.blobs["x"].shape)
        for each in (net, other):
            each.blobs["x"].set_data(x)
        net.run_forward()
        assert_close(net.blobs["p"].const_data, run_one_by_one(other)["p"])


def test_arrays_that_are_held_follow_a_tape():
    net, other = replayed(make_net(RESIDUAL)), make_net(RESIDUAL)
    x, y = net.blobs["x"].data, net.blobs["y"].data
    for factor in (2, 3):
        x[...] *= factor
        other.blobs["x"].data[...] *= factor
        net.run_forward()
        assert_close(y, run_one_by_one(other)["y"])


@pytest.mark.parametrize("change", ["weights", "held weights", "shape", "load"])
def test_a_tape_ends_with_what_it_was_made_for(change, tmp_path):
    # Weights that a sparse kernel alone has cannot be folded anew.
    text = RESIDUAL if change == "shape" else RESIDUAL.replace("conv_mode: LOWERED_CCNMM", "")
    net, other = replayed(make_net(text)), make_net(text)
    if change == "load":
        other.params["Convolution_k"][0].data[...] *= 2
        other.save(tmp_path / "w.caffemodel")
        net.copy_from(tmp_path / "w.caffemodel")
    for each in (net, other):
        if change == "weights":
            each.params["Convolution_k"][0].data[...] *= 2
        elif change == "held weights":
            held = each.params["Convolution_k"][0].data
            each.run_forward()
            held[...] *= 2
        elif change == "shape":
            each.blobs["x"].reshape(1, 8, 9, 7)
            each.blobs["x"].set_data(1)
    for _ in range(5):
        net.run_forward()
        assert_close(net.blobs["y"].const_data, run_one_by_one(other)["y"])


def test_what_was_folded_for_good_cannot_change():
    net = replayed(make_net(RESIDUAL))
    net.params["Scale_c"][1].data[...] += 1
    with pytest.raises(UnsupportedError, match="compact"):
        net.run_forward()


def test_a_tape_ends_where_an_input_of_another_shape_kept_its_memory():
    net, other = replayed(make_net(DENSE)), make_net(DENSE)
    x = np.random.default_rng(5).normal(size=(2, 8, 7, 9))
    for each in (net, other):
        each.blobs["x"].reshape(*x.shape)
        each.blobs["x"].set_data(x)
    net.run_forward()
    wanted = run_one_by_one(other)["y"]
    assert net.blobs["y"].shape == wanted.shape
    assert_close(net.blobs["y"].const_data, wanted)


def test_a_tape_ends_with_weights_of_another_net():
    net, other = make_net(DENSE), make_net(DENSE)
    for each, low in ((net, 0.1), (other, 0.5)):  # as often written as those of the other one
        for blob in (blob for blobs in each.params.values() for blob in blobs):
            blob.set_data(np.random.default_rng(7).uniform(low, 1, blob.shape))
    replayed(net).share_with(other)
    other.blobs["x"].set_data(net.blobs["x"].const_data)
    net.run_forward()
    assert_close(net.blobs["y"].const_data, run_one_by_one(other)["y"])


def test_what_is_written_to_an_array_that_was_held_counts_after_a_tape():
    largest = layer("Eltwise", "b x", "y", "eltwise_param { operation: MAX }")
    text = INPUT + conv("x", "a", 16) + conv("a", "b") + largest
    net, other = replayed(make_net(text)), make_net(text)
    x = net.blobs["x"].data
    net.run_forward()
    x[...] = 0.25
    del x
    other.blobs["x"].set_data(0.25)
    net.run_forward(0, len(net.layers) - 1)  # not by the tape
    assert_close(net.blobs["y"].const_data, run_one_by_one(other)["y"])


@pytest.mark.parametrize("threads", [1, 3])
def test_a_tape_runs_on_any_number_of_threads(threads):
    net, other = replayed(make_net(RESIDUAL)), make_net(RESIDUAL)
    before = _core.get_num_threads()
    _core.set_num_threads(threads)
    for each in (net, other):
        each.blobs["x"].set_data(0.5)
    net.run_forward()
    _core.set_num_threads(before)
    assert net._ways.replay._tape is not None
    assert_close(net.blobs["y"].const_data, run_one_by_one(other)["y"])


def test_forward_of_pycaffe_goes_by_the_tape_too():
    net, other = replayed(make_net(RESIDUAL)), make_net(RESIDUAL)
    for factor in (2, 3):
        for each in (net, other):
            each.blobs["x"].set_data(factor)
        assert_close(net.forward()["y"], run_one_by_one(other)["y"])
    assert net._ways.replay._tape is not None
