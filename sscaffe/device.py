"""Where a net computes: an array module and the kernels that go with it."""

import functools
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from sscaffe.errors import UnsupportedError
from sscaffe.kernels import Kernels


@dataclass(frozen=True)
class Device:
    """A place to compute; layers know nothing of it but these names."""

    name: str  # "cpu", "gpu:0"
    xp: ModuleType  # numpy or cupy
    kernels: Kernels

    @property
    def is_cpu(self) -> bool:
        """Whether arrays of the device are NumPy's."""
        return self.xp is np


@functools.cache
def cpu() -> Device:
    """Return the CPU."""
    from sscaffe.kernels import cpu as kernels

    return Device("cpu", np, kernels)


@functools.cache
def gpu(index: int = 0) -> Device:
    """Return a GPU by its number, and make it the one that this thread computes on.

    Raises
    ------
    UnsupportedError
        If there is no such GPU, or CuPy or a library that it needs is missing.
    """
    try:
        from sscaffe.kernels import gpu_runtime
    except ImportError as error:
        raise UnsupportedError(
            f"gpu {index}: CuPy cannot be imported ({error}); install it by pip install "
            '"sscaffe[cuda13]", or "sscaffe[cuda12]" for an older driver, or leave --gpu out'
        ) from error
    gpu_runtime.use(index)
    from sscaffe.kernels import gpu as kernels

    return Device(f"gpu:{index}", gpu_runtime.xp, kernels)
