"""Pooling in oneDNN's layouts without a backward pass, against Caffe's loops written out."""

import numpy as np
import pytest

from sscaffe import _core
from tests.kernels.native import layout_of, memory_of
from tests.kernels.test_pooling import CASES, FLOAT_MAX, reference_max, sizes_of, windows

pytestmark = pytest.mark.skipif(not _core.has_onednn, reason="needs oneDNN")

BATCH = 2
LAYOUTS = [
    ("last", 3),
    ("last", 20),
    ("last", 16),
    ("last", 33),
    (8, 8),
    (8, 12),
    (16, 48),
    (16, 5),
]


def reference_average(bottom, g):
    top = np.zeros((len(bottom), *g.output), np.float32)
    for plane, image in enumerate(bottom):
        for output, window, divisor in windows(g):
            if image[window].size:
                # The sum is a whole number, so the one division rounds the same way.
                top[plane, *output] = image[window].sum() / np.float32(divisor)
    return top


def infer(bottom, g, kind, *, largest):
    """Return the top, and what is in memory there."""
    batch, channels = bottom.shape[:2]
    pooling = _core.Pooling(
        batch=batch,
        channels=channels,
        input=g.input,
        output=g.output,
        kernel=g.kernel,
        stride=g.stride,
        pad=g.pad,
        max=largest,
    )
    memory, shape = memory_of(bottom, kind), (batch, channels, *g.output)
    assert pooling.top_layout(memory.layout) == layout_of(kind, shape)
    top = _core.Memory(layout_of(kind, shape))
    top.values[...] = np.nan
    pooling.infer(memory, top)
    plain = np.empty(shape, np.float32)
    top.copy_to(_core.Memory(plain, shape))
    return plain, top.values


def has_windows(g):
    """Tell whether each window has elements, which oneDNN insists on."""
    return all(
        (o - 1) * s - p < size
        for size, o, s, p in zip(g.input, g.output, g.stride, g.pad, strict=True)
    )


GEOMETRIES = [g for g in map(sizes_of, CASES) if has_windows(g)]


@pytest.mark.parametrize(
    "g", GEOMETRIES, ids=[str(g.input + g.kernel + g.stride) for g in GEOMETRIES]
)
@pytest.mark.parametrize(("kind", "channels"), LAYOUTS)
@pytest.mark.parametrize("largest", [True, False], ids=["max", "average"])
@pytest.mark.usefixtures("isa")
def test_windows(g, kind, channels, largest, rng):
    bottom = rng.integers(-3, 4, (BATCH, channels, *g.input)).astype(np.float32)
    planes = bottom.reshape(-1, *g.input)
    expected = reference_max(planes, g)[0] if largest else reference_average(planes, g)
    got, stored = infer(bottom, g, kind, largest=largest)
    np.testing.assert_array_equal(got.reshape(expected.shape), expected)
    # What fills a block up is 0 and stays 0.
    assert (stored != 0).sum() == (got != 0).sum()


@pytest.mark.parametrize("largest", [True, False], ids=["max", "average"])
@pytest.mark.usefixtures("threads")
def test_threads_share_the_rows_of_an_image(largest, rng):
    g = sizes_of(CASES[-1])
    bottom = rng.integers(-3, 4, (1, 80, *g.input)).astype(np.float32)
    expected = reference_max(bottom[0], g)[0] if largest else reference_average(bottom[0], g)
    for kind in ("last", 16):
        np.testing.assert_array_equal(infer(bottom, g, kind, largest=largest)[0][0], expected)


@pytest.mark.usefixtures("isa")
def test_nan_is_never_the_largest():
    bottom = np.full((1, 20, 4, 4), np.nan, np.float32)
    bottom[:, :, 2, 3] = -5
    got, _ = infer(bottom, sizes_of(CASES[0]), "last", largest=True)
    np.testing.assert_array_equal(got[0, 7], [[-FLOAT_MAX, -FLOAT_MAX], [-FLOAT_MAX, -5]])


@pytest.mark.parametrize("largest", [True, False], ids=["max", "average"])
@pytest.mark.parametrize("channels", [20, 32])
def test_a_top_that_onednn_orders_in_another_way(channels, largest, rng):
    """As it does where the bottom has one row and the top more."""
    sizes = {"input": (1, 10), "output": (4, 11), "kernel": (4, 2), "stride": (1, 1), "pad": (3, 1)}
    pooling = _core.Pooling(batch=2, channels=channels, max=largest, **sizes)
    x = memory_of(rng.standard_normal((2, channels, 1, 10)).astype(np.float32), "last")
    found = []
    for run in (pooling.infer, pooling.forward):
        top = _core.Memory(pooling.top_layout(x.layout))
        run(x, top)
        plain = np.empty((2, channels, 4, 11), np.float32)
        top.copy_to(_core.Memory(plain, plain.shape))
        found.append(plain)
    np.testing.assert_allclose(*found, rtol=1e-6)
