"""MVN: values from the definition, gradients by finite differences."""

import numpy as np
import pytest

from sscaffe.errors import ShapeError
from sscaffe.testing import check_gradient
from tests.helpers import make_layer, run_backward, run_layer

SHAPES = [(2, 3, 4, 5), (2, 3, 4), (2, 3, 2, 2, 2)]


def mvn(text="", dtype=np.float64):
    return make_layer(f"type: 'MVN' mvn_param {{ {text} }}", dtype=dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_by_hand(dtype):
    x = [[[1.0, 3.0], [0.0, 8.0]]]
    y = run_layer(mvn(dtype=dtype), x)
    np.testing.assert_allclose(y, [[[-1, 1], [-1, 1]]], rtol=1e-6)
    y = run_layer(mvn("normalize_variance: false", dtype), x)
    np.testing.assert_allclose(y, [[[-1, 1], [-4, 4]]], rtol=1e-6)
    y = run_layer(mvn("eps: 1", dtype), x)
    np.testing.assert_allclose(y, [[[-0.5, 0.5], [-0.8, 0.8]]], rtol=1e-6)
    y = run_layer(mvn("across_channels: true normalize_variance: false", dtype), x)
    np.testing.assert_allclose(y, [[[-2, 0], [-3, 5]]], rtol=1e-6)


@pytest.mark.parametrize("across", ["true", "false"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_mean_and_variance(shape, across, rng):
    y = run_layer(mvn(f"across_channels: {across}"), 3 * rng.standard_normal(shape) + 5)
    parts = y.reshape(2 if across == "true" else 6, -1)
    np.testing.assert_allclose(parts.mean(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(parts.std(axis=1), 1)


@pytest.mark.parametrize("variance", ["true", "false"])
@pytest.mark.parametrize("across", ["true", "false"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gradient(shape, across, variance, rng):
    text = f"across_channels: {across} normalize_variance: {variance}"
    check_gradient(mvn(text), [rng.standard_normal(shape)])


@pytest.mark.parametrize("variance", ["true", "false"])
def test_in_place_matches_out_of_place(variance, rng):
    text, (x, top_diff) = f"normalize_variance: {variance}", rng.standard_normal((2, 2, 3, 4))
    separate = run_backward(mvn(text), x, top_diff)
    shared = run_backward(mvn(text), x, top_diff, in_place=True)
    np.testing.assert_array_equal(shared.top_data, separate.top_data)
    np.testing.assert_array_equal(shared.bottom_diff, separate.bottom_diff)


def test_equal_values_become_0():
    np.testing.assert_array_equal(run_layer(mvn(), np.full((1, 2, 3), 5.0)), 0)


@pytest.mark.parametrize("shape", [(), (3,), (0, 2), (2, 0)], ids=str)
def test_rejects_a_bottom_without_channels_or_elements(shape):
    with pytest.raises(ShapeError, match=r"shape \(N, C, \.\.\.\) with elements, got \("):
        run_layer(mvn(), np.zeros(shape))
