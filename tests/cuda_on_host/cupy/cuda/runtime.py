"""Some of CUDA's runtime."""

import ctypes
import os

from cupy import _capture, _transfers

memcpyHostToHost, memcpyHostToDevice, memcpyDeviceToHost = range(3)  # noqa: N816
memcpyDeviceToDevice, memcpyDefault = 3, 4  # noqa: N816
streamCaptureModeGlobal, streamCaptureModeThreadLocal, streamCaptureModeRelaxed = range(3)  # noqa: N816

ATTRIBUTES = {
    "MaxThreadsPerBlock": 1024,
    "MultiProcessorCount": 132,
    "WarpSize": 32,
    "MaxSharedMemoryPerBlock": 48 << 10,
    "MaxSharedMemoryPerBlockOptin": 227 << 10,
    "ClockRate": 1980000,
}
_PROPERTIES = {
    "name": b"stand-in on the host",
    "major": 9,
    "minor": 0,
    "totalGlobalMem": 80 << 30,
    "multiProcessorCount": 132,
    "clockRate": 1980000,
    "sharedMemPerBlock": 48 << 10,
    "maxThreadsPerBlock": 1024,
    "warpSize": 32,
    "l2CacheSize": 50 << 20,
    "memoryBusWidth": 5120,
    "memoryClockRate": 2619000,
}


GPUS = "CUDA_ON_HOST_GPUS"  # in the environment, how many there are

_current = [0]


class CUDARuntimeError(RuntimeError):
    """What a call of the runtime failed with."""


def getDevice():
    return _current[0]


def setDevice(device):
    _require(device)
    _current[0] = device


def _require(device):
    if not 0 <= device < getDeviceCount():
        raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")


def getDeviceCount():
    return int(os.environ.get(GPUS, "1"))


def getDeviceProperties(device):
    _require(device)
    return dict(_PROPERTIES)


def deviceGetAttribute(attribute, device):
    _require(device)
    return 0


def deviceGetPCIBusId(device):
    _require(device)
    return f"0000:{device:02X}:00.0"


def driverGetVersion():
    return 13000


def runtimeGetVersion():
    return 13000


def memGetInfo():
    return 64 << 30, 80 << 30


def deviceSynchronize():
    _capture.refuse("deviceSynchronize")
    _transfers.finish_all()


def memcpy(target, source, size, kind):
    _capture.wait("memcpy")
    ctypes.memmove(target, source, size)


def memcpyAsync(target, source, size, kind, stream=None):
    _capture.run(lambda: ctypes.memmove(target, source, size))


def memsetAsync(target, value, size, stream=None):
    _capture.run(lambda: ctypes.memset(target, value, size))
