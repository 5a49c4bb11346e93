"""A tensor of a GPU: its page-locked memory is nobody else's while it is copied."""

import gc

import numpy as np
import pytest

from sscaffe.device_tensor import DeviceTensor
from sscaffe.kernels import gpu_runtime
from sscaffe.kernels.gpu_runtime import to_host, xp
from sscaffe.kernels.gpu_update import _Constants

pytestmark = pytest.mark.gpu


@pytest.fixture
def uploading():
    """Return a tensor whose copy to the device may be on its way."""
    tensor = DeviceTensor(4, np.float32, xp)
    tensor.host_overwrite()[...] = 3
    assert to_host(tensor.read().copy()).tolist() == [3, 3, 3, 3]
    tensor.host_overwrite()[...] = 5
    tensor.read()
    return tensor


def test_the_host_reads_zeros_after_a_copy(uploading):
    uploading.clear()
    assert uploading.host_read().tolist() == [0, 0, 0, 0]
    gpu_runtime.synchronize()


def test_memory_is_let_go_of_after_a_copy(uploading):
    uploading.release()
    gc.collect()
    gpu_runtime.synchronize()


def test_constants_are_let_go_of_after_a_copy():
    constants = _Constants(3)
    constants.set([1.0, 2.0, 3.0])
    array = constants.array
    del constants
    gc.collect()
    gpu_runtime.synchronize()
    assert to_host(array).tolist() == [1, 2, 3]
