"""--set: fields of a solver changed on the command line."""

import pytest

from sscaffe.cli.settings import apply_settings
from sscaffe.errors import PrototxtError
from sscaffe.prototxt import parse_solver


def changed(*settings, text="base_lr: 0.1 stepvalue: 5"):
    param = parse_solver(text)
    apply_settings(param, settings)
    return param


@pytest.mark.parametrize(
    ("setting", "field", "value"),
    [
        ("base_lr=-0.5", "base_lr", -0.5),
        (" max_iter = 7 ", "max_iter", 7),
        ("lr_policy=step", "lr_policy", "step"),
        ("lr_policy='step'", "lr_policy", "step"),
        ("snapshot_prefix=a=b/c d", "snapshot_prefix", "a=b/c d"),
        ("snapshot_prefix=", "snapshot_prefix", ""),
        ("test_initialization=false", "test_initialization", False),
        ("solver_mode=CPU", "solver_mode", 0),
        ("stepvalue=1,2,3", "stepvalue", [1, 2, 3]),
        ("weights=a.caffemodel,b", "weights", ["a.caffemodel", "b"]),
    ],
)
def test_a_field_is_replaced(setting, field, value):
    assert getattr(changed(setting), field) == value


def test_the_last_setting_counts():
    assert changed("max_iter=1", "max_iter=2").max_iter == 2


def test_a_message_is_written_as_in_a_prototxt():
    assert changed("train_state={ stage: 'a' }").train_state.stage == ["a"]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("base_lr", r"set: expected field=value, got 'base_lr'"),
        ("bas_lr=1", r"--set bas_lr=1:1:1: .*base_lr"),
        ("max_iter=many", r"--set max_iter=many:1:11: "),
        ("max_iter=1 base_lr: 2 nets: 3", r"nets"),
    ],
)
def test_a_bad_setting_is_refused(setting, message):
    with pytest.raises(PrototxtError, match=message):
        changed(setting)
