"""Inputs that a net names by itself become Input layers."""

import pytest

from sscaffe.errors import PrototxtError
from sscaffe.prototxt import parse_net
from sscaffe.upgrade import inputs
from tests.test_upgrade import check


def test_input_dim_gives_four_sizes_to_each_input():
    check(
        inputs,
        'input: "data" input_dim: 2 input_dim: 3 input_dim: 4 input_dim: 5 '
        'input: "aux" input_dim: 1 input_dim: 1 input_dim: 1 input_dim: 7 layer { name: "p" }',
        'layer { name: "input" type: "Input" top: "data" top: "aux" input_param { '
        "shape { dim: 2 dim: 3 dim: 4 dim: 5 } shape { dim: 1 dim: 1 dim: 1 dim: 7 } } } "
        'layer { name: "p" }',
    )


def test_input_shape_may_have_any_number_of_axes():
    check(
        inputs,
        'input: "x" input_shape { dim: 2 dim: 3 }',
        'layer { name: "input" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }',
    )


def test_inputs_of_a_caffemodel_may_be_without_shapes():
    check(inputs, 'input: "x" layer { blobs { } }', "layer { blobs { } }")


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
        inputs.upgrade(parse_net(text))
