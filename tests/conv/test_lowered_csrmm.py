"""LOWERED_CSRMM: images in turns, what follows the convolution, and which library multiplies."""

import numpy as np
import pytest

from sscaffe.blob import Blob
from sscaffe.conv import lowered
from sscaffe.geometry import ConvGeometry
from sscaffe.kernels import cpu_blas, mkl
from sscaffe.layer import TEST
from sscaffe.weighted.base import Epilogue
from tests import reference
from tests.helpers import blob_of

GEOMETRIES = {
    "3x3 group2": ConvGeometry(6, 10, 2, (7, 9), (3, 3), (1, 2), (1, 0), (1, 1)),
    "1x1": ConvGeometry(5, 4, 1, (6, 5), (1, 1), (1, 1), (0, 0), (1, 1)),
}
PRODUCTS = [
    cpu_blas.NativeProduct,
    pytest.param(
        cpu_blas.MklProduct,
        marks=pytest.mark.skipif(mkl.find() is None, reason='needs pip install "sscaffe[mkl]"'),
    ),
]


def case(g, rng, batch, zero_columns):
    """Return images, weights and a bias."""
    weights = rng.standard_normal((g.out_channels, g.in_channels // g.group, *g.kernel))
    weights[rng.random(weights.shape) < 0.6] = 0
    weights[:: g.out_channels // g.group] = 1
    if zero_columns:
        weights[:, 1] = 0
    return (
        blob_of(rng.standard_normal((batch, g.in_channels, *g.input)), np.float32),
        blob_of(weights, np.float32),
        blob_of(rng.standard_normal(g.out_channels), np.float32),
    )


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("zero_columns", [False, True])
@pytest.mark.parametrize("images_at_once", [1, 2, 5])
@pytest.mark.parametrize("name", GEOMETRIES)
def test_images_in_turns(name, images_at_once, zero_columns, product, device, rng, monkeypatch):
    g = GEOMETRIES[name]
    bottom, weights, bias = case(g, rng, 5, zero_columns)
    kernel = lowered.LoweredCsrmm(g, 5, device, np.float32, TEST)
    inputs = kernel._join(weights.const_data).matrix.inputs
    assert (inputs < g.group * g.kernel_dim) == zero_columns
    image = inputs * int(np.prod(g.output)) * 4
    monkeypatch.setattr(lowered, "_CACHE", images_at_once * image)
    monkeypatch.setattr(cpu_blas, "NativeProduct", product)
    top = Blob((5, g.out_channels, *g.output))
    kernel.forward(bottom, weights, bias, top)
    assert kernel.description == f"im2col of the non-zero columns + {product.description}"
    expected = reference.convolution(bottom.const_data, weights.const_data, bias.const_data, g)
    np.testing.assert_allclose(top.const_data, expected, rtol=0, atol=1e-5 * abs(expected).max())


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("add", [False, True])
def test_what_follows_the_convolution(add, relu, device, rng):
    g = GEOMETRIES["3x3 group2"]
    bottom, weights, bias = case(g, rng, 3, True)
    top = Blob((3, g.out_channels, *g.output))
    term = blob_of(rng.standard_normal(top.shape), np.float32)
    kernel = lowered.LoweredCsrmm(g, 3, device, np.float32, TEST)
    kernel.forward(bottom, weights, bias, top, Epilogue(term if add else None, relu))
    expected = reference.convolution(bottom.const_data, weights.const_data, bias.const_data, g)
    if add:
        expected += term.const_data
    if relu:
        expected = np.maximum(expected, 0)
    np.testing.assert_allclose(top.const_data, expected, rtol=0, atol=1e-5 * abs(expected).max())
