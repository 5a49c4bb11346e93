"""oneDNN's convolution and inner product against plain sums in float64."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sscaffe import _core
from sscaffe.blob import Blob
from sscaffe.device import cpu
from sscaffe.geometry import ConvGeometry

pytestmark = pytest.mark.skipif(not _core.has_onednn, reason="needs oneDNN")

# channels in and out, group, image, kernel, stride, pad, dilation
GEOMETRIES = {
    "lenet conv2": (20, 50, 1, (12, 12), (5, 5), (1, 1), (0, 0), (1, 1)),
    "first layer": (1, 20, 1, (9, 9), (5, 5), (1, 1), (0, 0), (1, 1)),
    "groups": (8, 12, 4, (7, 6), (3, 3), (1, 1), (1, 1), (1, 1)),
    "depthwise": (6, 6, 6, (7, 6), (3, 3), (2, 2), (1, 1), (1, 1)),
    "stride and pad": (3, 5, 1, (8, 9), (3, 2), (2, 3), (1, 0), (1, 1)),
    "dilation": (4, 6, 2, (9, 9), (3, 3), (1, 1), (2, 2), (2, 2)),
    "1x1": (7, 9, 1, (5, 5), (1, 1), (1, 1), (0, 0), (1, 1)),
    "one axis": (4, 3, 1, (9,), (3,), (1,), (1,), (1,)),
    "three axes": (2, 3, 1, (5, 4, 6), (3, 2, 3), (1, 1, 2), (1, 0, 1), (1, 1, 1)),
}
BATCH = 3
TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}  # float32 sums of up to 500 terms of size 1


def windows(g):
    """Yield, for each place of the kernel, its index and the slices of the padded image."""
    for place in itertools.product(*(range(k) for k in g.kernel)):
        starts = [p * d for p, d in zip(place, g.dilation, strict=True)]
        yield (
            place,
            tuple(
                slice(start, start + (out - 1) * stride + 1, stride)
                for start, out, stride in zip(starts, g.output, g.stride, strict=True)
            ),
        )


def convolve(g, x, w, b):
    padded = np.pad(x, [(0, 0), (0, 0)] + [(p, p) for p in g.pad])
    channels, filters = g.in_channels // g.group, g.out_channels // g.group
    y = np.zeros((len(x), g.out_channels, *g.output)) + b.reshape(-1, *[1] * len(g.input))
    for group in range(g.group):
        ins, outs = (slice(group * n, (group + 1) * n) for n in (channels, filters))
        for place, window in windows(g):
            image = padded[(slice(None), ins, *window)]
            y[:, outs] += np.einsum("nc...,oc->no...", image, w[(outs, slice(None), *place)])
    return y


def blob(values):
    made = Blob(values.shape)
    made.set_data(values)
    return made


@pytest.mark.parametrize("name", GEOMETRIES)
def test_convolution(name, rng):
    g = ConvGeometry(*GEOMETRIES[name])
    shape = (g.out_channels, g.in_channels // g.group, *g.kernel)
    x, w, b = (
        rng.standard_normal(s).astype(np.float32)
        for s in ((BATCH, g.in_channels, *g.input), shape, (g.out_channels,))
    )
    bottom, weights, bias = blob(x), blob(w), blob(b)
    top = Blob((BATCH, g.out_channels, *g.output))
    operator = cpu().kernels.convolution(g, BATCH, np.float32)
    operator.forward(bottom, weights, bias, top)
    expected = convolve(g, x.astype(np.float64), w.astype(np.float64), b.astype(np.float64))
    np.testing.assert_allclose(top.const_data, expected, **TOLERANCE)

    top_diff = rng.standard_normal(top.shape).astype(np.float32)
    top.set_diff(top_diff)
    operator.backward_weights(top, bottom, weights, bias)
    operator.backward_data(top, weights, bottom)
    # The inner product with a random direction is the directional derivative.
    dx, dw, db = (rng.standard_normal(a.shape) for a in (x, w, b))
    none = np.zeros(g.out_channels)
    for gradient, direction, change in (
        (bottom.const_diff, dx, convolve(g, dx, w, none)),
        (weights.const_diff, dw, convolve(g, x, dw, none)),
        (bias.const_diff, db, convolve(g, x * 0, w, db)),
    ):
        found, wanted = (gradient * direction).sum(), (top_diff * change).sum()
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=2e-3)

    first = [weights.const_diff.copy(), bias.const_diff.copy()]
    operator.backward_weights(top, bottom, weights, bias)
    np.testing.assert_allclose(weights.const_diff, 2 * first[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(bias.const_diff, 2 * first[1], rtol=1e-5, atol=1e-5)


BORDERED = {
    "1x1 pad 1": ConvGeometry(16, 5, 1, (7, 6), (1, 1), (1, 1), (1, 1), (1, 1)),
    "1x1 pad 1, 48 outputs": ConvGeometry(16, 48, 1, (7, 6), (1, 1), (1, 1), (1, 1), (1, 1)),
    "1x1 pad 2x0": ConvGeometry(32, 20, 1, (3, 5), (1, 1), (1, 1), (2, 0), (1, 1)),
}


@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("name", [*GEOMETRIES, *BORDERED])
def test_a_convolution_for_inference_with_what_follows(name, relu, add, rng):
    g = BORDERED.get(name) or ConvGeometry(*GEOMETRIES[name])
    shape = (g.out_channels, g.in_channels // g.group, *g.kernel)
    w, b = rng.standard_normal(shape), rng.standard_normal(g.out_channels)
    term = rng.standard_normal((BATCH, g.out_channels, *g.output))
    operator = cpu().kernels.convolution(g, BATCH, np.float32, train=False)
    for _ in range(2):
        x = rng.standard_normal((BATCH, g.in_channels, *g.input))
        top = Blob(term.shape)
        operator.forward(blob(x), blob(w), blob(b), top, blob(term) if add else None, relu)
        expected = convolve(g, x, w, b) + (term if add else 0)
        expected = np.maximum(expected, 0) if relu else expected
        np.testing.assert_allclose(top.const_data, expected, **TOLERANCE)


def test_a_convolution_without_bias(rng):
    g = ConvGeometry(*GEOMETRIES["groups"])
    x = rng.standard_normal((BATCH, 8, 7, 6)).astype(np.float32)
    w = rng.standard_normal((12, 2, 3, 3)).astype(np.float32)
    bottom, weights, top = blob(x), blob(w), Blob((BATCH, 12, 7, 6))
    operator = cpu().kernels.convolution(g, BATCH, np.float32)
    operator.forward(bottom, weights, None, top)
    np.testing.assert_allclose(top.const_data, convolve(g, x, w, np.zeros(12)), **TOLERANCE)
    top.set_diff(1)
    operator.backward_weights(top, bottom, weights, None)
    assert weights.const_diff.any()


def gradients(name, seed):
    """Return what an operator computes that adds to gradients, from plain arrays."""
    g, rng = ConvGeometry(*GEOMETRIES[name]), np.random.default_rng(seed)
    shape = (g.out_channels, g.in_channels // g.group, *g.kernel)
    sizes = (BATCH, g.in_channels, *g.input), shape, (g.out_channels,)
    bottom, weights, bias = (blob(rng.standard_normal(s).astype(np.float32)) for s in sizes)
    top = Blob((BATCH, g.out_channels, *g.output))
    operator = cpu().kernels.convolution(g, BATCH, np.float32)
    operator.forward(bottom, weights, bias, top)
    top.set_diff(rng.standard_normal(top.shape).astype(np.float32))
    for one in (weights, bias):
        one.set_diff(1)
    yield  # others of this thread use the memory they share
    operator.backward_weights(top, bottom, weights, bias)
    operator.backward_data(top, weights, bottom)
    yield [b.const_diff.copy() for b in (bottom, weights, bias)] + [top.const_data.copy()]


def test_operators_share_scratch_memory_and_do_not_disturb_each_other():
    names = ["lenet conv2", "groups", "dilation", "lenet conv2"]
    alone = [list(gradients(name, seed))[-1] for seed, name in enumerate(names)]
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(interleaved, [names] * 6))
    for together in runs:
        for one, other in zip(alone, together, strict=True):
            for a, b in zip(one, other, strict=True):
                np.testing.assert_allclose(b, a, rtol=0, atol=1e-5 * abs(a).max())


def interleaved(names):
    started = [gradients(name, seed) for seed, name in enumerate(names)]
    for one in started:
        next(one)
    return [next(one) for one in reversed(started)][::-1]


def test_layers_hand_their_layout_on(rng):
    """Two convolutions in a row give the same whether or not somebody looks in between."""
    g = ConvGeometry(20, 20, 1, (8, 8), (3, 3), (1, 1), (1, 1), (1, 1))
    x = rng.standard_normal((BATCH, 20, 8, 8)).astype(np.float32)
    w = rng.standard_normal((20, 20, 3, 3)).astype(np.float32)
    results = []
    for look in (False, True):
        bottom, middle, top = blob(x), Blob(x.shape), Blob(x.shape)
        weights, operators = blob(w), [cpu().kernels.convolution(g, BATCH, np.float32)] * 2
        operators[0].forward(bottom, weights, None, middle)
        if look:
            assert middle.data.any()
        operators[1].forward(middle, weights, None, top)
        results.append(top.const_data.copy())
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("shape", [(BATCH, 12), (BATCH, 20, 4, 4), (BATCH, 2, 2, 2, 2, 2)])
def test_inner_product(shape, rng):
    inputs = int(np.prod(shape[1:]))
    x, w, b = (rng.standard_normal(s).astype(np.float32) for s in (shape, (7, inputs), (7,)))
    bottom, weights, bias, top = blob(x), blob(w), blob(b), Blob((BATCH, 7))
    operator = cpu().kernels.inner_product(BATCH, inputs, 7, np.float32)
    operator.forward(bottom, weights, bias, top)
    flat = x.reshape(BATCH, inputs).astype(np.float64)
    np.testing.assert_allclose(top.const_data, flat @ w.T + b, **TOLERANCE)
    top_diff = rng.standard_normal((BATCH, 7)).astype(np.float32)
    top.set_diff(top_diff)
    operator.backward_weights(top, bottom, weights, bias)
    operator.backward_data(top, weights, bottom)
    np.testing.assert_allclose(weights.const_diff, top_diff.T @ flat, **TOLERANCE)
    np.testing.assert_allclose(bias.const_diff, top_diff.sum(axis=0), **TOLERANCE)
    np.testing.assert_allclose(bottom.const_diff.reshape(flat.shape), top_diff @ w, **TOLERANCE)


@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("sizes", [(5, 7, 3), (1, 1, 1), (33, 17, 65), (4, 0, 3)], ids=str)
def test_gemm(sizes, transpose_a, transpose_b, accumulate, rng):
    m, k, n = sizes
    a, b = (rng.standard_normal(s).astype(np.float32) for s in ((m, k), (k, n)))
    out = rng.standard_normal((m, n)).astype(np.float32)
    expected = a @ b + (out if accumulate else 0)
    cpu().kernels.gemm(
        np.ascontiguousarray(a.T) if transpose_a else a,
        np.ascontiguousarray(b.T) if transpose_b else b,
        out,
        transpose_a=transpose_a,
        transpose_b=transpose_b,
        accumulate=accumulate,
    )
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)
