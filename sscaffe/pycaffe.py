"""What pycaffe has beside nets, solvers and layers: modes, seeds, logs, timers."""

import importlib
import sys
import time
from typing import Any, NoReturn, Self

from sscaffe import device, random_numbers
from sscaffe.errors import UnsupportedError
from sscaffe.glog import log_to_stderr, logger
from sscaffe.layer import REGISTRY

_ALONE = (
    "sscaffe trains in one process; several machines or GPUs are not built yet, so leave the call "
    "out"
)

# pycaffe's module of this name has these as well; they live on higher floors.
_ELSEWHERE = (
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "Layer",
    "NesterovSolver",
    "Net",
    "RMSPropSolver",
    "SGDSolver",
    "get_solver",
)


def __getattr__(name: str) -> Any:
    if name not in _ELSEWHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("sscaffe"), name)


class _Mode:
    """What `set_device` chose, and whether `set_mode_gpu` was called."""

    index = 0
    is_gpu = False


def set_mode_cpu() -> None:
    """Let nets and solvers that are made from now on compute on the CPU, as they do anyway."""
    _Mode.is_gpu = False
    device.set_default(device.cpu())


def set_mode_gpu() -> None:
    """Let nets and solvers that are made from now on compute on the GPU.

    Raises
    ------
    UnsupportedError
        If there is none, or CuPy is missing.
    """
    device.set_default(device.gpu(_Mode.index))
    _Mode.is_gpu = True


def set_device(index: int) -> None:
    """Choose a GPU by its number, for `set_mode_gpu`, before it or after.

    Raises
    ------
    UnsupportedError
        If it is not there, or CuPy is missing.
    """
    place = device.gpu(index)
    _Mode.index = index
    if _Mode.is_gpu:
        device.set_default(place)


def set_random_seed(seed: int) -> None:
    """Let nets and solvers that are made from now on, and have no seed of their own, repeat.

    Parameters
    ----------
    seed : int
        32 bits. The same nets, made in the same order, draw the same numbers.
    """
    random_numbers.set_default_seed(seed)


def layer_type_list() -> list[str]:
    """Return the names of all layer types."""
    import sscaffe.layer_types  # noqa: F401  registers them

    return sorted(REGISTRY)


def init_log(level: int | None = None) -> None:
    """Send the log to stderr, as glog does; once is enough.

    Parameters
    ----------
    level : int, optional
        glog's: 0 for all, 1 for warnings and errors, 2 and more for errors.
    """
    if not any(getattr(handler, "stream", None) is sys.stderr for handler in logger.handlers):
        log_to_stderr()
    levels = ("INFO", "WARNING", "ERROR")
    logger.setLevel(levels[min(max(level or 0, 0), 2)])


def log(message: str) -> None:
    """Write a line to the log."""
    logger.info(message)


def has_nccl() -> bool:
    """Tell whether there is NCCL: no."""
    return False


def solver_count() -> int:
    """Return how many solvers train together: one."""
    return 1


def solver_rank() -> int:
    """Return the number of this one: 0."""
    return 0


def set_solver_count(count: int) -> None:
    """Say how many solvers train together.

    Raises
    ------
    UnsupportedError
        For more than one.
    """
    if count != 1:
        raise UnsupportedError(f"set_solver_count: {count}: {_ALONE}")


def set_solver_rank(rank: int) -> None:
    """Say which of the solvers this is.

    Raises
    ------
    UnsupportedError
        For another one than the first.
    """
    if rank != 0:
        raise UnsupportedError(f"set_solver_rank: {rank}: {_ALONE}")


def set_multiprocess(multiprocess: bool) -> None:
    """Say whether several processes train together.

    Raises
    ------
    UnsupportedError
        If they do.
    """
    if multiprocess:
        raise UnsupportedError(f"set_multiprocess: {_ALONE}")


class NCCL:
    """Stands for pycaffe's way to join GPUs, which sscaffe does not have."""

    def __init__(self, *arguments: Any) -> None:
        raise UnsupportedError(f"NCCL: {_ALONE}")

    @staticmethod
    def new_uid() -> NoReturn:
        """Raise UnsupportedError."""
        raise UnsupportedError(f"NCCL: {_ALONE}")


class Timer:
    """Measures time from `start` to `stop`."""

    def __init__(self) -> None:
        self._begin = self._end = 0.0

    def start(self) -> Self:
        """Begin."""
        self._begin = self._end = time.perf_counter()
        return self

    def stop(self) -> None:
        """End."""
        self._end = time.perf_counter()

    @property
    def ms(self) -> float:
        """Milliseconds between the two."""
        return 1e3 * (self._end - self._begin)
