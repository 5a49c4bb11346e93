"""CUDA graphs: the work of a pass, recorded once and launched as one."""

import functools
from collections.abc import Callable
from typing import Any

from sscaffe.errors import UnsupportedError
from sscaffe.kernels.gpu_runtime import pinned, traffic, xp

_RELAXED = 2  # cudaStreamCaptureModeRelaxed: memory may be allocated


@functools.cache
def _stream(device: int) -> Any:
    """Return a stream that captures, as the default one cannot; both wait for each other."""
    return xp.cuda.Stream(non_blocking=False)


class Graph:
    """What a function asks of the device, to be repeated.

    Parameters
    ----------
    work : callable
        Asks for it; it may not wait for the device, nor copy to the host.

    Raises
    ------
    UnsupportedError
        If it did.

    Notes
    -----
    Arrays that come and go in `work` live in a pool of the graph's own, so that nobody else gets
    their memory.
    """

    def __init__(self, work: Callable[[], None]) -> None:
        self._stream = _stream(xp.cuda.runtime.getDevice())
        self._pool = xp.cuda.MemoryPool()
        before = xp.cuda.get_current_stream()
        with xp.cuda.using_allocator(self._pool.malloc), self._stream:
            self._stream.wait_event(before.record())
            self._stream.begin_capture(_RELAXED)
            try:
                work()
            except Exception as error:
                self._abandon()
                raise UnsupportedError(f"CUDA graph: {error}") from error
            self._graph = self._stream.end_capture()

    def launch(self) -> None:
        """Do the work again, in order with what was asked of the device before and after."""
        self._graph.launch(self._stream)

    def _abandon(self) -> None:
        try:
            self._stream.end_capture()
        except Exception:
            # What went wrong has ended the capture already.
            return


class Later:
    """A number of the device that is copied to the host while the device goes on."""

    def __init__(self, array: Any) -> None:
        self._out = pinned(1, array.dtype)
        flat = array.reshape(1)
        stream = xp.cuda.get_current_stream()
        traffic.to_host += 1
        traffic.bytes += int(flat.nbytes)
        flat.get(stream=stream, out=self._out, blocking=False)
        self._event = xp.cuda.Event()
        self._event.record(stream)

    def value(self) -> float:
        """Wait for the number, and return it."""
        self._event.synchronize()
        return float(self._out[0])
