"""The core's softmax and the gradient of its loss, against the formulas in double precision."""

import numpy as np
import pytest

from sscaffe import _core

SHAPES = [(4, 10, 1), (3, 1, 1), (2, 1000, 1), (3, 5, 7), (1, 21, 33), (2, 16, 64), (0, 4, 3)]


def reference(x):
    exp = np.exp(x.astype(np.float64) - x.max(axis=1, keepdims=True, initial=-np.inf))
    return exp / exp.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("spread", [1, 30])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.usefixtures("isa")
def test_softmax(shape, spread, rng):
    x = (spread * rng.standard_normal(shape)).astype(np.float32)
    y = np.full_like(x, np.nan)
    _core.softmax(x, y)
    # The difference from the maximum is rounded, and then taken to the power.
    np.testing.assert_allclose(y, reference(x), rtol=2e-5 if spread > 1 else 2e-6, atol=1e-37)
    np.testing.assert_allclose(y.sum(axis=1), np.ones(y[:, 0].shape), rtol=2e-6)


@pytest.mark.usefixtures("isa")
def test_exponents_of_every_size():
    x = np.zeros((4001, 2, 1), np.float32)
    x[:, 1, 0] = -np.linspace(0, 100, 4001)
    y = np.empty_like(x)
    _core.softmax(x, y)
    expected = reference(x)
    normal = expected >= 2e-38
    np.testing.assert_allclose(y[normal], expected[normal], rtol=5e-7)
    assert (y[~normal] <= 2e-38).all()


@pytest.mark.parametrize("inner", [1, 5, 40])
@pytest.mark.usefixtures("isa")
def test_extremes(inner):
    x = np.zeros((5, 17, inner), np.float32)
    x[0, 3] = 1e30
    x[1] = -1e30
    x[2, 4] = -np.inf
    x[3, 16] = np.nan
    x[4, 0] = np.nan
    y = np.empty_like(x)
    _core.softmax(x, y)
    np.testing.assert_array_equal(y[0, :, 0], np.eye(17)[3])
    np.testing.assert_allclose(y[1], 1 / 17, rtol=1e-6)
    assert (y[2, 4] == 0).all()
    np.testing.assert_allclose(np.delete(y[2], 4, axis=0), 1 / 16, rtol=1e-6)
    assert np.isnan(y[3:]).all()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.usefixtures("isa")
def test_in_place(shape, rng):
    x = rng.standard_normal(shape).astype(np.float32)
    y = np.empty_like(x)
    _core.softmax(x, y)
    _core.softmax(x, x)
    np.testing.assert_array_equal(x, y)


@pytest.mark.usefixtures("threads")
def test_any_number_of_threads(rng):
    x = rng.standard_normal((300, 100, 3)).astype(np.float32)
    y = np.empty_like(x)
    _core.softmax(x, y)
    np.testing.assert_allclose(y, reference(x), rtol=2e-6)


@pytest.mark.parametrize("ignored", [None, 2, -1])
@pytest.mark.parametrize("shape", [(4, 10, 1), (3, 5, 7), (0, 4, 3)], ids=str)
def test_loss(shape, ignored, rng):
    outer, classes, inner = shape
    p = rng.uniform(size=shape).astype(np.float32)
    p[:1, :, :1] = 0  # counts as the smallest normal number
    labels = rng.integers(0, classes, outer * inner)
    if ignored == -1:
        labels[::3] = -1
    floats = labels.astype(np.float32) + np.float32(0.25) * (labels >= 0)
    counted = np.full(len(labels), True) if ignored is None else labels != ignored
    expected = 0.0
    for at in np.nonzero(counted)[0]:
        picked = p[at // inner, labels[at], at % inner]
        expected -= np.log(max(float(picked), 2.0**-126))
    indices = np.full(len(labels), -7, np.int32)
    left_out = np.nan if ignored is None else ignored
    total, number = _core.softmax_loss(p, floats, left_out, indices)
    np.testing.assert_allclose(total, expected, rtol=1e-6)
    assert number == counted.sum()
    np.testing.assert_array_equal(indices, np.where(counted, labels, -1))


@pytest.mark.parametrize("label", [-1, 3, np.nan, 1e30])
def test_a_label_that_is_no_class(label):
    p, labels = np.ones((2, 3, 1), np.float32), np.array([0, label], np.float32)
    assert _core.softmax_loss(p, labels, np.nan, np.empty(2, np.int32))[1] == -1


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.usefixtures("threads")
def test_loss_backward(shape, rng):
    outer, classes, inner = shape
    p = rng.uniform(size=shape).astype(np.float32)
    labels = rng.integers(-1, classes, outer * inner).astype(np.int32)
    factor = np.float32(0.3)
    expected = factor * p
    for at, label in enumerate(labels):
        if label < 0:
            expected[at // inner, :, at % inner] = 0
        else:
            expected[at // inner, label, at % inner] -= factor
    dx = np.full_like(p, np.nan)
    _core.softmax_loss_backward(p, labels, factor, dx)
    np.testing.assert_array_equal(dx, expected)


def test_refuses():
    x = np.zeros((2, 3, 4), np.float32)
    with pytest.raises(ValueError, match="y: expected 24 elements, got 12"):
        _core.softmax(x, x[:1].copy())
    with pytest.raises(ValueError, match="x: expected 3 axes, got 2"):
        _core.softmax(x[0], x[0])
    with pytest.raises(TypeError):
        _core.softmax(x.astype(np.float64), x)
    floats = np.zeros(8, np.float32)
    with pytest.raises(ValueError, match="labels: expected 8 elements, got 7"):
        _core.softmax_loss(x, floats[:7], 0, np.zeros(8, np.int32))
    with pytest.raises(ValueError, match="indices: expected 8 elements, got 7"):
        _core.softmax_loss(x, floats, 0, np.zeros(7, np.int32))
    labels = np.zeros(8, np.int32)
    with pytest.raises(ValueError, match="labels: expected 8 elements, got 7"):
        _core.softmax_loss_backward(x, labels[:7], 1, x)
    labels[5] = 3
    with pytest.raises(ValueError, match="labels: expected 3 classes, got 3"):
        _core.softmax_loss_backward(x, labels, 1, x)
