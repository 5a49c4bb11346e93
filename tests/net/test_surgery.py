"""Net surgery: whatever a program does to an array of weights is seen by the next forward pass."""

import numpy as np
import pytest

from sscaffe.layer import TEST
from sscaffe.net import Net
from sscaffe.prototxt import parse_net

MODES = ["", "LOWERED_GEMM", "LOWERED_CSRMM", "LOWERED_CCNMM", "DIRECT_SCONV", "DIRECT_DCONV"]


def net_of(mode, sparse_product=False):
    conv_mode = f"conv_mode: {mode}" if mode else ""
    gemm_mode = "gemm_mode: SPMDM" if sparse_product else ""
    net = Net(
        parse_net(f"""
layer {{ name: "x" type: "Input" top: "x"
  input_param {{ shape {{ dim: 2 dim: 3 dim: 8 dim: 8 }} }} }}
layer {{ name: "c" type: "Convolution" bottom: "x" top: "c"
  convolution_param {{ num_output: 4 kernel_size: 3 {conv_mode}
    weight_filler {{ type: "xavier" }} bias_filler {{ type: "constant" value: 2 }} }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "c" top: "ip"
  inner_product_param {{ num_output: 5 {gemm_mode}
    weight_filler {{ type: "xavier" }} bias_filler {{ type: "constant" value: 7 }} }} }}
"""),
        TEST,
    )
    net.blobs["x"].set_data(np.random.default_rng(1).standard_normal((2, 3, 8, 8)))
    return net


@pytest.mark.parametrize("hold", [True, False], ids=["held", "dropped"])
@pytest.mark.parametrize("mode", MODES)
def test_a_convolution_sees_an_array_written_between_two_passes(mode, hold):
    net = net_of(mode)
    weights = net.params["c"][0].data
    net.run_forward()
    assert (net.blobs["c"].const_data != 2).any()
    weights[...] = 0
    if not hold:
        del weights
    net.run_forward()
    assert (net.blobs["c"].const_data == 2).all()


@pytest.mark.parametrize("hold", [True, False], ids=["held", "dropped"])
@pytest.mark.parametrize("sparse", [True, False])
def test_an_inner_product_sees_an_array_written_between_two_passes(sparse, hold):
    net = net_of("", sparse)
    weights = net.params["ip"][0].data
    net.run_forward()
    weights[...] = 0
    if not hold:
        del weights
    net.run_forward()
    assert (net.blobs["ip"].const_data == 7).all()


@pytest.mark.parametrize("mode", MODES)
def test_an_array_that_is_held_shows_each_new_result(mode):
    net = net_of(mode)
    net.run_forward()
    shown = net.blobs["c"].data
    before = shown.copy()
    net.blobs["x"].set_data(1)
    net.run_forward()
    assert (shown != before).any()
    np.testing.assert_array_equal(shown, net.blobs["c"].const_data)
