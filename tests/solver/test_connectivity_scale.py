"""connectivity_mode of Scale: factors that SSL made zero stay zero in fine-tuning."""

import logging

import numpy as np
import pytest

from sscaffe.prototxt import parse_net
from sscaffe.solver import Solver
from tests.solver.nets import settings

NET = """
layer {{ name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param {{
    shape {{ dim: 4 dim: 2 dim: 5 dim: 5 }} shape {{ dim: 4 }}
    data_filler {{ type: "gaussian" std: 1 }} data_filler {{ type: "constant" value: 1 }} }} }}
layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv" {conv}
  convolution_param {{ num_output: 2 kernel_size: 3 pad: 1 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }}
layer {{ name: "scale" type: "Scale" bottom: "conv" {more} top: "{top}" {mode} param {{ {lasso} }}
  scale_param {{ bias_term: true {shape} }} }}
layer {{ name: "relu" type: "ReLU" bottom: "{top}" top: "{top}" }}
layer {{ name: "sum" type: "Eltwise" bottom: "{top}" bottom: "data" top: "sum" }}
layer {{ name: "ip" type: "InnerProduct" bottom: "sum" top: "ip"
  inner_product_param {{ num_output: 3 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }}
"""
MODES = ["ELTWISE", "GRPWISE"]


def solver(text="momentum: 0.9 weight_decay: 0.1", mode="GRPWISE", **words):
    """Return one of the net; in place, BatchNorm, Scale and ReLU train as one step."""
    mode = f"connectivity_mode: DISCONNECTED_{mode}" if mode else ""
    words = {"conv": "", "more": "", "lasso": "", "shape": "", "top": "conv"} | words
    return Solver(settings(text, parse_net(NET.format(mode=mode, **words))))


def factors(one):
    return one.net.params["scale"][0]


@pytest.mark.parametrize("top", ["conv", "apart"])
@pytest.mark.parametrize("mode", MODES)
def test_factors_of_zero_stay_zero(mode, top):
    one = solver(mode=mode, top=top)
    factors(one).data[...] = [0, 0.5]
    one.net.params["scale"][1].data[...] = 0.3  # or the rectifier would let no gradient through
    one.step(4)
    assert factors(one).const_data[0] == 0
    assert factors(one).const_data[1] not in (0, 0.5)
    assert (one.net.params["scale"][1].const_data != np.float32(0.3)).all()


@pytest.mark.parametrize("top", ["conv", "apart"])
def test_they_come_back_without_a_mode(top):
    one = solver(mode="", top=top)
    factors(one).data[...] = [0, 0.5]
    one.net.params["scale"][1].data[...] = 0.3
    one.step(4)
    assert factors(one).const_data.all()


def test_small_factors_are_not_zero_unless_all_blobs_are_pruned():
    one = solver()
    factors(one).data[...] = [0, 1e-5]
    one.step(1)
    mask = next(p for p in one.net.learnable_params if p.layer_name == "scale").mask
    assert mask.tolist() == [False, True]
    one = solver("prune_scope: ALL")
    factors(one).data[...] = [0.5, 1e-5]
    one.step(1)
    assert factors(one).const_data[1] == 0


@pytest.mark.parametrize("mode", MODES)
def test_a_single_factor(mode):
    one = solver(mode=mode, shape="axis: 0 num_axes: 0")
    factors(one).data[...] = 0
    one.step(3)
    assert factors(one).shape == ()
    assert factors(one).const_data == 0


def test_factors_that_another_layer_makes_have_no_mode(caplog):
    one = solver(more='bottom: "data"', shape="axis: 0", top="apart")
    one.net.params["scale"][0].data[...] = 0  # its bias
    one.step(2)
    assert "connectivity_mode: DISCONNECTED_GRPWISE of layer scale has no effect" in caplog.text
    assert one.net.params["scale"][0].const_data.any()


def test_masks_go_on_from_a_snapshot(tmp_path):
    one = solver(f'momentum: 0.9 snapshot_prefix: "{tmp_path}/a"')
    factors(one).data[...] = [0, 0.5]
    one.step(2)
    state = one.snapshot()
    other = solver(f'momentum: 0.9 snapshot_prefix: "{tmp_path}/b"')
    other.restore(state)
    for each in (one, other):
        each.step(3)
    assert factors(other).const_data[0] == 0
    np.testing.assert_array_equal(factors(one).const_data, factors(other).const_data)


def test_a_layer_without_zeros_is_no_reason_to_warn_where_others_have_some(caplog):
    caplog.set_level(logging.INFO, "sscaffe")
    one = solver(conv="connectivity_mode: DISCONNECTED_GRPWISE")
    factors(one).data[0] = 0
    one.step(1)
    assert "freezes nothing" not in caplog.text
    assert "scale weight: 1 weights (50.0%) are frozen by DISCONNECTED_GRPWISE" in caplog.text
    assert "conv weight: 0 weights (0.0%) are frozen by DISCONNECTED_GRPWISE" in caplog.text


def test_a_lasso_of_factors_is_logged_with_their_zeros(caplog):
    caplog.set_level(logging.INFO, "sscaffe")
    text = "display: 1 block_group_decay: 100 regularization_step: PROXIMAL"
    solver(text, mode="", lasso="block_group_lasso { group: DEPTH }").step(2)
    line = "Sparsity scale weight: elem 0.0% col 0.0% row 0.0% block(1,2) 0.0%"
    assert line in caplog.text
    assert line.replace("0.0%", "100.0%") in caplog.text
    caplog.clear()
    solver("display: 1", mode="").step(2)
    assert "Sparsity scale" not in caplog.text
    assert "Sparsity conv" in caplog.text


@pytest.mark.parametrize("mode", MODES)
def test_each_of_many_axes_is_a_factor_of_its_own(mode):
    one = solver(mode=mode, shape="axis: 1 num_axes: 2")
    factors(one).data[...] = 0.5
    factors(one).data[0] = 0  # a row
    factors(one).data[:, 1] = 0  # and a column
    factors(one).data[1, 1:3] = 5e-5, 0
    one.step(2)
    assert not factors(one).const_data[0].any()
    assert factors(one).const_data[1, 2] == 0
    assert factors(one).const_data[1, [0, 1, 3]].all()  # no threshold, and no whole columns
