"""Group lasso by its names of 2015: read as what it is called today, and trained by."""

import logging

import numpy as np
import pytest

from sscaffe.errors import PrototxtError
from sscaffe.prototxt import parse_net, parse_solver, read_net, read_solver
from sscaffe.upgrade import upgrade_net, upgrade_solver
from tests.solver.nets import assert_same, small_solver, weights_of


def param_of(text, kind="Convolution"):
    """Return the params of an upgraded layer."""
    net = parse_net(f'layer {{ name: "a" type: "{kind}" {text} }}')
    upgraded = upgrade_net(net).layer[0].param
    assert all(not spec.HasField("group_decay_mult") for spec in upgraded)
    return upgraded


def test_files_are_read_under_the_names_of_today(tmp_path):
    net, solver = tmp_path / "net.prototxt", tmp_path / "solver.prototxt"
    net.write_text('layer { type: "Convolution" param { lr_mult: 3 group_decay_mult: 2 } }')
    today = 'layer { type: "Convolution" param { lr_mult: 3 kernel_shape_decay_mult: 2 } }'
    assert read_net(net) == parse_net(today)
    solver.write_text("group_weight_decay: 0.25 base_lr: 1")
    assert read_solver(solver) == parse_solver("kernel_shape_decay: 0.25 base_lr: 1")


def test_it_trains_as_kernel_shape_decay_does():
    old = small_solver("group_weight_decay: 0.02", conv="group_decay_mult: 2")
    new = small_solver("kernel_shape_decay: 0.02", conv="kernel_shape_decay_mult: 2")
    plain = small_solver()
    for solver in (old, new, plain):
        solver.step(3)
    assert_same(weights_of(old), weights_of(new))
    conv1 = ("conv1", 0)
    assert not np.array_equal(weights_of(old)[conv1], weights_of(plain)[conv1])


@pytest.mark.parametrize(
    ("text", "kind", "index"),
    [
        ("param { group_decay_mult: 1 }", "InnerProduct", 0),
        ("param { } param { group_decay_mult: 1 }", "Convolution", 1),
    ],
)
def test_what_did_not_obey_it_goes_without_it(text, kind, index, caplog):
    caplog.set_level(logging.WARNING, "sscaffe")
    assert param_of(text, kind)[index].kernel_shape_decay_mult == 0
    assert caplog.messages == ["group_decay_mult of layer 'a': only convolutions obeyed it"]


def test_a_value_of_zero_is_no_news(caplog):
    caplog.set_level(logging.WARNING, "sscaffe")
    param_of("param { group_decay_mult: 0 }", "InnerProduct")
    assert not caplog.messages


def test_both_names_at_once_are_refused():
    both = "param { group_decay_mult: 1 kernel_shape_decay_mult: 1 }"
    with pytest.raises(PrototxtError, match="group_decay_mult: layer 'a' sets kernel_shape_decay"):
        param_of(both)
    with pytest.raises(PrototxtError, match="group_weight_decay: kernel_shape_decay, its name of"):
        upgrade_solver(parse_solver("group_weight_decay: 1 kernel_shape_decay: 1"))
