"""Scale and Bias on a GPU, against the same layers in float64 on the CPU."""

import numpy as np
import pytest

from sscaffe.blob import Blob
from tests.gpu.by_layer import check, part_of_a_gpu
from tests.helpers import make_layer

pytestmark = pytest.mark.gpu

SHAPES = [(5, 3), (2, 3, 4), (3, 2, 7, 5), (2, 4, 33, 31), (9, 3, 32, 32)]


@pytest.fixture(params=[np.float32, np.float64])
def dtype(request):
    return request.param


@pytest.mark.parametrize("in_place", [False, True], ids=["apart", "in_place"])
@pytest.mark.parametrize("bias", ["", "bias_term: true"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_of_channels(shape, bias, in_place, dtype, rng):
    x, top_diff = rng.standard_normal((2, *shape))
    blobs = rng.standard_normal((2 if bias else 1, shape[1])).astype(np.float32)
    text = f"type: 'Scale' scale_param {{ {bias} }}"
    check(
        text,
        [x],
        top_diff,
        dtype,
        in_place=in_place,
        blobs=blobs,
        rtol=3e-5 if dtype == np.float32 else None,
    )


@pytest.mark.parametrize(
    "param",
    ["axis: 0", "axis: 1 num_axes: 2", "axis: 2", "axis: -1", "num_axes: 0", "num_axes: -1"],
)
def test_of_other_axes(param, dtype, rng):
    x, top_diff = rng.standard_normal((2, 4, 6, 5, 6))
    text = f"type: 'Scale' scale_param {{ {param} bias_term: true filler {{ value: 2 }} }}"
    check(text, [x], top_diff, dtype)


def test_by_a_bottom(dtype, rng):
    x, top_diff = rng.standard_normal((2, 4, 6, 5, 6))
    check("type: 'Scale'", [x, rng.standard_normal(6)], top_diff, dtype)


@pytest.mark.parametrize("flags", [[True, False], [False, True], [False, False]])
@pytest.mark.parametrize("down", [False, True])
def test_gradients_that_nobody_wants(flags, down, rng):
    x, top_diff = rng.standard_normal((2, 3, 2, 5)).astype(np.float32)
    device = part_of_a_gpu()
    layer = make_layer("type: 'Scale' scale_param { bias_term: true }", device, dtype=np.float32)
    bottom, top = [Blob(x.shape, device=device)], [Blob((), device=device)]
    bottom[0].set_data(x)
    layer.setup(bottom, top)
    layer.reshape(bottom, top)
    layer.forward(bottom, top)
    layer.param_propagate_down = flags
    top[0].set_diff(top_diff)
    layer.backward(top, [down], bottom)
    expected = (top_diff * x).sum((0, 2)) * flags[0], top_diff.sum((0, 2)) * flags[1]
    for blob, diff in zip(layer.blobs, expected, strict=True):
        np.testing.assert_allclose(blob.host_diff, diff, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(bottom[0].host_diff, top_diff * down)


def test_of_no_elements():
    x = np.zeros((0, 3))
    check("type: 'Scale' scale_param { bias_term: true }", [x], x, np.float32)


@pytest.mark.parametrize("in_place", [False, True], ids=["apart", "in_place"])
def test_bias(in_place, dtype, rng):
    x, top_diff = rng.standard_normal((2, 3, 4, 5))
    blobs = rng.standard_normal((1, 4)).astype(np.float32)
    check("type: 'Bias'", [x], top_diff, dtype, in_place=in_place, blobs=blobs)


def test_bias_by_a_bottom(dtype, rng):
    x, top_diff = rng.standard_normal((2, 3, 4, 5))
    check("type: 'Bias'", [x, rng.standard_normal(4)], top_diff, dtype)
