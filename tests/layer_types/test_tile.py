"""Tile: against numpy.tile, gradients by finite differences."""

import numpy as np
import pytest

from sscaffe.errors import ShapeError
from sscaffe.testing import check_gradient
from tests.helpers import make_layer, run_layer


def tile(text, dtype=np.float64):
    return make_layer(f"type: 'Tile' tile_param {{ {text} }}", dtype=dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_copies_stand_behind_each_other(dtype):
    y = run_layer(tile("tiles: 2", dtype), [[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_array_equal(y, [[1, 2, 1, 2], [3, 4, 3, 4]])


@pytest.mark.parametrize("tiles", [1, 3])
@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_value_and_gradient(axis, tiles, rng):
    x, counts = rng.standard_normal((2, 3, 4)), [1, 1, 1]
    counts[axis] = tiles
    text = f"axis: {axis} tiles: {tiles}"
    np.testing.assert_array_equal(run_layer(tile(text), x), np.tile(x, counts))
    check_gradient(tile(text), [x])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "tiles: expected 1 or more, got 0"),
        ("tiles: -1", "tiles: expected 1 or more, got -1"),
        ("tiles: 2 axis: 2", "axis: expected -2 to 1 for 2 axes, got 2"),
    ],
)
def test_rejects(text, message):
    with pytest.raises(ShapeError, match=message):
        run_layer(tile(text), np.zeros((2, 3)))
