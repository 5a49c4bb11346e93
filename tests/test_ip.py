"""Every way to compute inner products against NumPy in float64.

Tolerance: 1e-5 of the largest output in float32, 1e-12 in float64.
"""

import numpy as np
import pytest

from sscaffe.blob import Blob
from sscaffe.errors import UnsupportedError
from sscaffe.ip import KERNELS, AutoIp, IpSizes
from sscaffe.layer import TEST
from sscaffe.weighted.base import Epilogue, Propagate
from sscaffe.weighted.choice import Zeros
from tests.helpers import blob_of
from tests.kernels.conftest import isa, threads  # noqa: F401

TOLERANCE = {"float32": 1e-5, "float64": 1e-12}


def zero_rows(matrix, rng):
    matrix[::2] = 0


def zero_columns(matrix, rng):
    matrix[:, rng.random(matrix.shape[1]) < 0.6] = 0


def zero_rows_and_columns(matrix, rng):
    zero_rows(matrix, rng)
    zero_columns(matrix, rng)


def scattered(matrix, rng):
    matrix[rng.random(matrix.shape) < 0.8] = 0


def all_zero(matrix, rng):
    matrix[...] = 0


def dense(matrix, rng):
    pass


PATTERNS = [dense, zero_rows, zero_columns, zero_rows_and_columns, scattered, all_zero]


def check(name, sizes, pattern, dtype, rng, *, bias=True, relu=False):
    matrix = rng.standard_normal((sizes.outputs, sizes.inputs)).astype(dtype)
    pattern(matrix, rng)
    x = rng.standard_normal((sizes.batch, sizes.inputs)).astype(dtype)
    start = rng.standard_normal(sizes.outputs).astype(dtype)
    expected = x.astype(np.float64) @ matrix.T.astype(np.float64) + (start if bias else 0)
    if relu:
        expected = np.maximum(expected, 0)
    kernel = KERNELS[name](sizes, _device(), dtype, TEST)
    weights = blob_of(matrix.T if sizes.transpose else matrix, dtype)
    top = Blob((sizes.batch, sizes.outputs), dtype)
    for _ in range(2):
        top.set_data(np.nan)
        blobs = blob_of(x, dtype), weights, blob_of(start, dtype) if bias else None, top
        kernel.forward(*blobs, Epilogue(None, relu))
        scale = max(1, abs(expected).max(initial=0))
        limit = TOLERANCE[np.dtype(dtype).name] * scale
        np.testing.assert_allclose(top.const_data, expected, rtol=0, atol=limit)
    return kernel


def _device():
    from sscaffe.device import cpu

    return cpu()


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("batch", [1, 3, 16, 40])
@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda p: p.__name__)
@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_forward(name, pattern, batch, transpose, dtype, rng):
    sizes = IpSizes(batch, 37, 21, transpose)
    check(name, sizes, pattern, dtype, rng)
    check(name, sizes, pattern, dtype, rng, bias=False, relu=True)
    check(name, sizes, pattern, dtype, rng, relu=True)


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.usefixtures("isa")
def test_random_sizes(name, seed):
    rng = np.random.default_rng(seed)
    sizes = IpSizes(*(int(rng.integers(1, top)) for top in (40, 400, 300)), bool(rng.integers(2)))
    pattern = PATTERNS[rng.integers(len(PATTERNS))]
    check(name, sizes, pattern, np.float32, rng, bias=rng.random() < 0.5, relu=rng.random() < 0.5)


@pytest.mark.parametrize("batch", [1, 32])
@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.usefixtures("threads")
def test_any_number_of_threads(name, batch, rng):
    check(name, IpSizes(batch, 800, 500), scattered, np.float32, rng)
    check(name, IpSizes(batch, 800, 500), zero_rows_and_columns, np.float32, rng)


@pytest.mark.parametrize("sizes", [(0, 3, 4), (2, 0, 4)], ids=str)
@pytest.mark.parametrize("name", KERNELS)
def test_nothing_to_multiply(name, sizes, rng):
    check(name, IpSizes(*sizes), dense, np.float32, rng)


@pytest.mark.parametrize("name", KERNELS)
def test_refuses_to_train(name, rng):
    kernel = KERNELS[name](IpSizes(2, 3, 4), _device(), np.float32, TEST)
    blobs = [Blob(shape) for shape in ((2, 4), (2, 3), (4, 3))]
    if kernel.trains:
        kernel.forward(blobs[1], blobs[2], None, blobs[0])
        kernel.backward(*blobs, None, Propagate(True, True, False))
        return
    message = f"^gemm_mode: {kernel.mode_name} cannot train; use GEMM in TRAIN and "
    with pytest.raises(UnsupportedError, match=message):
        kernel.backward(*blobs, None, Propagate(True, True, False))


def test_candidates_are_those_with_zeros_enough(rng):
    names = {}
    auto = AutoIp(IpSizes(2, 60, 40), _device(), np.float32, TEST)
    for pattern in PATTERNS:
        matrix = rng.standard_normal((40, 60))
        pattern(matrix, rng)
        names[pattern.__name__] = list(auto._candidates(Zeros.of(matrix, 1)))
    assert names == {
        "dense": ["GEMM"],
        "zero_rows": ["GEMM", "SPMDM", "CCNMM"],
        "zero_columns": ["GEMM", "SPMDM", "CCNMM"],
        "zero_rows_and_columns": ["GEMM", "SPMDM", "CCNMM"],
        "scattered": ["GEMM", "SPMDM"],
        "all_zero": ["GEMM", "SPMDM", "CCNMM"],
    }
