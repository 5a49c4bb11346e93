"""Streams, and what a capturing stream notes down instead of doing it."""

import threading
import weakref

from cupy import _transfers

UNSUPPORTED = "cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capturing"

RELAXED = 2  # the mode in which memory may be allocated, and modules loaded


class Stream:
    """An order of work; the host does all at once, but for a capture, which is replayed."""

    null = None

    def __init__(self, null=False, non_blocking=False, ptds=False, priority=None):
        self.is_null, self.non_blocking = null, non_blocking
        self.pending = _transfers.Pending(self)
        self.recording = None
        self.late = None
        self.line = self if null or non_blocking else Stream.null  # others go in step with it
        self.work, self.seen = 0, {}  # how much was asked for, and what of others was waited for
        self.ptr = 0 if null else id(self)
        self._before = []
        _streams[self.ptr] = self

    def __enter__(self):
        self._before.append(_local.stream)
        return self.use()

    def __exit__(self, *error):
        _local.stream = self._before.pop()

    def use(self):
        _local.stream = self
        return self

    def synchronize(self):
        if self.recording is not None:
            raise RuntimeError(UNSUPPORTED)
        _transfers.finish(self)

    @property
    def done(self):
        self.synchronize()
        return True

    def record(self, event=None):
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event):
        """Go on after the event, and into the capture that the event was recorded in."""
        _transfers.finish_late(event.copies)
        if event.line is not None:
            self.line.seen[event.line] = max(self.line.seen.get(event.line, 0), event.work)
        if event.recording is not None:
            self.recording = event.recording
            event.recording.streams.add(self)
        self.pending.copies.extend(event.copies)

    def is_capturing(self):
        return self.recording is not None

    def begin_capture(self, mode=None):
        if self.is_null:
            raise RuntimeError(UNSUPPORTED + ": the default stream cannot capture")
        if self.recording is not None:
            raise RuntimeError("cudaErrorIllegalState: the stream captures already")
        self.recording = Graph(self, RELAXED if mode is None else mode)
        _open.append(self.recording)

    def end_capture(self):
        if self.recording is None or self.recording.origin is not self:
            raise RuntimeError("cudaErrorIllegalState: the capture was not begun on this stream")
        graph = self.recording
        _open.remove(graph)
        for stream in graph.streams:
            stream.recording = None
        return graph


class Graph:
    """The operations of a capture, in the order in which the host asked for them."""

    def __init__(self, origin, mode):
        self.origin, self.mode = origin, mode
        self.streams = {origin}
        self.steps = []

    def launch(self, stream=None):
        stream = stream or get_current_stream()
        if stream.recording is not None:
            raise RuntimeError(UNSUPPORTED)
        stream.line.work += 1
        with stream:
            for step in self.steps:
                step()

    def upload(self, stream=None):
        """Nothing to do on a host."""


class Event:
    """A point in the work of a stream."""

    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self.recording = None
        self.copies = ()
        self.line, self.work = None, 0
        self.is_timing = not disable_timing

    @property
    def done(self):
        self.synchronize()
        return True

    def record(self, stream=None):
        stream = stream or get_current_stream()
        self.recording, self.copies = stream.recording, tuple(stream.pending.copies)
        self.line, self.work = stream.line, stream.line.work

    def synchronize(self):
        if self.recording in _open:
            raise RuntimeError("cudaErrorCapturedEvent: the event was recorded in a capture")
        _transfers.finish_copies(self.copies)


class Late:
    """What a stream does when others have come; whoever does not wait for it sees nothing of it.

    That is put off until another stream, or the host, waits for the stream.
    """

    def __init__(self, stream):
        self.stream, self.steps = stream, []

    def finish(self):
        if self.stream.late is self:
            self.stream.late = None
        while self.steps:
            self.steps.pop(0)()


def put_off(stream, step):
    """Let a stream do a step, and what comes after it, when somebody waits for it."""
    if stream.late is None:
        stream.late = Late(stream)
        stream.pending.add(stream.late)
    stream.late.steps.append(step)


def stream_at(pointer):
    return _streams[pointer]


def require_waited_for(stream):
    """Refuse a stream that does not wait for all that the default stream was asked for."""
    if stream.line is not Stream.null and stream.seen.get(Stream.null, 0) < Stream.null.work:
        raise RuntimeError(
            "a stream reads what the default stream may not have written yet; let it wait for an "
            "event that was recorded after that"
        )


_streams = weakref.WeakValueDictionary()  # by pointer
Stream.null = Stream(null=True)
Stream.ptds = Stream.null


class _Local(threading.local):
    """What each thread has of its own."""

    stream = Stream.null


_local = _Local()
_open = []


def get_elapsed_time(start, end):
    """Return milliseconds; a stand-in has no timings worth to be given."""
    if not (start.is_timing and end.is_timing):
        raise RuntimeError("cudaErrorInvalidResourceHandle: an event without timing")
    end.synchronize()
    return 0.001


def get_current_stream(device_id=None):
    return _local.stream


def recording():
    """Return the graph that notes down what the current stream is asked for, or None."""
    stream = _local.stream
    if stream.is_null and any(not s.non_blocking for graph in _open for s in graph.streams):
        raise RuntimeError(
            "cudaErrorStreamCaptureImplicit: work on the default stream while another captures "
            "that it waits for"
        )
    if stream.recording is None:
        stream.line.work += 1
    return stream.recording or stream.late


def refuse(what):
    """Raise if the current stream captures: the host cannot wait for what is not done."""
    if recording() is not None and _local.stream.recording is not None:
        raise RuntimeError(f"{UNSUPPORTED} ({what})")


def wait(what):
    """Wait for the current stream, on behalf of what needs values on the host."""
    refuse(what)
    _transfers.finish(get_current_stream())


def refuse_in_strict_modes(what):
    """Raise where the host may not touch the device while a stream captures, unless told so."""
    if any(graph.mode != RELAXED for graph in _open):
        raise RuntimeError(f"{UNSUPPORTED} ({what})")


def run(step):
    """Do a step now, or note it down."""
    graph = recording()
    if graph is None:
        step()
    else:
        graph.steps.append(step)
