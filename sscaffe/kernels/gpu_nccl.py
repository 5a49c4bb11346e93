"""NCCL: means over the GPUs of several processes, on a stream beside the one that computes."""

import os
from typing import Any

from sscaffe.errors import SscaffeError
from sscaffe.kernels.gpu_runtime import nccl, xp

SWITCH = "SSCAFFE_NCCL"
"""In the environment, 0 lets ranks do without."""


def missing() -> str:
    """Return why there is no NCCL here; empty if there is."""
    if os.environ.get(SWITCH, "") == "0":
        return f"{SWITCH} is 0"
    if nccl().available:
        return ""
    major = xp.cuda.runtime.runtimeGetVersion() // 1000
    return f"CuPy finds no NCCL (pip install nvidia-nccl-cu{major})"


def version() -> str:
    """Return the version of NCCL, such as ``2.27.7``."""
    number = int(nccl().get_version())
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}"


def unique_id() -> Any:
    """Return what processes need to know of each other, to be made by one and told to all."""
    return _asked(0, nccl().get_unique_id)


class Nccl:
    """The GPUs of several processes, one of each.

    Parameters
    ----------
    size, rank : int
        How many processes there are, and which this is.
    identity : object
        What `unique_id` returned on one of them.

    Raises
    ------
    SscaffeError
        If they do not meet.

    Notes
    -----
    All have to call `start_mean` in the same order, with as many elements.
    """

    def __init__(self, size: int, rank: int, identity: Any) -> None:
        # Where a switch adds up, nothing says in which order: another run had other bits.
        os.environ.setdefault("NCCL_NVLS_ENABLE", "0")
        self._size, self._rank = size, rank
        self._comm = _asked(rank, nccl().NcclCommunicator, size, identity, rank)
        self._stream = xp.cuda.Stream(non_blocking=True)

    def start_mean(self, array: Any) -> "Mean":
        """Begin to replace an array of the device by its mean over all GPUs.

        That starts when the device has done what the current stream was asked for until now, and
        goes on beside what it is asked for next. Each GPU gets the same bits.

        Parameters
        ----------
        array : ndarray of float32
            C-contiguous; not to be touched before `Mean.wait`.

        Raises
        ------
        SscaffeError
            If NCCL refuses, or has found since the last call that another process is gone.
        """
        module, stream, comm = nccl(), self._stream, self._comm
        before = xp.cuda.Event(disable_timing=True)
        before.record()
        stream.wait_event(before)
        _asked(self._rank, comm.check_async_error)
        place, count = array.data.ptr, array.size
        kind, add = module.NCCL_FLOAT32, module.NCCL_SUM
        _asked(self._rank, comm.allReduce, place, place, count, kind, add, stream.ptr)
        done = xp.cuda.Event(disable_timing=True)
        with stream:
            array /= self._size
            done.record()
        return Mean(done)

    def abort(self) -> None:
        """Give up what is under way, from whatever thread, as the process is about to end."""
        self._comm.abort()


class Mean:
    """A mean that is being made."""

    def __init__(self, done: Any) -> None:
        self._done = done

    def progress(self) -> bool:
        """Do nothing: the device goes on by itself."""
        return False

    def wait(self) -> None:
        """Let what the current stream is asked for from now on come after it."""
        xp.cuda.get_current_stream().wait_event(self._done)


def _asked(rank: int, call: Any, *arguments: Any) -> Any:
    """Call NCCL, whose errors are those of a rank."""
    try:
        return call(*arguments)
    except nccl().NcclError as error:
        raise SscaffeError(
            f"NCCL on rank {rank}: {error}; NCCL_DEBUG=INFO says more, {SWITCH}=0 adds up on the "
            "host instead"
        ) from error
