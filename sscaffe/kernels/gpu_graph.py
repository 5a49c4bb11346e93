"""CUDA graphs: the work of a pass, recorded once and launched as one."""

from collections.abc import Callable
from typing import Any

from sscaffe.errors import UnsupportedError
from sscaffe.kernels.gpu_runtime import pinned, traffic, xp

_RELAXED = 2  # cudaStreamCaptureModeRelaxed: memory may be allocated


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
    their memory. The stream that captures is one that the default stream does not wait for: else
    nobody, in no thread, could use that one meanwhile.
    """

    def __init__(self, work: Callable[[], None]) -> None:
        self._pool = xp.cuda.MemoryPool()
        stream = xp.cuda.Stream(non_blocking=True)
        with xp.cuda.using_allocator(self._pool.malloc), stream:
            stream.begin_capture(_RELAXED)
            try:
                work()
            except Exception as error:
                _abandon(stream)
                raise UnsupportedError(f"CUDA graph: {error}") from error
            except BaseException:  # such as Ctrl-C
                _abandon(stream)
                raise
            self._graph = stream.end_capture()

    def launch(self) -> None:
        """Do the work again, in the order of the current stream."""
        self._graph.launch(xp.cuda.get_current_stream())


def _abandon(stream: Any) -> None:
    try:
        stream.end_capture()
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

    def __del__(self) -> None:
        # Who never asked: the memory may be given to somebody else.
        if hasattr(self, "_event"):
            self._event.synchronize()

    def value(self) -> float:
        """Wait for the number, and return it."""
        self._event.synchronize()
        return float(self._out[0])
