"""Concat: values against NumPy, gradients by finite differences."""

import numpy as np
import pytest

from sscaffe.blob import Blob
from sscaffe.errors import ShapeError
from sscaffe.testing import check_gradient
from tests.helpers import blob_of, make_layer, run_layer


def concat(text="", dtype=np.float64):
    return make_layer(f"type: 'Concat' concat_param {{ {text} }}", dtype=dtype)


def test_joins_channels_by_default():
    y = run_layer(concat(), [[1.0, 2.0], [3.0, 4.0]], [[5.0], [6.0]])
    np.testing.assert_array_equal(y, [[1, 2, 5], [3, 4, 6]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bottoms", [1, 2, 3])
@pytest.mark.parametrize(
    ("text", "axis"),
    [("axis: 0", 0), ("axis: 1", 1), ("axis: 2", 2), ("axis: -1", 2), ("concat_dim: 0", 0)],
)
def test_joins_along_an_axis(text, axis, bottoms, dtype, rng):
    shapes = [[2, 3, 4] for _ in range(bottoms)]
    for size, shape in enumerate(shapes, start=1):
        shape[axis] = size
    inputs = [rng.standard_normal(shape) for shape in shapes]
    expected = np.concatenate(inputs, axis=axis).astype(dtype)
    np.testing.assert_array_equal(run_layer(concat(text, dtype), *inputs), expected)
    check_gradient(concat(text), inputs)


def test_leaves_diffs_that_nobody_asked_for():
    bottom = [blob_of([[1.0]]), blob_of([[2.0]])]
    layer, top = concat(), [Blob((), np.float64)]
    layer.setup(bottom, top)
    layer.reshape(bottom, top)
    top[0].set_diff([[3.0, 4.0]])
    layer.backward(top, [False, True], bottom)
    assert [float(blob.host_diff[0, 0]) for blob in bottom] == [0.0, 4.0]


@pytest.mark.parametrize("other", [(2, 3, 5), (2, 3)], ids=str)
def test_rejects_bottoms_that_differ_elsewhere(other):
    message = r"differ along axis 1 only, got \(2, 3, 4\) and \(2, 3"
    with pytest.raises(ShapeError, match=message):
        run_layer(concat(), np.zeros((2, 3, 4)), np.zeros(other))


def test_rejects_an_axis_that_is_not_there():
    with pytest.raises(ShapeError, match=r"^axis: expected -2 to 1 for 2 axes, got 2"):
        run_layer(concat("axis: 2"), np.zeros((2, 3)))
    with pytest.raises(ShapeError, match=r"^concat_dim: expected -2 to 1 for 2 axes, got 3"):
        run_layer(concat("concat_dim: 3"), np.zeros((2, 3)))


def test_rejects_both_names_of_the_axis():
    with pytest.raises(ShapeError, match=r"concat_dim: expected either axis or concat_dim"):
        run_layer(concat("axis: 1 concat_dim: 1"), np.zeros((2, 3)))
