"""DepthwiseConvolution: a Convolution whose group is the number of channels."""

import numpy as np
import pytest

from sscaffe.errors import ShapeError
from sscaffe.layer import TRAIN
from sscaffe.testing import check_gradient
from tests.helpers import make_layer, run_layer
from tests.net.layers import input_layer, make_net

FILLERS = "weight_filler { type: 'uniform' min: -1 max: 1 } bias_filler { type: 'uniform' }"


def layer_of(layer_type, text, **options):
    settings = f"kernel_size: 3 {FILLERS} {text}"
    return make_layer(f"type: '{layer_type}' convolution_param {{ {settings} }}", **options)


@pytest.mark.parametrize("layer_type", ["DepthwiseConvolution", "ConvolutionDepthwise"])
@pytest.mark.parametrize("text", ["", "group: 3", "pad: 1 stride: 2"])
@pytest.mark.parametrize("outputs", [3, 6])
def test_it_is_a_convolution_in_groups(layer_type, text, outputs, rng):
    x = rng.standard_normal((2, 3, 6, 5))
    layer = layer_of(layer_type, f"num_output: {outputs} {text}")
    plain = layer_of(
        "Convolution", f"num_output: {outputs} {text.replace('group: 3', '')} group: 3"
    )
    np.testing.assert_array_equal(run_layer(layer, x), run_layer(plain, x))
    assert layer.blobs[0].shape == (outputs, 1, 3, 3)


def test_gradient(rng):
    layer = layer_of("DepthwiseConvolution", "num_output: 4", phase=TRAIN)
    check_gradient(layer, [rng.standard_normal((2, 2, 4, 4))])


def test_the_solver_knows_its_groups():
    net = make_net(
        input_layer("x", 1, 4, 5, 5)
        + 'layer { name: "c" type: "DepthwiseConvolution" bottom: "x" top: "c" '
        "convolution_param { num_output: 4 kernel_size: 3 } }"
    )
    assert [param.group for param in net.learnable_params] == [4, 1]


def test_refuses_outputs_that_the_channels_do_not_divide():
    with pytest.raises(ShapeError, match="group: 3 does not divide the 4 of num_output"):
        run_layer(layer_of("DepthwiseConvolution", "num_output: 4"), np.zeros((1, 3, 5, 5)))
