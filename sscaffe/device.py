"""Where a net computes: an array module and the kernels that go with it."""

import functools
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from sscaffe.errors import UnsupportedError
from sscaffe.kernels import Kernels

OR_CPU = "to compute on the CPU, leave --gpu out, or set solver_mode: CPU"


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

    def enter(self) -> None:
        """Make this the device that this thread computes on: each thread has one of its own."""
        if not self.is_cpu:
            from sscaffe.kernels import gpu_runtime

            gpu_runtime.enter(int(self.name.partition(":")[2]))


@functools.cache
def cpu() -> Device:
    """Return the CPU."""
    from sscaffe.kernels import cpu as kernels

    return Device("cpu", np, kernels)


def use_gpu(index: int) -> ModuleType:
    """Make a GPU the one that this thread computes on; return the module that reaches it.

    Raises
    ------
    UnsupportedError
        If there is no such GPU, or no driver, or no CuPy.
    """
    runtime = _gpu_runtime(index)
    runtime.use(index)
    return runtime


def _gpu_runtime(index: int) -> ModuleType:
    try:
        from sscaffe.kernels import gpu_runtime
    except ImportError as error:
        raise UnsupportedError(
            f"gpu {index}: CuPy cannot be imported ({error}); install it by pip install "
            f'"sscaffe[cuda13]", or "sscaffe[cuda12]" for an older driver; {OR_CPU}'
        ) from error
    return gpu_runtime


@functools.cache
def gpu(index: int = 0) -> Device:
    """Return a GPU by its number, and make it the one that this thread computes on.

    Raises
    ------
    UnsupportedError
        If there is no such GPU, or CuPy or a library that it needs is missing.
    """
    if _Chosen.gpu not in (None, index):
        raise UnsupportedError(
            f"gpu {index}: this process computes on gpu {_Chosen.gpu} alone; start another"
        )
    xp: ModuleType = use_gpu(index).xp
    try:
        from sscaffe.kernels import gpu as kernels
    except (ImportError, OSError, RuntimeError) as error:
        raise UnsupportedError(
            f"gpu {index}: a library cannot be loaded ({error}); sscaffe device_query says what is "
            f"missing; {OR_CPU}"
        ) from error
    _Chosen.gpu = index
    return Device(f"gpu:{index}", xp, kernels)


class _Chosen:
    """What `set_default` was given last, and the GPU that this process computes on."""

    device: Device | None = None
    gpu: int | None = None


def default() -> Device:
    """Return where nets and solvers compute that are not told where: the CPU, if nothing is said.

    It is read once, when a net or solver is made.
    """
    return _Chosen.device or cpu()


def set_default(device: Device) -> None:
    """Say where nets and solvers compute that are made from now on, and not told where."""
    _Chosen.device = device


def gpu_count() -> int:
    """Return how many GPUs there are.

    Raises
    ------
    UnsupportedError
        If the first cannot be reached.
    """
    # Without a change of the GPU that this thread computes on.
    return int(_gpu_runtime(0).count())


def allow_tf32(allowed: bool) -> None:
    """Say whether GPUs may round float32 to 10 bits in products, for the whole process.

    Nets that have chosen their plans already keep them.
    """
    from sscaffe.kernels import gpu_runtime

    gpu_runtime.settings.allow_tf32 = allowed


def on_host(array: Any) -> npt.NDArray[Any]:
    """Return an array of any device as one of NumPy."""
    if isinstance(array, np.ndarray):
        return array
    from sscaffe.kernels import gpu_runtime

    return gpu_runtime.to_host(array)
