"""Concat on the GPU, against NumPy."""

import numpy as np
import pytest

from sscaffe.kernels.gpu_eltwise import ChannelConcat
from tests.gpu.blobs import blob_of, data_of, diff_of, unset, with_diff

pytestmark = pytest.mark.gpu

# shapes, axis
CASES = [
    ([(2, 3, 4, 5)], 1),
    ([(2, 3, 4, 5), (2, 1, 4, 5), (2, 6, 4, 5)], 1),  # packs
    ([(2, 3, 3, 3), (2, 2, 3, 3)], 1),
    ([(2, 3, 3, 3), (3, 3, 3, 3)], 0),
    ([(2, 3, 3, 3), (2, 3, 3, 1)], 3),
    ([(2, 3, 3, 4), (2, 3, 3, 8)], 3),
    ([(2, 3, 3, 4), (2, 3, 3, 2)], 3),
    ([(5,), (1,), (4,)], 0),
    ([(2, 3, 1, 3), (2, 3, 2, 3)], 2),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_concat(case, dtype, rng):
    shapes, axis = case
    arrays = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
    whole = np.concatenate(arrays, axis)
    bottom, top = [blob_of(x) for x in arrays], unset(whole.shape, dtype)
    concat = ChannelConcat(axis, dtype)
    concat.forward(bottom, top)
    np.testing.assert_array_equal(data_of(top), whole)
    dy = rng.standard_normal(whole.shape).astype(dtype)
    concat.backward(with_diff(top, dy), [i != 1 for i in range(len(bottom))], bottom)
    ends = np.cumsum([shape[axis] for shape in shapes])[:-1]
    for i, part in enumerate(np.split(dy, ends, axis)):
        expected = np.full(part.shape, np.nan) if i == 1 else part
        np.testing.assert_array_equal(diff_of(bottom[i]), expected)
