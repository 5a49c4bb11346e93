"""``debug_info``: which blobs and parameters are logged, and what of them."""

import logging

import pytest

from sscaffe.layer import TEST, TRAIN
from sscaffe.solver import Solver
from tests.net.layers import make_net
from tests.solver.nets import settings

NET = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
  param { name: "w" lr_mult: 2 } param { lr_mult: 0 }
  inner_product_param { num_output: 2 weight_filler { value: 3 } bias_filler { value: -1 } } }
layer { name: "r" type: "ReLU" bottom: "y" top: "y" }
layer { name: "sum" type: "Reduction" bottom: "y" top: "loss" loss_weight: 0.5 }
"""


@pytest.fixture
def told(caplog):
    """Return a function that returns the lines logged since it was last called."""
    caplog.set_level(logging.INFO, "sscaffe")

    def take():
        lines = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return [line.strip() for line in lines if line.startswith("    [")]

    return take


@pytest.mark.parametrize("phase", [TRAIN, TEST])
def test_mean_magnitudes_by_hand(phase, told):
    net = make_net("debug_info: true" + NET, phase)
    net.blobs["x"].set_data([[1, -2]])
    net.run_forward()
    assert told() == [
        "[Forward] Layer in, top blob x data: 1.5",
        "[Forward] Layer ip, top blob y data: 4",
        "[Forward] Layer ip, param blob w data: 3",
        "[Forward] Layer ip, param blob 1 data: 1",
        "[Forward] Layer r, top blob y data: 0",
        "[Forward] Layer sum, top blob loss data: 0",
    ]
    net.blobs["x"].set_data([[2, 1]])
    net.run_forward()
    told()
    net.clear_param_diffs()
    net.run_backward()
    assert told() == [
        "[Backward] Layer sum, bottom blob y diff: 0.5",
        "[Backward] Layer r, bottom blob y diff: 0.5",
        "[Backward] Layer ip, param blob w diff: 0.75",
        # Weights: four times 3, and twice -1; gradients: twice 1 and 0.5, of biases that stay none.
        "[Backward] All net params (data, diff): L1 norm = (14, 3); L2 norm = (6.16441, 1.58114)",
    ]
    net.run_backward(first=2)
    assert not any("All net params" in line for line in told())


def test_nothing_is_logged_by_default(told):
    net = make_net(NET)
    net.run_forward()
    net.run_backward()
    assert not told()


def test_a_solver_logs_when_it_displays_and_in_every_test(told):
    solver = Solver(settings("debug_info: true display: 2 max_iter: 3 test_iter: 1 "
                             "test_interval: 2"))  # fmt: skip
    assert all(net.debug_info for net in solver.test_nets)
    told()
    shown = []
    for _ in range(3):
        solver.step(1)
        shown.append(any(line.startswith("[Backward]") for line in told()))
    assert shown == [True, False, True]
