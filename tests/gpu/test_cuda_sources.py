"""Every CUDA source compiles by NVRTC, for old and new chips, without a GPU."""

from pathlib import Path

import pytest

import sscaffe
from tests.gpu.nvrtc import compile_source, library

FOLDER = Path(sscaffe.__file__).parent / "kernels" / "cuda"

pytestmark = pytest.mark.skipif(
    library() is None, reason="no libnvrtc; install the package nvidia-cuda-nvrtc"
)


def compiled(path, real, chip):
    options = ["-std=c++17", f"-DReal={real}", f"-I{FOLDER}", f"--gpu-architecture={chip}"]
    return compile_source(path, options)


@pytest.mark.parametrize("chip", ["sm_75", "sm_90"])
@pytest.mark.parametrize("real", ["float", "double"])
@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.cu")), ids=lambda path: path.name)
def test_source_compiles(path, real, chip):
    done, log = compiled(path, real, chip)
    assert done, log
    assert not log, log  # not even a warning


def test_a_fault_is_told(tmp_path):
    path = tmp_path / "fault.cu"
    path.write_text('extern "C" __global__ void fault(Real* x) { x[0] = unknown; }')
    done, log = compiled(path, "float", "sm_90")
    assert not done
    assert 'identifier "unknown" is undefined' in log
