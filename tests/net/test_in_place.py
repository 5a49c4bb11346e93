"""A layer runs in place, its top being its bottom, only if its class says that it can."""

import numpy as np
import pytest

from sscaffe.errors import PrototxtError
from sscaffe.layer import REGISTRY, TRAIN, Layer
from sscaffe.random_numbers import RandomNumbers
from tests.helpers import away_from_zero, make_layer, run_backward
from tests.net.layers import input_layer, make_net


def reads_and_writes(layer_class: type[Layer]) -> bool:
    return layer_class.num_bottom != 0 and layer_class.num_top != 0


OWN = {
    name: layer_class
    for name, layer_class in sorted(REGISTRY.items())
    if layer_class.__module__.startswith("sscaffe.")
    and reads_and_writes(layer_class)
    # Whatever a Python layer is, it runs only where that is allowed.
    and name != "Python"
}
NO_GRADIENT = {"Threshold"}
IN_PLACE = [name for name, layer_class in OWN.items() if layer_class.may_run_in_place]
NOT_IN_PLACE = [name for name in OWN if name not in IN_PLACE]
# For those that would do nothing, or cannot do without.
SETTINGS = {
    "Bias": "bias_param { filler { type: 'gaussian' } }",
    "Clip": "clip_param { min: -0.5 max: 0.7 }",
    "Log": "log_param { shift: 10 }",
    "Power": "power_param { power: 3 scale: 0.5 shift: 5 }",
    "Scale": "scale_param { filler { type: 'gaussian' } }",
    "Sparsify": "sparsify_param { thre: 0.5 }",
}


def in_place(name, layer_class):
    """Write a net with a layer of this type, whose first top is its first bottom."""
    bottoms = layer_class.num_bottom or max(layer_class.min_bottom, 1)
    tops = layer_class.num_top or max(layer_class.min_top, 1)
    inputs = [f"x{i}" for i in range(bottoms)]
    names = [f'bottom: "{blob}"' for blob in inputs] + ['top: "x0"']
    names += [f'top: "y{i}"' for i in range(1, tops)]
    layer = f'layer {{ name: "l" type: "{name}" {" ".join(names)} }}'
    return "".join(input_layer(blob, 2, 3, 4, 4) for blob in inputs) + layer


@pytest.mark.parametrize("name", NOT_IN_PLACE)
def test_a_layer_that_cannot_is_refused(name):
    with pytest.raises(PrototxtError) as caught:
        make_net(in_place(name, OWN[name]))
    assert str(caught.value) == (
        f"top: expected a name that is not a bottom's, got 'x0'; layer 'l' ({name}) cannot compute "
        "in place, so use another name"
    )


@pytest.mark.parametrize("name", sorted({*IN_PLACE} - NO_GRADIENT))
def test_a_layer_that_can_gives_the_same_in_place(name, rng):
    x, top_diff = away_from_zero((2, 3, 4, 4), rng), rng.standard_normal((2, 3, 4, 4))
    apart, shared = (
        run_backward(
            make_layer(
                f"type: '{name}' {SETTINGS.get(name, '')}", phase=TRAIN, rng=RandomNumbers(3)
            ),
            x,
            top_diff,
            in_place=in_place,
        )
        for in_place in (False, True)
    )
    assert not np.array_equal(apart.top_data, x)
    np.testing.assert_allclose(shared.top_data, apart.top_data, rtol=1e-12)
    np.testing.assert_allclose(shared.bottom_diff, apart.bottom_diff, rtol=1e-12, atol=1e-14)
    assert len(shared.blob_diff) == len(apart.blob_diff)
    for got, expected in zip(shared.blob_diff, apart.blob_diff, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_layers_of_both_kinds_are_there():
    assert {"BatchNorm", "Dropout", "LRN", "PReLU", "ReLU", "Scale", "Softmax"} <= {*IN_PLACE}
    assert {"Concat", "Convolution", "Eltwise", "Flatten", "Pooling", "Split"} <= {*NOT_IN_PLACE}
