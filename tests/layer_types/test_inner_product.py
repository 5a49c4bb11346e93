"""InnerProduct: values by hand, gradients by finite differences, and what it refuses."""

import itertools

import numpy as np
import pytest

from sscaffe.blob import Blob
from sscaffe.errors import ShapeError, UnsupportedError
from sscaffe.ip import KERNELS
from sscaffe.layer import TRAIN
from sscaffe.testing import check_gradient
from tests.helpers import ON_THE_CPU, blob_of, make_layer, run_layer

FILLERS = "weight_filler { type: 'uniform' min: -1 max: 1 } bias_filler { type: 'uniform' }"


def inner_product(text, device=None, **options):
    return make_layer(f"type: 'InnerProduct' inner_product_param {{ {text} }}", device, **options)


def set_up(layer, shape):
    bottom, top = [Blob(shape, layer.dtype)], [Blob((), layer.dtype)]
    layer.setup(bottom, top)
    layer.reshape(bottom, top)
    return bottom, top


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("mode", ["GEMM", "SPMDM", "CCNMM"])
@pytest.mark.parametrize("transpose", [False, True])
def test_values_by_hand(transpose, mode, dtype, device):
    text = f"num_output: 2 bias_filler {{ value: 10 }} gemm_mode: {mode} transpose: {transpose}"
    layer = inner_product(
        text.replace("True", "true").replace("False", "false"), device, dtype=dtype
    )
    bottom, top = set_up(layer, (2, 3))
    bottom[0].set_data([[1, 2, 3], [4, 5, 6]])
    weights = np.array([[1, 0, 0], [-1, 0, 2]])
    layer.blobs[0].set_data(weights.T if transpose else weights)
    layer.forward(bottom, top)
    np.testing.assert_array_equal(top[0].host_data, [[11, 15], [14, 18]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("transpose", ["false", "true"])
def test_backward_by_hand(transpose, dtype, device):
    layer = inner_product(f"num_output: 2 transpose: {transpose}", device, dtype=dtype)
    bottom, top = set_up(layer, (2, 3))
    bottom[0].set_data([[1, 2, 3], [4, 5, 6]])
    weights = np.array([[1, 0, 0], [-1, 0, 2]])
    layer.blobs[0].set_data(weights.T if transpose == "true" else weights)
    layer.forward(bottom, top)
    top[0].set_diff([[1, 0], [10, 100]])
    layer.blobs[0].set_diff(1000)
    layer.blobs[1].set_diff(1000)
    layer.backward(top, [True], bottom)
    np.testing.assert_array_equal(bottom[0].host_diff, [[1, 0, 0], [-90, 0, 200]])
    expected = np.array([[1041, 1052, 1063], [1400, 1500, 1600]])
    got = layer.blobs[0].host_diff
    np.testing.assert_array_equal(got.T if transpose == "true" else got, expected)
    np.testing.assert_array_equal(layer.blobs[1].host_diff, [1011, 1100])


@pytest.mark.parametrize(
    ("text", "shape", "top_shape", "weights_shape"),
    [
        ("", (2, 3, 4, 5), (2, 4), (4, 60)),
        ("axis: 2", (2, 3, 4, 5), (2, 3, 4), (4, 20)),
        ("axis: -1", (2, 3, 4, 5), (2, 3, 4, 4), (4, 5)),
        ("axis: 0", (3, 5), (4,), (4, 15)),
        ("transpose: true axis: 2", (2, 3, 6, 5), (2, 3, 4), (30, 4)),
    ],
)
@pytest.mark.parametrize("mode", ["GEMM", "SPMDM", "CCNMM"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shapes(text, shape, top_shape, weights_shape, mode, dtype, device, rng):
    layer = inner_product(f"num_output: 4 gemm_mode: {mode} {text} {FILLERS}", device, dtype=dtype)
    x = rng.standard_normal(shape)
    y = run_layer(layer, x)
    weights, bias = (blob.host_data for blob in layer.blobs)
    assert weights.shape == weights_shape
    matrix = weights.T if layer.transpose else weights
    expected = x.reshape(-1, layer.inputs) @ matrix.T.astype(np.float64) + bias
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(y, expected.reshape(top_shape), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("bias", ["true", "false"])
@pytest.mark.parametrize("transpose", ["true", "false"])
@pytest.mark.parametrize(("axis", "shape"), [(1, (3, 4)), (1, (2, 2, 3, 2)), (2, (2, 3, 4))])
def test_gradient(axis, shape, transpose, bias, device, rng):
    text = f"num_output: 3 axis: {axis} transpose: {transpose} bias_term: {bias} {FILLERS}"
    check_gradient(inner_product(text, device, phase=TRAIN), [rng.standard_normal(shape)])


@pytest.mark.parametrize("flags", list(itertools.product((True, False), repeat=3)), ids=str)
@pytest.mark.parametrize("bias_term", ["true", "false"])
def test_float32_agrees_with_float64_and_does_what_the_flags_say(bias_term, flags, device):
    diffs = {}
    data_flag, *param_flags = flags
    for dtype in (np.float32, np.float64):
        text = f"num_output: 7 bias_term: {bias_term} {FILLERS}"
        layer = inner_product(text, device, dtype=dtype, phase=TRAIN)
        bottom, top = set_up(layer, (5, 3, 2, 2))
        rng = np.random.default_rng(3)
        bottom[0].set_data(rng.standard_normal(bottom[0].shape))
        layer.forward(bottom, top)
        top[0].set_diff(rng.standard_normal(top[0].shape))
        blobs = [*bottom, *layer.blobs]
        for blob in blobs:
            blob.set_diff(0.5)
        layer.param_propagate_down[:] = param_flags[: len(layer.blobs)]
        layer.backward(top, [data_flag], bottom)
        diffs[dtype] = [blob.host_diff.copy() for blob in blobs]
    for got, expected, flag in zip(diffs[np.float32], diffs[np.float64], flags, strict=False):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
        assert flag != bool((expected == 0.5).all())


@pytest.mark.parametrize("mode", ["GEMM", "SPMDM", "CCNMM"])
def test_sees_weights_that_change(mode, device, rng):
    layer = inner_product(f"num_output: 2 gemm_mode: {mode} bias_term: false", device)
    bottom, top = set_up(layer, (3, 4))
    bottom[0].set_data(rng.standard_normal((3, 4)))
    layer.forward(bottom, top)
    assert not top[0].host_data.any()
    layer.blobs[0].set_data([[0, 0, 1, 0], [0, 0, 0, -1]])
    layer.forward(bottom, top)
    x = bottom[0].host_data
    np.testing.assert_array_equal(top[0].host_data, np.stack([x[:, 2], -x[:, 3]], axis=1))


@pytest.mark.parametrize("mode", ["GEMM", "SPMDM", "CCNMM"])
def test_follows_a_batch_that_changes(mode, device, rng):
    layer = inner_product(f"num_output: 2 gemm_mode: {mode} {FILLERS}", device, dtype=np.float32)
    bottom, top = set_up(layer, (3, 4))
    for batch in (5, 1):
        x = rng.standard_normal((batch, 4)).astype(np.float32)
        bottom = [blob_of(x, np.float32)]
        layer.reshape(bottom, top)
        layer.forward(bottom, top)
        weights, bias = (blob.host_data for blob in layer.blobs)
        np.testing.assert_allclose(top[0].host_data, x @ weights.T + bias, rtol=1e-5, atol=1e-5)


def test_counts_multiply_adds(device):
    layer = inner_product("num_output: 4 weight_filler { value: 1 }", device)
    set_up(layer, (5, 2, 3, 3))
    assert layer.macs() == layer.kept_macs() == 5 * 4 * 18
    layer.blobs[0].data[1:3] = 0
    layer.blobs[0].data[:, 4:] = 0
    assert layer.kept_macs() == 5 * 2 * 4


@ON_THE_CPU
def test_says_which_kernel_runs(device):
    descriptions = []
    for mode in ("GEMM", "SPMDM", "CCNMM"):
        layer = inner_product(f"num_output: 4 gemm_mode: {mode}", device)
        bottom, top = set_up(layer, (5, 3))
        descriptions.append(layer.kernel_description)
        layer.blobs[0].data[1, 1:] = 1
        layer.forward(bottom, top)
        descriptions.append(layer.kernel_description)
    assert descriptions == [
        *("gemm", "gemm"),
        *("csrmm of the non-zero weights", "own csrmm of 16.7 % of the weights"),
        *("dense product of the non-zero rows and columns", "gemm of 1 x 2 of 4 x 3"),
    ]


def test_refuses_a_bottom_of_another_size(device):
    layer = inner_product("num_output: 4", device)
    bottom, top = set_up(layer, (5, 3, 2))
    bottom[0].reshape(5, 3, 3)
    message = (
        r"^bottom: expected 6 elements from axis 1 on, as in the weights \(4, 6\), got \(5, 3, 3\)"
    )
    with pytest.raises(ShapeError, match=message):
        layer.reshape(bottom, top)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bias_term: true", "^num_output: expected 1 or more, got 0$"),
        ("num_output: 2 axis: 2", "^axis: expected -2 to 1 for 2 axes, got 2$"),
    ],
)
def test_refuses_sizes(text, message, device):
    with pytest.raises(ShapeError, match=message):
        set_up(inner_product(text, device), (2, 3))


@pytest.mark.parametrize("mode", ["SPMDM", "CCNMM"])
def test_sparse_weights_do_not_train(mode, device):
    text = f"num_output: 2 gemm_mode: {mode}"
    message = f"^gemm_mode: {mode} cannot train; use GEMM in TRAIN and {mode} in TEST$"
    with pytest.raises(UnsupportedError, match=message):
        set_up(inner_product(text, device, phase=TRAIN), (2, 3))
    layer = inner_product(text, device)
    bottom, top = set_up(layer, (2, 3))
    with pytest.raises(UnsupportedError, match=message):
        layer.backward(top, [True], bottom)


def test_the_kernel_may_be_another_one(device, rng):
    layer = inner_product(f"num_output: 3 {FILLERS}", device, dtype=np.float32)
    bottom, top = set_up(layer, (4, 5))
    bottom[0].set_data(rng.standard_normal((4, 5)))
    tops = []
    for kernel_class in KERNELS.values():
        layer.use_kernel(kernel_class)
        layer.reshape(bottom, top)
        assert isinstance(layer.kernel, kernel_class)
        layer.forward(bottom, top)
        tops.append(top[0].host_data.copy())
    np.testing.assert_allclose(tops, [tops[0]] * len(KERNELS), rtol=1e-5, atol=1e-5)


def test_refuses_what_has_no_kernel(device):
    with pytest.raises(UnsupportedError, match=r"^gemm_mode: SPGEMM has no kernel; use SPMDM$"):
        set_up(inner_product("num_output: 2 gemm_mode: SPGEMM", device), (2, 3))
    with pytest.raises(UnsupportedError, match=r"^relu: .* put a ReLU layer after it$"):
        set_up(inner_product("num_output: 2 relu: true", device), (2, 3))
