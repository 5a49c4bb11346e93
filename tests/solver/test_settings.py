"""What a SolverParameter may ask for, and what the log says when it asks in vain."""

import pytest

from sscaffe.device import cpu
from sscaffe.errors import PrototxtError, UnsupportedError
from sscaffe.solver import Solver
from sscaffe.solver.settings import checked, device_for
from tests.solver.nets import settings, small_net, small_solver


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("iter_size: 0", "iter_size: expected 1 or more, got 0"),
        ("average_loss: 0", "average_loss: expected 1 or more, got 0"),
        ("display: -1", "display: expected 0 or more, got -1"),
        ("prune_threshold: -0.5", "prune_threshold: expected 0 or more, got -0.5"),
        (
            'type: "Adam" solver_type: ADAM',
            'solver_type: type is set as well; write type: "Adam" only',
        ),
    ],
)
def test_values_that_cannot_be_are_refused(text, message):
    with pytest.raises(PrototxtError, match=message):
        checked(settings(text))


@pytest.mark.parametrize(
    "text",
    [
        "force_decay: 0.1",
        "max_threshold_factor: 4",
        "disabled_update: true",
        "warmup_iter: 10",
        "local_lr_auto: true",
        'eval_type: "detection"',
    ],
)
def test_what_would_be_ignored_is_refused(text):
    field = text.partition(":")[0]
    with pytest.raises(
        UnsupportedError, match=f"{field}: .* is not supported; leave the field out"
    ):
        checked(settings(text))


def test_fields_of_relatives_that_change_nothing_are_accepted():
    checked(settings('force_decay: 0 eval_type: "classification" layer_wise_reduce: false'))


@pytest.mark.parametrize(
    ("old", "name"), [("SGD", "SGD"), ("ADAGRAD", "AdaGrad"), ("ADAM", "Adam")]
)
def test_the_old_solver_type_is_understood(old, name):
    assert checked(settings(f"solver_type: {old}")).type == name


def test_what_is_given_is_left_as_it_is():
    param = settings("solver_type: ADAM")
    checked(param)
    assert not param.HasField("type")


@pytest.mark.parametrize("device", [None, cpu()])
def test_a_gpu_that_is_asked_for_is_refused(without_cupy, device):
    with pytest.raises(UnsupportedError, match=r"gpu 2: .*, or set solver_mode: CPU"):
        device_for(settings("solver_mode: GPU device_id: 2"), device)


def test_without_solver_mode_the_cpu_computes():
    param = settings()
    param.ClearField("solver_mode")
    assert device_for(param, None) is cpu()


@pytest.mark.parametrize(
    ("text", "conv", "message"),
    [
        ("block_group_decay: 0.1", "", "block_group_decay: 0.1 has no effect, as no param"),
        ("breadth_decay: 0.1", "", "breadth_decay: 0.1 has no effect, as no param"),
        ("kernel_shape_decay: 0.1", "", "kernel_shape_decay: 0.1 has no effect"),
        (
            "",
            "block_group_lasso { group: SHAPE }",
            "block_group_lasso: without effect on conv1 weight, as the solver's block_group_decay "
            "is 0; set it",
        ),
        ("", "breadth_decay_mult: 1", "breadth_decay_mult: without effect on conv1 weight"),
        (
            "",
            "kernel_shape_decay_mult: 1",
            "kernel_shape_decay_mult: without effect on conv1 weight",
        ),
    ],
)
def test_a_decay_without_a_taker_and_a_factor_without_a_decay_are_told(text, conv, message, caplog):
    small_solver(text, conv=conv)
    assert message in caplog.text


def test_decays_that_are_used_are_not_warned_of(caplog):
    text = "weight_decay: 1 block_group_decay: 1 breadth_decay: 1 kernel_shape_decay: 1"
    conv = "block_group_lasso { } breadth_decay_mult: 1 kernel_shape_decay_mult: 1"
    small_solver(text, conv=conv)
    assert not [r for r in caplog.records if r.levelname == "WARNING"]


def test_weight_decay_that_nothing_takes_is_told(caplog):
    net = small_net()
    for layer in (net.layer[1], net.layer[4]):
        del layer.param[:]
        for _ in range(2):
            layer.param.add(decay_mult=0)
    Solver(settings("weight_decay: 0.1", net))
    assert "weight_decay: 0.1 has no effect, as no param of the net has a decay_mult" in caplog.text


def test_the_groups_of_each_param_are_logged(caplog):
    caplog.set_level("INFO", "sscaffe")
    conv = "block_group_lasso { group: SHAPE block_decay_mult: 2 } breadth_decay_mult: 1"
    small_solver("block_group_decay: 0.25 breadth_decay: 0.5 weight_decay: 0.125", conv=conv)
    lines = [r.getMessage() for r in caplog.records if "lambda" in r.getMessage()]
    assert lines[:4] == [
        "conv1 weight (4 x 9): L2, 36 weights, lambda 0.125",
        "conv1 weight (4 x 9): group lasso by breadth_decay, 4 blocks of 1 x 9 (ydimen x xdimen), "
        "lambda 0.5",
        "conv1 weight (4 x 9): group lasso by shape, 18 blocks of 2 x 1 (ydimen x xdimen), "
        "lambda 0.5",
        "conv1 bias (4 x 1): L2, 4 weights, lambda 0.125",
    ]
    assert "weights of magnitude less than 0.0001 become 0 (prune_scope: WEIGHTS)" in caplog.text
