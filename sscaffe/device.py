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


@functools.cache
def cpu() -> Device:
    """Return the CPU."""
    from sscaffe.kernels import cpu as kernels

    return Device("cpu", np, kernels)


def gpu(index: int) -> Device:
    """Return a GPU by its number.

    Raises
    ------
    UnsupportedError
        Always: there are no GPU kernels yet.
    """
    raise UnsupportedError(
        f"gpu {index}: sscaffe has no GPU kernels yet; leave --gpu out, call set_mode_cpu(), or "
        "set solver_mode: CPU in the solver"
    )
