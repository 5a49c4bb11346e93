"""NCCL over MPI, with CuPy's names: what GPUs of several processes do together.

As on a GPU, nothing is there before somebody has waited for the stream: until then an array that is
received holds NaN. A stream that has not waited for what it reads is refused.
"""

import ctypes
import os

import numpy as np
from cupy import _capture
from cupy.cuda import runtime

LIBRARY = "CUDA_ON_HOST_NCCL"  # in the environment, 0 if it is not installed
available = os.environ.get(LIBRARY, "1") != "0"

if available:
    NCCL_FLOAT32, NCCL_FLOAT64 = 7, 8
    NCCL_SUM, NCCL_PROD, NCCL_MAX, NCCL_MIN, NCCL_AVG = range(5)
    _TYPES = {NCCL_FLOAT32: np.float32, NCCL_FLOAT64: np.float64}
    _ID_BYTES = 128
    _WORDS = {
        3: "NCCL_ERROR_INTERNAL_ERROR: internal error",
        4: "NCCL_ERROR_INVALID_ARGUMENT: invalid argument",
        5: "NCCL_ERROR_INVALID_USAGE: invalid usage",
        6: "NCCL_ERROR_REMOTE_ERROR: remote process exited or there was a network error",
    }

    class NcclError(RuntimeError):
        """What a call of NCCL failed with."""

        def __init__(self, status):
            self.status = status
            super().__init__(_WORDS[status])

    def get_version():
        return 22707

    def get_unique_id():
        return os.urandom(_ID_BYTES)

    class NcclCommunicator:
        """The device of one process among those of all that MPI started."""

        def __init__(self, ndev, commId, rank, config=None):
            from mpi4py import MPI

            if not isinstance(commId, bytes) or len(commId) != _ID_BYTES:
                raise NcclError(4)
            self._mpi, self._comm = MPI, MPI.COMM_WORLD.Dup()
            self._error = 0
            everyone = self._comm.allgather((commId, ndev, rank, runtime.getDevice()))
            if len({one[:2] for one in everyone}) > 1 or [one[2] for one in everyone] != list(
                range(ndev)
            ):
                raise NcclError(4)
            if len({one[3] for one in everyone}) < ndev:
                raise NcclError(5)  # two ranks on one device

        def allReduce(self, sendbuf, recvbuf, count, datatype, op, stream):
            if op != NCCL_SUM or self._comm is None:
                raise NcclError(4)
            found = _capture.stream_at(stream)
            if found.recording is not None:
                raise RuntimeError("the stand-in does not capture NCCL")
            _capture.require_waited_for(found)
            kind = np.dtype(_TYPES[datatype])
            before = self._array(sendbuf, count, kind).copy()
            after = self._array(recvbuf, count, kind)
            after.fill(np.nan)
            _capture.put_off(found, lambda: self._comm.Allreduce(before, after, op=self._mpi.SUM))

        def check_async_error(self):
            if self._error:
                raise NcclError(self._error)

        def abort(self):
            self._comm = None

        destroy = abort

        @staticmethod
        def _array(address, count, kind):
            memory = (ctypes.c_char * (count * kind.itemsize)).from_address(address)
            return np.frombuffer(memory, kind)
