"""Which library multiplies, and that each of them gives the same product."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from sscaffe import _core
from sscaffe.errors import UnsupportedError
from sscaffe.kernels import cpu_blas, mkl
from tests.kernels.test_gemm import operands
from tests.kernels.test_sparse import tolerance
from tests.kernels.test_sparse_matrix import SHAPES, expected_product, random_case

needs_mkl = pytest.mark.skipif(mkl.find() is None, reason='needs pip install "sscaffe[mkl]"')
LIBRARIES = [
    "native",
    pytest.param("onednn", marks=pytest.mark.skipif(not _core.has_onednn, reason="needs oneDNN")),
    pytest.param("mkl", marks=needs_mkl),
]


@pytest.fixture
def choose(monkeypatch):
    """Let the environment name a library, and forget the choice afterwards."""

    def forget():
        cpu_blas.chosen.cache_clear()
        cpu_blas._sgemm.cache_clear()

    def choose(name):
        forget()
        if name is None:
            monkeypatch.delenv(cpu_blas.VARIABLE, raising=False)
        else:
            monkeypatch.setenv(cpu_blas.VARIABLE, name)

    yield choose
    monkeypatch.undo()
    forget()


@pytest.mark.parametrize("name", LIBRARIES)
def test_the_environment_chooses(name, choose):
    choose(name)
    assert cpu_blas.chosen() == name
    assert cpu_blas.description().endswith(f"(SSCAFFE_BLAS={name})")


@pytest.mark.parametrize("name", [None, ""])
def test_the_default(name, choose):
    choose(name)
    assert cpu_blas.chosen() == ("onednn" if _core.has_onednn else "native")


def test_it_is_read_once(choose, monkeypatch):
    choose("native")
    assert cpu_blas.chosen() == "native"
    monkeypatch.setenv(cpu_blas.VARIABLE, "openblas")
    assert cpu_blas.chosen() == "native"


def test_refuses_names_it_does_not_know(choose):
    choose("openblas")
    message = r"^SSCAFFE_BLAS: expected (onednn, )?native.*, got 'openblas'$"
    with pytest.raises(UnsupportedError, match=message):
        cpu_blas.chosen()


def test_says_what_to_install(choose, monkeypatch):
    monkeypatch.setattr(mkl, "find", lambda: None)
    choose("mkl")
    message = r'^SSCAFFE_BLAS: mkl is not here, only .*native; pip install "sscaffe\[mkl\]"$'
    with pytest.raises(UnsupportedError, match=message):
        cpu_blas.chosen()
    monkeypatch.setattr(_core, "has_onednn", False)
    choose("onednn")
    message = r"^SSCAFFE_BLAS: onednn is not here, only native; install sscaffe again where pip"
    with pytest.raises(UnsupportedError, match=message):
        cpu_blas.chosen()


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("size", [(0, 3, 2), (3, 2, 0), (1, 1, 1), (9, 49, 17), (70, 130, 600)])
@pytest.mark.parametrize("name", LIBRARIES)
def test_gemm(name, size, transpose_a, transpose_b, accumulate, choose, dtype, rng):
    choose(name)
    a, b, out = operands(rng, size, dtype, transpose_a, transpose_b)
    x, y = a.astype(np.float64), b.astype(np.float64)
    expected = (x.T if transpose_a else x) @ (y.T if transpose_b else y)
    if accumulate:
        expected += out
    else:
        out[...] = np.nan
    cpu_blas.gemm(a, b, out, transpose_a, transpose_b, accumulate)
    np.testing.assert_allclose(out, expected, rtol=0, atol=tolerance(dtype, size[2]))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("density", [0, 0.2, 1])
@pytest.mark.parametrize("name", LIBRARIES)
def test_sparse_product(name, density, shape, choose, dtype, rng):
    choose(name)
    matrix, x, bias = random_case(rng, shape, density, dtype)
    (batch, k, p), m = x.shape, len(matrix)
    sparse = cpu_blas.sparse_product(*_core.dense_to_csr(matrix), k, p)
    assert ("MKL" in sparse.description) == (name == "mkl" and dtype == np.float32)
    vectors = np.ascontiguousarray(x.transpose(0, 2, 1)).reshape(batch * p, k)
    for start, relu in ((bias, False), (None, True)):
        out, rows = np.full((batch, m, p), np.nan, dtype), np.full((batch * p, m), np.nan, dtype)
        sparse.multiply(x, out, start, relu=relu)
        sparse.multiply_vectors(vectors, rows, start, relu=relu)
        expected = expected_product(matrix, x, start, relu)
        limits = {"rtol": 0, "atol": tolerance(dtype, k)}
        np.testing.assert_allclose(out, expected, **limits)
        np.testing.assert_allclose(rows, expected.transpose(0, 2, 1).reshape(rows.shape), **limits)


@needs_mkl
@pytest.mark.usefixtures("threads")
def test_mkl_in_any_number_of_threads(dtype, rng):
    matrix, x, bias = random_case(rng, (2, 150, 300, 169), 0.3, np.float32)
    out = np.zeros((2, 150, 169), np.float32)
    cpu_blas.MklProduct(*_core.dense_to_csr(matrix), 300, 169).multiply(x, out, bias)
    expected = expected_product(matrix, x, bias, False)
    np.testing.assert_allclose(out, expected, rtol=0, atol=tolerance(np.float32, 300))


@needs_mkl
def test_mkl_wants_its_arrays_as_they_are():
    a = np.zeros((3, 3), np.float32)
    for wrong in (a.astype(np.float64), a.T, a[:, ::2]):
        with pytest.raises(TypeError, match="expected C-contiguous float32"):
            mkl.sgemm(a, wrong, a.copy(), False, False, False)


@needs_mkl
def test_mkl_brings_no_second_openmp():
    """In a process of its own: what other tests load does not count."""
    script = """
import json, numpy as np
from pathlib import Path
from sscaffe.kernels import cpu
a = np.ones((300, 300), np.float32)
cpu.gemm(a, a, np.empty_like(a))
maps = Path("/proc/self/maps").read_text()
print(json.dumps({name: name in maps for name in ("libmkl_rt", "libgomp", "libiomp5")}))
"""
    environment = {**os.environ, "SSCAFFE_BLAS": "mkl", "MKL_THREADING_LAYER": "INTEL"}
    result = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert json.loads(result.stdout) == {"libmkl_rt": True, "libgomp": True, "libiomp5": False}
