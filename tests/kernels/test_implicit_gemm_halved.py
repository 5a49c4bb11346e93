"""Convolution by kept rows and columns where two positions share the last vector of rows.

That is so where that vector is at most half full.
"""

import numpy as np
import pytest

from tests.kernels.test_implicit_gemm import (
    check,
    everything,
    geometry,
    implicit_gemm,
    random_images,
    random_weights,
    run,
    some,
)


# Tiles of any width, and however many of their positions read beyond the image; with each number of
# rows some instruction set has such a vector.
@pytest.mark.parametrize("rows", [6, 10, 12, 23, 40])
@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("step", [{}, {"stride": (1, 2)}, {"dilation": (1, 2)}], ids=str)
@pytest.mark.usefixtures("isa")
def test_positions_that_share_a_vector(step, kernel, rows, rng):
    pad = (kernel // 2, kernel // 2 * step.get("dilation", (1, 1))[1])
    for width in (*range(1, 19), 33):
        g = geometry(2, rows, (3, width), kernel, pad=pad, **step)
        check(g, everything, rng, (1,), [("plain", "plain"), (16, 16)])


@pytest.mark.parametrize("filters", [3 * 6, 3 * 20, 3 * 23])
@pytest.mark.usefixtures("isa", "threads")
def test_shared_vectors_of_groups_in_threads(filters, rng):
    check(geometry(12, filters, (16, 17), 5, pad=2, group=3), some, rng, (1, 3))


@pytest.mark.usefixtures("isa")
def test_positions_that_share_a_vector_see_nothing_of_each_other(rng):
    g = geometry(1, 18, (1, 19), (1, 3), pad=(0, 1))
    weights, x = random_weights(g, everything, rng), random_images(g, 1, rng)
    weights[17, 0, 0, 0] = np.inf  # which the first position multiplies by padding
    x[..., 9] = np.nan
    got = run(implicit_gemm(g, weights), g, x, None)[0, :, 0]
    assert np.isnan(got[:, 8:11]).all()
    assert np.isinf(got[17, [*range(1, 8), *range(11, 19)]]).all()
    got[:, 8:11] = got[17, 1:] = 0
    assert np.isfinite(got).all()
