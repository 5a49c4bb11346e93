"""Stand-ins for NVIDIA's libraries, found by their names as the true ones are."""

import ctypes

from cupy import _capture
from cupy._raw import SHIM, load

WORK = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
SUBMIT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
INTERNAL_ERROR = 14

last_error = None


@SUBMIT
def _submit(work, call, stream):
    """Run a library's work on its stream, which must be the current one; return its status."""
    global last_error
    try:
        if (stream or 0) != _capture.get_current_stream().ptr:
            raise RuntimeError("a library's handle is set to another stream than the current one")
        _capture.run(lambda: WORK(work)(call))
    except RuntimeError as error:
        last_error = error
        return INTERNAL_ERROR
    return 0


def provide(name, soname):
    """Load a library so that `ctypes.CDLL(soname)` finds it."""
    flags = ("-O2", f"-Wl,-soname,{soname}", f"-I{SHIM}")
    library = load((SHIM / f"{name}.cpp").read_text(), ("deferred.hpp",), flags)
    library.set_submit(_submit)
    return library
