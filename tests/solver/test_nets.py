"""Phase, level and stages of a solver's nets: its role, then the net's own, then the solver's."""

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
