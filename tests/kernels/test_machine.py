"""Instruction sets, threads and memory of the C++ core."""

import os
import subprocess
import sys

import numpy as np
import pytest

from sscaffe import _core

PRINT_ISA = "from sscaffe import _core; print(_core.cpu_features())"


def run_python(isa):
    return subprocess.run(
        [sys.executable, "-c", PRINT_ISA],
        env={**os.environ, "SSCAFFE_ISA": isa},
        capture_output=True,
        text=True,
        check=False,
    )


def test_names_the_instruction_set(isa):
    assert _core.cpu_features() == isa


def test_environment_forces_an_instruction_set():
    assert run_python("portable").stdout == "portable\n"


def test_environment_refuses_an_unknown_instruction_set():
    stderr = run_python("mmx").stderr
    assert "SSCAFFE_ISA: expected one that this machine has (" in stderr
    assert "portable), got mmx" in stderr


def test_refuses_an_unknown_instruction_set():
    before = _core.cpu_features()
    with pytest.raises(ValueError, match="got sse9"):
        _core.set_isa("sse9")
    assert _core.cpu_features() == before


def test_sets_the_number_of_threads(threads):
    assert _core.get_num_threads() == threads


def test_refuses_less_than_one_thread():
    with pytest.raises(ValueError, match="threads: expected 1 or more, got 0"):
        _core.set_num_threads(0)


@pytest.mark.parametrize("dtype", ["float32", np.float64, np.dtype("int32")], ids=str)
@pytest.mark.parametrize("count", [0, 1, 17, 100_000])
def test_aligned_array(count, dtype):
    array = _core.aligned_array(count, dtype)
    assert array.shape == (count,)
    assert array.dtype == np.dtype(dtype)
    assert array.ctypes.data % 64 == 0
    assert array.flags.c_contiguous
    assert array.flags.writeable
    array[...] = 3
    assert (array == 3).all()


def test_a_large_array_is_aligned_to_huge_pages():
    assert _core.aligned_array(1 << 19, np.float32).ctypes.data % (2 << 20) == 0


def test_aligned_array_refuses():
    with pytest.raises(ValueError, match="count: expected 0 or more, got -1"):
        _core.aligned_array(-1, np.float32)
    with pytest.raises(TypeError, match="dtype: expected numbers, got object"):
        _core.aligned_array(1, object)
