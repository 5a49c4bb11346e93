"""Every conv_mode against a plain loop, over geometries that nobody chose.

Tolerance: 1e-4 of the largest output. One image in every third case, odd sizes in every second.
CONV_CASES sets how many cases there are.
"""

import os

import numpy as np
import pytest

from sscaffe.conv import KERNELS, make_kernel
from sscaffe.errors import UnsupportedError
from sscaffe.geometry import ConvGeometry
from sscaffe.layer import TEST
from tests import reference
from tests.conv.test_modes import mode_name, run
from tests.kernels.test_implicit_gemm_random import random_geometry, random_zeros

CASES = int(os.environ.get("CONV_CASES", "500"))
PARTS = 10
MOST_PRODUCTS = 3e5  # of an image; what is larger is thrown again


def random_case(rng, number):
    while True:
        g = random_geometry(rng)
        if number % 2:
            size = tuple(n + 1 - n % 2 for n in g.input)
            g = ConvGeometry(
                g.in_channels, g.out_channels, g.group, size, g.kernel, g.stride, g.pad, g.dilation
            )
        if g.out_channels * g.kernel_dim * np.prod(g.output) <= MOST_PRODUCTS:
            break
    batch = 1 if number % 3 == 0 else int(rng.integers(2, 6))
    weights = rng.standard_normal((g.out_channels, g.in_channels // g.group, *g.kernel))
    random_zeros(weights, g, rng)
    bias = rng.standard_normal(g.out_channels) if rng.random() < 0.7 else None
    images = rng.standard_normal((batch, g.in_channels, *g.input))
    return g, images, weights, bias


@pytest.mark.parametrize("part", range(PARTS))
def test_every_mode_means_the_same(part, device):
    rng = np.random.default_rng(part)
    for number in range(CASES // PARTS):
        g, images, weights, bias = random_case(rng, number)
        expected = reference.convolution(images, weights, bias, g)
        atol = 1e-4 * max(1, abs(expected).max())
        for mode in KERNELS:
            try:
                kernel = make_kernel(mode, g, len(images), device, np.float32, TEST)
            except UnsupportedError as error:
                pytest.fail(f"{mode_name(mode)} refused {g}: {error}")
            got = run(kernel, images, weights, bias)
            where = f"case {number}, {mode_name(mode)}, batch {len(images)}, {g}"
            np.testing.assert_allclose(got, expected, rtol=0, atol=atol, err_msg=where)
