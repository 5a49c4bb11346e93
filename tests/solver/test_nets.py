"""Phase, level and stages of a solver's nets: its role, then the net's own, then the solver's."""

import logging

from sscaffe import prototxt
from sscaffe.layer import TEST, TRAIN
from sscaffe.solver import Solver
from tests.solver.nets import NET, settings

RULES = """
layer { name: "deep" type: "Silence" bottom: "ip1" include { min_level: 2 } }
layer { name: "test" type: "Silence" bottom: "ip1" include { phase: TEST } }
"""


def nets(state, net=""):
    """Return a solver's training net and its test net."""
    param = prototxt.parse_net(net + NET % {"conv": "", "mode": ""} + RULES)
    solver = Solver(settings(f"test_iter: 1 test_interval: 1 {state}", param))
    return solver.net, solver.test_nets[0]


def extra(net):
    return {"deep", "test"} & set(net.layer_names)


def test_each_net_has_its_phase():
    train, test = nets("")
    assert (train.phase, test.phase) == (TRAIN, TEST)
    assert (extra(train), extra(test)) == (set(), {"test"})


def test_a_test_net_may_run_as_in_training():
    train, test = nets("test_state { phase: TRAIN }")
    assert (train.phase, test.phase) == (TRAIN, TRAIN)
    assert all(layer.phase == TRAIN for layer in test.layers)
    assert extra(test) == set()


def test_the_phase_that_the_net_sets_goes_before_its_role():
    train, test = nets("", net="state { phase: TRAIN } ")
    assert (train.phase, test.phase) == (TRAIN, TRAIN)


def test_the_phase_that_the_solver_sets_goes_before_that_of_the_net():
    train, test = nets("test_state { phase: TEST }", net="state { phase: TRAIN } ")
    assert (train.phase, test.phase) == (TRAIN, TEST)


def test_the_level_that_the_solver_sets_goes_before_that_of_the_net_even_if_0():
    train, test = nets("test_state { level: 0 }", net="state { level: 2 } ")
    assert (extra(train), extra(test)) == ({"deep"}, {"test"})


def test_the_level_of_the_net_stands_where_the_solver_sets_none():
    _, test = nets('test_state { stage: "s" }', net='state { level: 2 stage: "s" } ')
    assert extra(test) == {"deep", "test"}
    assert list(test.param.state.stage) == ["s"]


def test_the_state_of_one_net_is_not_that_of_another():
    train, test = nets("train_state { level: 2 }")
    assert (extra(train), extra(test)) == ({"deep"}, {"test"})


def test_a_net_that_learns_nothing_is_warned_of(caplog):
    net = prototxt.parse_net("""
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param { num_output: 2 } }
""")
    Solver(settings("", net))
    assert "net_param: no top has a loss weight, so nothing is learned" in caplog.text
    caplog.clear()
    nets("")
    assert "no top has a loss weight" not in caplog.text


OLD_NET = """{ name: "%s"
  layers { name: "d" type: DUMMY_DATA top: "x" top: "y" dummy_data_param {
    num: 2 channels: 3 height: 1 width: 1 data_filler { value: 1 }
    num: 2 channels: 2 height: 1 width: 1 data_filler { value: 0 } } }
  layers { name: "ip" type: INNER_PRODUCT bottom: "x" top: "ip" blobs_lr: 1 blobs_lr: 0
    inner_product_param { num_output: 2 weight_filler { value: 1 } } }
  layers { name: "flat" type: FLATTEN bottom: "y" top: "flat" }
  layers { name: "loss" type: EUCLIDEAN_LOSS bottom: "ip" bottom: "flat" top: "loss" }
}"""


def test_nets_of_2014_may_stand_in_the_solver(caplog):
    """As in the consolidated solver that came with Caffe: a net and two test nets in one file."""
    caplog.set_level(logging.INFO, "sscaffe")
    param = prototxt.parse_solver(
        f"train_net_param {OLD_NET % 'train'} test_iter: 1 test_net_param {OLD_NET % 'a'} "
        f"test_iter: 2 test_net_param {OLD_NET % 'b'} test_interval: 1 base_lr: 0.5 "
        "lr_policy: 'fixed' solver_type: NESTEROV"
    )
    with Solver(param) as solver:
        assert [net.name for net in (solver.net, *solver.test_nets)] == ["train", "a", "b"]
        assert solver.param.type == "Nesterov"
        solver.step(1)
        # Both outputs of both rows are 3 instead of 0: 4 * 3^2 / (2 * 2).
        assert [result["loss"] for result in solver.test_results] == [9, 9]
    told = [record.getMessage() for record in caplog.records]
    line = "Attempting to upgrade input file specified using deprecated V1LayerParameter: the net"
    assert told.count(line) == 3
