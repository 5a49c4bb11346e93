"""Convolution by kept rows and columns, over sizes that nobody chose, against the dense default.

Tolerance: 1e-4 of the largest output.
"""

import numpy as np
import pytest

from sscaffe import _core
from sscaffe.blob import Blob
from sscaffe.conv import make_kernel
from sscaffe.device import cpu
from sscaffe.geometry import ConvGeometry
from sscaffe.layer import TEST
from tests.helpers import blob_of
from tests.kernels.native import layout_of, memory_of

CASES, CASES_A_TEST = 500, 50
KINDS = ["plain", "last", "8", "16"]  # layouts
ISAS = ["avx512", "avx2", "portable"]
MOST_FLOPS = 4e6  # of a batch; what is larger is thrown again


def random_geometry(rng):
    group = int(rng.choice([1, 1, 1, 2, 3]))
    channels, filters = (group * int(rng.integers(1, most)) for most in (25, 40))
    kernel, stride, dilation = (
        tuple(int(n) for n in rng.integers(1, most + 1, 2)) for most in (7, 3, 2)
    )
    extent = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    pad = tuple(int(rng.integers(0, e + 1)) for e in extent)
    size = tuple(
        max(1, e - 2 * p) + int(rng.integers(0, 24)) for e, p in zip(extent, pad, strict=True)
    )
    return ConvGeometry(channels, filters, group, size, kernel, stride, pad, dilation)


def random_zeros(weights, g, rng):
    """Set weights to zero in one of several ways."""
    groups = weights.reshape(g.group, g.out_channels // g.group, -1)
    kind = rng.integers(6)
    if kind == 0:  # one row, or one weight, is left
        kept = groups[0, -1, : rng.integers(1, 3)].copy()
        groups[...] = 0
        groups[0, -1, : len(kept)] = kept
    elif kind == 1:
        groups[...] = 0
    elif kind == 2:  # whole channels
        groups.reshape(*groups.shape[:2], -1, g.kernel[0] * g.kernel[1])[:, :, 1::2] = 0
    elif kind == 3:  # scattered
        groups[rng.random(groups.shape) < 0.8] = 0
    else:  # other rows and columns in each group
        for part in groups:
            part[rng.random(len(part)) < rng.random()] = 0
            part[:, rng.random(part.shape[1]) < rng.random()] = 0


def random_case(rng):
    while True:
        g = random_geometry(rng)
        batch = int(rng.choice([1, 2, 3, 4, 5, 16, 17, 18]))
        if 2 * batch * g.out_channels * g.kernel_dim * np.prod(g.output) <= MOST_FLOPS:
            break
    images = rng.standard_normal((batch, g.in_channels, *g.input)).astype(np.float32)
    shape = (g.out_channels, g.in_channels // g.group, *g.kernel)
    weights = rng.standard_normal(shape).astype(np.float32)
    random_zeros(weights, g, rng)
    bias = rng.standard_normal(g.out_channels).astype(np.float32)
    return g, images, weights, bias


def dense(g, images, weights, bias):
    top = Blob((len(images), g.out_channels, *g.output))
    blobs = [blob_of(array, np.float32) for array in (images, weights, bias)]
    make_kernel(None, g, len(images), cpu(), np.float32, TEST).forward(*blobs, top)
    return top.const_data.reshape(top.shape)


def check(packed, images, bias, expected, kinds, message):
    """Compare both numbers of threads, with and without a rectifier."""
    atol = 1e-4 * max(1, abs(expected).max())
    bottom = memory_of(images, kinds[0])
    for threads in (1, 2):
        _core.set_num_threads(threads)
        for relu in (False, True):
            got = np.full_like(expected, np.nan)
            top = _core.Memory(layout_of(kinds[1], got.shape))
            packed.forward(bottom, bias, relu, top)
            top.copy_to(_core.Memory(got, got.shape))
            wanted = np.maximum(expected, 0) if relu else expected
            where = f"{message}, {kinds}, {threads} threads, relu {relu}"
            np.testing.assert_allclose(got, wanted, rtol=0, atol=atol, err_msg=where)


@pytest.mark.parametrize("seed", range(CASES // CASES_A_TEST))
def test_means_the_same_as_dense(seed):
    rng, threads, best = np.random.default_rng(seed), _core.get_num_threads(), _core.cpu_features()
    isas = ISAS[ISAS.index(best) :]  # this machine has the best and those after it
    try:
        for case in range(CASES_A_TEST):
            g, images, weights, bias = random_case(rng)
            expected = dense(g, images, weights, bias)
            kinds = rng.choice(KINDS, 2) if _core.has_onednn else ["plain", "plain"]
            kinds = [int(kind) if kind.isdigit() else str(kind) for kind in kinds]
            for isa in isas:
                _core.set_isa(isa)
                packed = _core.ImplicitGemm(
                    weights, g.in_channels, g.group, g.input, g.kernel, g.stride, g.pad, g.dilation
                )
                check(packed, images, bias, expected, kinds, f"case {case}, {isa}, {g}")
    finally:
        _core.set_num_threads(threads)
        _core.set_isa(best)
