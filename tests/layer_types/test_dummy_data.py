"""DummyData: shapes, constants set once, random numbers set anew."""

import numpy as np
import pytest

from sscaffe.blob import Blob
from sscaffe.errors import ShapeError
from sscaffe.random_numbers import RandomNumbers
from tests.helpers import make_layer


def set_up(param, tops=1, seed=1):
    layer = make_layer(
        f"type: 'DummyData' dummy_data_param {{ {param} }}",
        dtype=np.float32,
        rng=RandomNumbers(seed),
    )
    top = [Blob() for _ in range(tops)]
    layer.setup([], top)
    layer.reshape([], top)
    return layer, top


def test_a_filler_for_each_top():
    fillers = "data_filler { value: 1.5 } data_filler { type: 'constant' value: -2 }"
    layer, top = set_up(f"shape {{ dim: [2, 3] }} shape {{ dim: 4 }} {fillers}", 2)
    layer.forward([], top)
    np.testing.assert_array_equal(top[0].host_data, np.full((2, 3), 1.5))
    np.testing.assert_array_equal(top[1].host_data, np.full(4, -2))


def test_one_filler_for_all_and_zero_for_none():
    _, top = set_up("shape { dim: 2 } data_filler { value: 3 }", 2)
    assert [blob.host_data.tolist() for blob in top] == [[3, 3], [3, 3]]
    _, top = set_up("shape { dim: 2 }", 2)
    assert [blob.host_data.tolist() for blob in top] == [[0, 0], [0, 0]]


def test_sizes_in_the_old_form():
    _, top = set_up("num: 2 num: 5 channels: 3 height: 1 width: 4 width: 7", 2)
    assert [blob.shape for blob in top] == [(2, 3, 1, 4), (5, 3, 1, 7)]


def test_constants_are_set_once():
    layer, top = set_up("shape { dim: 2 } data_filler { value: 3 }")
    top[0].set_data(8)
    layer.forward([], top)
    assert top[0].host_data.tolist() == [8, 8]


def test_random_numbers_come_with_each_forward_pass():
    layer, top = set_up("shape { dim: 5 } data_filler { type: 'uniform' min: 1 max: 2 }", seed=9)
    assert not top[0].host_data.any()
    rng = RandomNumbers(9)
    for _ in range(2):
        layer.forward([], top)
        np.testing.assert_array_equal(top[0].host_data, rng.uniform(1, 2, 5))


@pytest.mark.parametrize(
    ("param", "message"),
    [
        ("shape { dim: 1 } data_filler { } data_filler { }", "data_filler: .* the 3 tops, got 2"),
        ("shape { dim: 1 } shape { dim: 1 }", "shape: expected 1 or one .* the 3 tops, got 2"),
        ("num: 1 num: 1 channels: 1 height: 1 width: 1", "num: expected 1 or one .*, got 2"),
        ("num: 1 channels: 1 width: 1", "height: expected 1 or one for each .*, got 0"),
        ("", "num: expected 1 or one for each of the 3 tops, got 0"),
        ("shape { dim: 1 } num: 1", "shape: expected either shape or num, channels, .*, got both"),
    ],
)
def test_refuses(param, message):
    with pytest.raises(ShapeError, match=message):
        set_up(param, 3)
