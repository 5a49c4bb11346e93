"""SPP: values by hand, gradients, and what it refuses."""

import numpy as np
import pytest

from sscaffe.errors import ShapeError
from sscaffe.layer import TRAIN
from sscaffe.testing import check_gradient
from tests.helpers import make_layer, run_layer, spread_out


def spp(text, **options):
    return make_layer(f"type: 'SPP' spp_param {{ {text} }}", **options)


def test_values_by_hand():
    x = np.arange(32.0).reshape(1, 2, 4, 4)
    got = run_layer(spp("pyramid_height: 2"), x)
    np.testing.assert_array_equal(got, [[15, 31, 5, 7, 13, 15, 21, 23, 29, 31]])


def test_one_grid_keeps_its_axes():
    x = np.arange(32.0).reshape(1, 2, 4, 4)
    got = run_layer(spp("pyramid_height: 1 pool: AVE"), x)
    np.testing.assert_array_equal(got, [[[[7.5]], [[23.5]]]])


@pytest.mark.parametrize("pool", ["MAX", "AVE"])
@pytest.mark.parametrize("height", [1, 2, 3])
@pytest.mark.parametrize("image", [(7, 5), (8, 8)])
def test_gradient(height, pool, image, rng):
    x = spread_out((2, 2, *image), rng)
    if height == 3 and image == (7, 5):
        with pytest.raises(ShapeError, match="pyramid_height: 4 x 4 windows do not fit"):
            run_layer(spp(f"pyramid_height: 3 pool: {pool}"), x)
        return
    got = run_layer(spp(f"pyramid_height: {height} pool: {pool}"), x)
    assert got.size == 4 * (4**height - 1) // 3
    check_gradient(spp(f"pyramid_height: {height} pool: {pool}"), [x])


def test_stochastic_pooling_draws_from_the_layers_random_numbers(rng):
    x = rng.uniform(0, 1, (2, 3, 4, 4))
    got = run_layer(spp("pyramid_height: 2 pool: STOCHASTIC", phase=TRAIN), x)
    assert np.isin(got, x).all()


@pytest.mark.parametrize(
    ("text", "shape", "message"),
    [
        ("", (1, 1, 4, 4), "pyramid_height: expected 1 or more, got 0"),
        ("pyramid_height: 1", (1, 4), r"shape \(N, C, H, W\), got \(1, 4\)"),
    ],
)
def test_refuses(text, shape, message):
    with pytest.raises(ShapeError, match=message):
        run_layer(spp(text), np.zeros(shape))
