"""ShuffleChannel: an order by hand, gradients by finite differences."""

import numpy as np
import pytest

from sscaffe.errors import ShapeError
from sscaffe.testing import check_gradient
from tests.helpers import make_layer, run_layer


def shuffle(group, dtype=np.float64):
    return make_layer(
        f"type: 'ShuffleChannel' shuffle_channel_param {{ group: {group} }}", dtype=dtype
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_takes_one_channel_of_each_group_in_turn(dtype):
    x = np.arange(6.0)[None, :, None] * np.ones((1, 6, 2))
    for group, order in ((1, [0, 1, 2, 3, 4, 5]), (2, [0, 3, 1, 4, 2, 5]), (3, [0, 2, 4, 1, 3, 5])):
        y = run_layer(shuffle(group, dtype), x)
        np.testing.assert_array_equal(y, x[:, order])


@pytest.mark.parametrize("group", [1, 2, 3, 6])
@pytest.mark.parametrize("shape", [(2, 6), (2, 6, 2, 3)], ids=str)
def test_gradient(shape, group, rng):
    check_gradient(shuffle(group), [rng.standard_normal(shape)])


def test_rejects():
    with pytest.raises(ShapeError, match=r"group: expected a divisor of the 6 channels .* got 4"):
        run_layer(shuffle(4), np.zeros((2, 6, 1, 1)))
    with pytest.raises(ShapeError, match=r"group: expected a divisor of the 6 channels .* got 0"):
        run_layer(shuffle(0), np.zeros((2, 6, 1, 1)))
    with pytest.raises(ShapeError, match=r"shape \(N, C, \.\.\.\), got \(6,\)"):
        run_layer(shuffle(2), np.zeros(6))
