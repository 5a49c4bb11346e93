"""Normalize: values by hand, gradients by finite differences."""

import itertools

import numpy as np
import pytest

from sscaffe.blob import Blob
from sscaffe.errors import ShapeError
from sscaffe.testing import check_gradient
from tests.helpers import blob_of, make_layer, run_backward, run_layer

FLAGS = [
    f"across_spatial: {a} channel_shared: {b}"
    for a, b in itertools.product(("true", "false"), repeat=2)
]


def normalize(text="", dtype=np.float64):
    return make_layer(f"type: 'Normalize' norm_param {{ {text} }}", dtype=dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_by_hand(dtype):
    x = [[[3.0, 0.0], [4.0, 12.0]]]
    y = run_layer(normalize("across_spatial: false", dtype), x)
    np.testing.assert_allclose(y, [[[0.6, 0], [0.8, 1]]], rtol=1e-6)
    y = run_layer(normalize("scale_filler { value: 26 }", dtype), x)
    np.testing.assert_allclose(y, [[[6, 0], [8, 24]]], rtol=1e-6)
    y = run_layer(normalize("eps: 56", dtype), x)
    np.testing.assert_allclose(y, [[[0.2, 0], [4 / 15, 0.8]]], rtol=1e-6)


def test_each_channel_has_its_factor():
    layer, bottom = normalize("channel_shared: false"), [blob_of([[[3.0], [4.0]]])]
    top = [Blob((), np.float64)]
    layer.setup(bottom, top)
    layer.blobs[0].set_data([10, 100])
    layer.reshape(bottom, top)
    layer.forward(bottom, top)
    np.testing.assert_allclose(top[0].host_data, [[[6], [80]]])


@pytest.mark.parametrize("eps", [1e-10, 0.5])
@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4), (2, 3, 2, 3)], ids=str)
def test_gradient(shape, flags, eps, rng):
    layer = normalize(f"{flags} eps: {eps} scale_filler {{ type: 'gaussian' }}")
    check_gradient(layer, [rng.standard_normal(shape)])
    assert layer.blobs[0].shape == (() if "shared: true" in flags else shape[1:2])


@pytest.mark.parametrize("flags", FLAGS)
def test_in_place_matches_out_of_place(flags, rng):
    x, top_diff = rng.standard_normal((2, 2, 3, 4))
    separate = run_backward(normalize(flags), x, top_diff)
    shared = run_backward(normalize(flags), x, top_diff, in_place=True)
    np.testing.assert_array_equal(shared.top_data, separate.top_data)
    np.testing.assert_array_equal(shared.bottom_diff, separate.bottom_diff)
    np.testing.assert_array_equal(shared.blob_diff, separate.blob_diff)


def test_diff_of_the_factor_adds_up_and_may_be_left_out():
    layer, bottom, top = normalize(), [blob_of([[3.0, 4.0]])], [Blob((), np.float64)]
    layer.setup(bottom, top)
    layer.reshape(bottom, top)
    layer.forward(bottom, top)
    top[0].set_diff([[5.0, 0.0]])
    layer.backward(top, [False], bottom)
    layer.backward(top, [False], bottom)
    layer.param_propagate_down = [False]
    layer.backward(top, [False], bottom)
    np.testing.assert_allclose(layer.blobs[0].host_diff, 6)
    np.testing.assert_array_equal(bottom[0].host_diff, [[0, 0]])


def test_rejects():
    with pytest.raises(ShapeError, match=r"shape \(N, C, \.\.\.\), got \(5,\)"):
        run_layer(normalize(), np.zeros(5))
    layer, bottom = normalize("channel_shared: false"), [blob_of(np.zeros((2, 3)))]
    layer.setup(bottom, [Blob(())])
    bottom[0].reshape(2, 4)
    with pytest.raises(ShapeError, match=r"bottom for factors of shape \(3,\), got \(2, 4\)"):
        layer.reshape(bottom, [Blob(())])
