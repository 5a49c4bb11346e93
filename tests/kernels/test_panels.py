"""The product of one vector, by weights as oneDNN lays them out, against float64."""

import numpy as np
import pytest

from sscaffe import _core
from tests.kernels.native import memory_of

pytestmark = pytest.mark.skipif(not _core.has_onednn, reason="needs oneDNN")

# outputs, inputs; panels of 16 to 64 rows, the last of them with few or many
SIZES = [(1, 1), (3, 17), (10, 500), (16, 16), (33, 8), (50, 31), (64, 40), (130, 33), (500, 800)]


def product(shape, outputs, rng, *, bias=True, relu=False, kind="plain"):
    """Return what the core makes of one image of this shape, and what it should make."""
    x, w, b = (
        rng.standard_normal(size).astype(np.float32)
        for size in ((1, *shape), (outputs, int(np.prod(shape))), (outputs,))
    )
    primitive = _core.InnerProduct(
        bottom=(1, w.shape[1]), outputs=outputs, bias=bias, train=False, relu=relu
    )
    weights, start = _core.Memory(w, w.shape), _core.Memory(b, b.shape) if bias else None
    out = np.full((1, outputs), np.nan, np.float32)
    bottom = memory_of(x, kind) if kind != "plain" else _core.Memory(x.reshape(1, -1), (1, x.size))
    primitive.forward(bottom, weights, start, _core.Memory(out, out.shape))
    expected = w.astype(np.float64) @ x.ravel() + (b if bias else 0)
    return out[0], np.maximum(expected, 0) if relu else expected


def check(got, expected):
    # Sums of up to 1500 products of size 1, in float32.
    np.testing.assert_allclose(got, expected, rtol=0, atol=3e-6 * (1 + abs(expected).max()))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.usefixtures("isa", "threads")
def test_sizes(size, rng):
    outputs, inputs = size
    check(*product((inputs,), outputs, rng))


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.usefixtures("isa")
def test_bias_and_relu(bias, relu, rng):
    check(*product((75,), 70, rng, bias=bias, relu=relu))


@pytest.mark.parametrize("channels", [1, 7, 16, 20, 40])
@pytest.mark.parametrize("kind", ["plain", "last", 8, 16])
def test_a_bottom_in_any_layout(kind, channels, rng):
    check(*product((channels, 3, 5), 37, rng, kind=kind))


def test_threads_share_large_ones(rng):
    before = _core.get_num_threads()
    for threads in (1, 2, 3):
        _core.set_num_threads(threads)
        check(*product((1500,), 700, rng))
    _core.set_num_threads(before)


def test_weights_may_lie_as_it_likes_them(rng):
    x, w = rng.standard_normal((1, 30), np.float32), rng.standard_normal((20, 30), np.float32)
    primitive = _core.InnerProduct(bottom=x.shape, outputs=20, bias=False, train=False)
    weights = _core.Memory(primitive.weights_layout)
    _core.Memory(w, w.shape).copy_to(weights)
    out = np.full((1, 20), np.nan, np.float32)
    primitive.forward(_core.Memory(x, x.shape), weights, None, _core.Memory(out, out.shape))
    check(out[0], w.astype(np.float64) @ x[0])


@pytest.mark.usefixtures("isa")
def test_it_is_what_runs():
    primitive = _core.InnerProduct(bottom=(1, 30), outputs=64, bias=False, train=False)
    if primitive.weights_layout.form[-5:] != (16, 64, 2, 1, 0):
        pytest.skip("oneDNN has no panels of 64 rows here")
    assert "sscaffe" in primitive.implementation


@pytest.mark.parametrize("batch", [2, 3])
def test_several_vectors_are_left_to_onednn(batch):
    primitive = _core.InnerProduct(bottom=(batch, 30), outputs=20, bias=False, train=False)
    assert "sscaffe" not in primitive.implementation
