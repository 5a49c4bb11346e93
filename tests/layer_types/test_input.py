"""Input: shapes, and values that stay."""

import numpy as np
import pytest

from sscaffe.blob import Blob
from sscaffe.errors import ShapeError
from tests.helpers import make_layer


def set_up(text, tops):
    layer, top = make_layer(text), [Blob() for _ in range(tops)]
    layer.setup([], top)
    layer.reshape([], top)
    return layer, top


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ("shape { dim: [2, 3] }", [(2, 3), (2, 3)]),
        ("shape { dim: [2, 3] } shape { dim: 4 }", [(2, 3), (4,)]),
        ("shape { } shape { dim: [0, 1] }", [(), (0, 1)]),
        ("", [(), ()]),
    ],
)
def test_shapes(shapes, expected):
    _, top = set_up(f"type: 'Input' input_param {{ {shapes} }}", 2)
    assert [blob.shape for blob in top] == expected


def test_keeps_what_the_program_sets():
    layer, top = set_up("type: 'Input' input_param { shape { dim: 2 } }", 1)
    top[0].reshape(3)
    top[0].set_data([1, 2, 3])
    layer.reshape([], top)
    layer.forward([], top)
    np.testing.assert_array_equal(top[0].host_data, [1, 2, 3])


def test_refuses_another_number_of_shapes():
    with pytest.raises(ShapeError, match=r"shape: expected none, 1 or one .* the 3 tops, got 2"):
        set_up("type: 'Input' input_param { shape { dim: 1 } shape { dim: 2 } }", 3)


def test_refuses_a_negative_size():
    with pytest.raises(ShapeError, match="expected sizes of 0 or more"):
        set_up("type: 'Input' input_param { shape { dim: -1 } }", 1)
