"""Eltwise: values by hand, gradients by finite differences."""

import numpy as np
import pytest

from sscaffe.blob import Blob
from sscaffe.errors import ShapeError
from sscaffe.testing import check_gradient
from tests.helpers import away_from_zero, blob_of, make_layer, run_layer, spread_out

X = [[[1.0, -2.0]], [[3.0, 4.0]], [[-5.0, 6.0]]]


def eltwise(text="", dtype=np.float64):
    return make_layer(f"type: 'Eltwise' eltwise_param {{ {text} }}", dtype=dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [[-1.0, 8.0]]),
        ("operation: SUM coeff: 2 coeff: 1 coeff: -0.5", [[7.5, -3.0]]),
        ("operation: PROD", [[-15.0, -48.0]]),
        ("operation: PROD stable_prod_grad: false", [[-15.0, -48.0]]),
        ("operation: MAX", [[3.0, 6.0]]),
    ],
)
def test_combines(text, expected, dtype):
    np.testing.assert_array_equal(run_layer(eltwise(text, dtype), *X), expected)


@pytest.mark.parametrize("bottoms", [2, 3, 4])
@pytest.mark.parametrize("coeff", [[], [1, 1, 1, 1], [0.5, -2, 1, 3]], ids=str)
def test_gradient_of_sum(coeff, bottoms, rng):
    text = " ".join(f"coeff: {value}" for value in coeff[:bottoms])
    check_gradient(eltwise(text), list(rng.standard_normal((bottoms, 2, 3, 2))))


@pytest.mark.parametrize("bottoms", [2, 3, 4])
@pytest.mark.parametrize("stable", ["true", "false"])
def test_gradient_of_product(stable, bottoms, rng):
    layer = eltwise(f"operation: PROD stable_prod_grad: {stable}")
    check_gradient(layer, list(away_from_zero((bottoms, 2, 3), rng)))


@pytest.mark.parametrize("bottoms", [2, 3, 4])
def test_gradient_of_max(bottoms, rng):
    check_gradient(eltwise("operation: MAX"), list(spread_out((bottoms, 3, 4), rng)))


def test_stable_product_has_a_gradient_at_0():
    bottom = [blob_of([0.0, 2.0]), blob_of([3.0, 0.0])]
    layer, top = eltwise("operation: PROD"), [Blob((), np.float64)]
    layer.setup(bottom, top)
    layer.reshape(bottom, top)
    layer.forward(bottom, top)
    top[0].set_diff([1.0, 10.0])
    layer.backward(top, [True, True], bottom)
    np.testing.assert_array_equal(bottom[0].host_diff, [3.0, 0.0])
    np.testing.assert_array_equal(bottom[1].host_diff, [0.0, 20.0])


def test_of_equal_elements_the_second_bottom_counts_first():
    bottom = [blob_of(x) for x in ([1.0, 1.0, 0.0], [1.0, 0.0, 1.0], [1.0, 1.0, 1.0])]
    layer, top = eltwise("operation: MAX"), [Blob((), np.float64)]
    layer.setup(bottom, top)
    layer.reshape(bottom, top)
    layer.forward(bottom, top)
    top[0].set_diff(1.0)
    layer.backward(top, [True] * 3, bottom)
    diffs = [blob.host_diff.tolist() for blob in bottom]
    assert diffs == [[0, 1, 0], [1, 0, 1], [0, 0, 0]]


def test_leaves_diffs_that_nobody_asked_for():
    bottom = [blob_of([1.0]), blob_of([2.0])]
    layer, top = eltwise(), [Blob((), np.float64)]
    layer.setup(bottom, top)
    layer.reshape(bottom, top)
    top[0].set_diff(5.0)
    layer.backward(top, [False, True], bottom)
    assert [float(blob.host_diff[0]) for blob in bottom] == [0.0, 5.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("coeff: 1", r"coeff: expected none or one for each of the 3 bottoms, got 1"),
        (
            "operation: MAX coeff: 1 coeff: 1 coeff: 1",
            r"coeff: only operation SUM takes coefficients",
        ),
    ],
)
def test_rejects_coefficients(text, message):
    with pytest.raises(ShapeError, match=message):
        run_layer(eltwise(text), *X)


def test_rejects_bottoms_of_different_shapes():
    with pytest.raises(ShapeError, match=r"bottoms of one shape, got \(2, 3\) and \(3, 2\)"):
        run_layer(eltwise(), np.zeros((2, 3)), np.zeros((3, 2)))
