"""Embed: rows of a table by hand, its gradient by finite differences."""

import numpy as np
import pytest

from sscaffe.blob import Blob
from sscaffe.errors import DataError, ShapeError, UnsupportedError
from sscaffe.testing import check_gradient
from tests.helpers import blob_of, make_layer, run_layer

FILLED = "weight_filler { type: 'gaussian' } bias_filler { type: 'gaussian' }"


def embed(text="num_output: 2 input_dim: 3", dtype=np.float64):
    return make_layer(f"type: 'Embed' embed_param {{ {text} }}", dtype=dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_looks_rows_up_and_adds_the_bias(dtype):
    layer, bottom = embed(dtype=dtype), [blob_of([[2, 0]], dtype)]
    top = [Blob((), dtype)]
    layer.setup(bottom, top)
    layer.blobs[0].set_data([[1, 2], [3, 4], [5, 6]])
    layer.blobs[1].set_data([10, 20])
    layer.reshape(bottom, top)
    layer.forward(bottom, top)
    np.testing.assert_array_equal(top[0].host_data, [[[15, 26], [11, 22]]])


@pytest.mark.parametrize("bias_term", ["true", "false"])
@pytest.mark.parametrize("shape", [(), (5,), (3, 2), (0,)], ids=str)
def test_gradient(shape, bias_term, rng):
    layer = embed(f"num_output: 3 input_dim: 4 bias_term: {bias_term} {FILLED}")
    check_gradient(layer, [rng.integers(0, 4, shape).astype(float)], check_bottom=[False])
    assert len(layer.blobs) == (2 if bias_term == "true" else 1)


def test_gradients_of_a_row_that_is_used_twice_add_up_and_may_be_left_out():
    layer, bottom, top = embed(), [blob_of([1, 1, 2])], [Blob((), np.float64)]
    layer.setup(bottom, top)
    layer.reshape(bottom, top)
    layer.forward(bottom, top)
    top[0].set_diff([[1, 2], [10, 20], [100, 200]])
    layer.backward(top, [False], bottom)
    np.testing.assert_array_equal(layer.blobs[0].host_diff, [[0, 0], [11, 22], [100, 200]])
    np.testing.assert_array_equal(layer.blobs[1].host_diff, [111, 222])
    layer.param_propagate_down = [False, False]
    layer.backward(top, [False], bottom)
    np.testing.assert_array_equal(layer.blobs[1].host_diff, [111, 222])


@pytest.mark.parametrize("number", [3, -1, np.nan])
def test_rejects_a_number_that_has_no_row(number):
    with pytest.raises(DataError, match=f"bottom: expected 0 to 2 for 3 rows, got {number:g}"):
        run_layer(embed(), [0, number])


def test_rejects_a_table_without_a_size():
    with pytest.raises(ShapeError, match="num_output: expected 1 or more, got 0"):
        run_layer(embed("input_dim: 3"), [0])
    with pytest.raises(ShapeError, match="input_dim: expected 1 or more, got 0"):
        run_layer(embed("num_output: 3"), [0])


def test_the_integers_have_no_gradient():
    assert not embed().allow_force_backward(0)
    with pytest.raises(UnsupportedError, match="the integers of Embed have no gradient"):
        embed().backward([], [True], [])
