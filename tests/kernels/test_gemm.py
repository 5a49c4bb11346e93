"""The core's own matrix product, against NumPy's in double precision."""

import numpy as np
import pytest

from sscaffe import _core

# m, n, k: empty, vectors, below and above one tile, across the blocks and threads.
SIZES = [
    (0, 3, 2),
    (3, 0, 2),
    (3, 2, 0),
    (1, 1, 1),
    (1, 70, 9),
    (70, 1, 9),
    (7, 47, 5),
    (8, 48, 16),
    (9, 49, 17),
    (20, 576, 25),
    (200, 100, 300),
    (50, 3100, 40),
]


def operands(rng, size, dtype, transpose_a=False, transpose_b=False):
    m, n, k = size
    a = rng.standard_normal((k, m) if transpose_a else (m, k)).astype(dtype)
    b = rng.standard_normal((n, k) if transpose_b else (k, n)).astype(dtype)
    return a, b, rng.standard_normal((m, n)).astype(dtype)


def check_gemm(a, b, out, transpose_a=False, transpose_b=False, accumulate=False):
    x, y = a.astype(np.float64), b.astype(np.float64)
    product = (x.T if transpose_a else x) @ (y.T if transpose_b else y)
    expected = product + out if accumulate else product
    if not accumulate:
        out[...] = np.nan
    _core.gemm(a, b, out, transpose_a, transpose_b, accumulate)
    # Each of k + 1 roundings is relative to a partial sum of standard normals, of at most about
    # 4 sqrt(k): 8 eps sqrt(k) sqrt(k) leaves a factor of two.
    depth = a.shape[0 if transpose_a else 1]
    tolerance = 8 * np.finfo(out.dtype).eps * (depth + 1)
    np.testing.assert_allclose(out, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.usefixtures("isa")
def test_product(size, dtype, rng):
    check_gemm(*operands(rng, size, dtype))


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("size", [(3, 2, 0), (5, 3, 4), (9, 49, 17), (30, 130, 600)], ids=str)
def test_transposes_and_accumulation(size, transpose_a, transpose_b, accumulate, dtype, rng):
    a, b, out = operands(rng, size, dtype, transpose_a, transpose_b)
    check_gemm(a, b, out, transpose_a, transpose_b, accumulate)


@pytest.mark.parametrize("size", [(300, 170, 129), (17, 1000, 200), (1000, 17, 200)], ids=str)
@pytest.mark.usefixtures("threads")
def test_any_number_of_threads(size, dtype, rng):
    check_gemm(*operands(rng, size, dtype))


def test_refuses(rng):
    a, b, out = operands(rng, (4, 5, 6), np.float32)
    with pytest.raises(TypeError):
        _core.gemm(a, b.astype(np.float64), out, False, False, False)
    with pytest.raises(TypeError):
        _core.gemm(a, b[:, ::2], out, False, False, False)
    with pytest.raises(ValueError, match="b: expected 4 rows after transposing, got 6"):
        _core.gemm(a, b, out, True, False, False)
    with pytest.raises(ValueError, match="out: expected 4 rows, got 3"):
        _core.gemm(a, b, out[:3], False, False, False)
    with pytest.raises(ValueError, match="out: expected 5 columns, got 4"):
        _core.gemm(a, b, np.zeros((4, 4), np.float32), False, False, False)
    with pytest.raises(ValueError, match="a: expected 2 axes, got 1"):
        _core.gemm(a.ravel(), b, out, False, False, False)
