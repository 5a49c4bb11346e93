"""Softmax and its loss on a GPU, against formulas in NumPy and the layers on the CPU."""

import re

import numpy as np
import pytest

from sscaffe.blob import Blob
from sscaffe.errors import DataError
from sscaffe.kernels import CountedLabels, gpu_softmax
from sscaffe.kernels.gpu_runtime import to_device, to_host, traffic, xp
from tests.gpu.by_layer import check, part_of_a_gpu
from tests.helpers import make_layer

pytestmark = pytest.mark.gpu

SHAPES = [(4, 10, 1), (7, 33, 1), (3, 1, 1), (2, 1000, 1), (3, 5, 7), (1, 21, 300), (0, 4, 3)]
RTOL = {np.float32: 2e-6, np.float64: 1e-13}


@pytest.fixture(params=[np.float32, np.float64])
def dtype(request):
    return request.param


def reference(x):
    exp = np.exp(x.astype(np.float64) - x.max(axis=1, keepdims=True, initial=-np.inf))
    return exp / exp.sum(axis=1, keepdims=True)


def softmax(x, in_place=False):
    scores = to_device(x)
    out = scores if in_place else xp.full(x.shape, np.nan, x.dtype)
    gpu_softmax.softmax(scores, out)
    return to_host(out)


@pytest.mark.parametrize("in_place", [False, True], ids=["apart", "in_place"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_softmax(shape, in_place, dtype, rng):
    x = rng.standard_normal(shape).astype(dtype)
    y = softmax(x, in_place)
    np.testing.assert_allclose(y, reference(x), rtol=RTOL[dtype])


@pytest.mark.parametrize("inner", [1, 5])
def test_extremes(inner, dtype):
    x = np.zeros((5, 17, inner), dtype)
    x[0, 3] = 1e30
    x[1] = -1e30
    x[2, 4] = -np.inf
    x[3, 16] = np.nan
    x[4, 0] = np.nan
    y = softmax(x)
    np.testing.assert_array_equal(y[0, :, 0], np.eye(17)[3])
    np.testing.assert_allclose(y[1], 1 / 17, rtol=1e-6)
    assert (y[2, 4] == 0).all()
    np.testing.assert_allclose(np.delete(y[2], 4, axis=0), 1 / 16, rtol=1e-6)
    assert np.isnan(y[3:]).all()


@pytest.mark.parametrize("ignored", [None, 2, -1])
@pytest.mark.parametrize("divisor", [None, 7])
@pytest.mark.parametrize("shape", [(4, 10, 1), (3, 5, 7), (0, 4, 3), (2, 3, 9000)], ids=str)
def test_loss_and_gradient(shape, divisor, ignored, dtype, rng):
    outer, classes, inner = shape
    p = rng.uniform(size=shape).astype(dtype)
    p[:1, :, :1] = 0  # counts as the smallest normal number
    labels = rng.integers(0, classes, outer * inner)
    if ignored == -1:
        labels[::3] = -1
    counted = np.full(len(labels), True) if ignored is None else labels != ignored
    at = np.nonzero(counted)[0]
    picked = p[at // max(inner, 1), labels[at], at % max(inner, 1)].astype(np.float64)
    by = divisor or max(len(at), 1)
    floats = labels + 0.25 * (labels >= 0)
    counts, loss = CountedLabels(xp.empty(len(labels), np.int32), xp.empty(1)), xp.empty((), dtype)
    probabilities = to_device(p)
    assert gpu_softmax.softmax_loss(
        probabilities, to_device(floats.astype(dtype)), ignored, divisor, counts, loss
    )
    expected = -np.log(np.maximum(picked, 2.0**-126)).sum() / by
    np.testing.assert_allclose(to_host(loss), expected, rtol=1e-6)
    assert to_host(counts.divided_by)[0] == by
    indices = np.where(counted, labels, -1)
    np.testing.assert_array_equal(to_host(counts.labels), indices)

    diff = xp.full(shape, np.nan, dtype)
    gpu_softmax.softmax_loss_backward(probabilities, counts, 0.5, diff)
    label = indices.reshape(outer, 1, inner)
    is_label = np.arange(classes).reshape(1, -1, 1) == label
    want = np.where(label < 0, 0, 0.5 / by * (p - is_label.astype(np.float64)))
    np.testing.assert_allclose(to_host(diff), want, rtol=1e-6, atol=1e-7 / by)


@pytest.mark.parametrize("axis", [1, -1])
@pytest.mark.parametrize("in_place", [False, True], ids=["apart", "in_place"])
def test_softmax_layer(axis, in_place, dtype, rng):
    x, top_diff = rng.standard_normal((2, 3, 4, 5))
    text = f"type: 'Softmax' softmax_param {{ axis: {axis} }}"
    check(text, [x], top_diff, dtype, in_place=in_place)


@pytest.mark.parametrize("ignored", ["", "ignore_label: 2"])
@pytest.mark.parametrize("mode", ["VALID", "FULL", "BATCH_SIZE", "NONE"])
@pytest.mark.parametrize(("shape", "axis"), [((4, 3), 1), ((3, 3, 2, 2), 1), ((2, 2, 3), 2)])
def test_loss_layer(shape, axis, mode, ignored, dtype, rng):
    labels = rng.integers(0, 3, [size for i, size in enumerate(shape) if i != axis])
    text = (
        f"type: 'SoftmaxWithLoss' loss_param {{ normalization: {mode} {ignored} }} "
        f"softmax_param {{ axis: {axis} }}"
    )
    inputs = [rng.standard_normal(shape), labels]
    check(text, inputs, np.array(0.5), dtype, down=[True, False])


def loss_layer(labels, text=""):
    device = part_of_a_gpu()
    layer = make_layer(f"type: 'SoftmaxWithLoss' {text}", device, dtype=np.float32)
    bottom = [Blob((len(labels), 3), device=device), Blob((len(labels),), device=device)]
    bottom[1].set_data(np.asarray(labels, np.float32))
    top = [Blob((), device=device)]
    layer.setup(bottom, top)
    layer.reshape(bottom, top)
    return layer, bottom, top


@pytest.mark.parametrize("label", [3, -1, np.nan, 1e30])
def test_a_label_that_is_no_class_makes_the_loss_nan_and_is_explained(label):
    layer, bottom, top = loss_layer([0, label, 2])
    layer.forward(bottom, top)
    assert np.isnan(top[0].host_data)
    with pytest.raises(
        DataError, match=f"labels: expected 0 to 2 for 3 classes, got {re.escape(f'{label:g}')}$"
    ):
        layer.explain(bottom)


def test_labels_that_are_right_explain_nothing():
    layer, bottom, top = loss_layer([0, 1, 2])
    layer.forward(bottom, top)
    layer.explain(bottom)
    np.testing.assert_allclose(top[0].host_data, np.log(3), rtol=1e-6)


def test_nothing_waits_for_the_device():
    layer, bottom, top = loss_layer([0, 1, 2], "loss_param { ignore_label: 1 }")
    top[0].diff[...] = 2
    layer.forward(bottom, top)
    before = traffic.to_host
    layer.forward(bottom, top)
    layer.backward(top, [True, False], bottom)
    assert traffic.to_host == before
