"""Inputs in the forms of old become an Input layer."""

import pytest

from sscaffe.errors import PrototxtError
from sscaffe.net.inputs import inputs_to_layer
from sscaffe.prototxt import parse_net


def test_input_dim_gives_four_sizes_to_each_input():
    net = parse_net(
        'input: "data" input_dim: 2 input_dim: 3 input_dim: 4 input_dim: 5 '
        'input: "aux" input_dim: 1 input_dim: 1 input_dim: 1 input_dim: 7 layer { name: "p" }'
    )
    upgraded = inputs_to_layer(net)
    first = upgraded.layer[0]
    assert (first.name, first.type, list(first.top)) == ("input", "Input", ["data", "aux"])
    assert [list(shape.dim) for shape in first.input_param.shape] == [[2, 3, 4, 5], [1, 1, 1, 7]]
    assert upgraded.layer[1].name == "p"
    assert not upgraded.input
    assert not upgraded.input_dim
    assert len(net.layer) == 1


def test_input_shape_may_have_any_number_of_axes():
    upgraded = inputs_to_layer(parse_net('input: "x" input_shape { dim: 2 dim: 3 }'))
    assert [list(shape.dim) for shape in upgraded.layer[0].input_param.shape] == [[2, 3]]


def test_a_net_without_old_inputs_is_left_alone():
    net = parse_net('layer { name: "a" }')
    assert inputs_to_layer(net) is net


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'input: "x" input_dim: 2',
            "input_dim: expected 4 sizes, 4 for each of the 1 inputs, got 1",
        ),
        ('input: "x"', "input_dim: expected 4 sizes, 4 for each of the 1 inputs, got 0"),
        (
            'input: "x" input: "y" input_shape { dim: 2 }',
            "input_shape: expected one for each of the 2 inputs, got 1",
        ),
        (
            'input: "x" input_shape { dim: 2 } input_dim: 3',
            "input_shape: the net has input_dim too",
        ),
    ],
)
def test_shapes_that_do_not_fit_are_refused(text, message):
    with pytest.raises(PrototxtError, match=message):
        inputs_to_layer(parse_net(text))
