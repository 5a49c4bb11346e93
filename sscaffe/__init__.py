"""sscaffe: Caffe for small, fast networks.

    import sscaffe
    net = sscaffe.Net("deploy.prototxt", sscaffe.TEST, weights="ssl.caffemodel")
    solver = sscaffe.get_solver("ssl_solver.prototxt")
    solver.step(100)

Names are imported when they are first used, so that importing the package is quick.
"""

import importlib
from typing import Any

from sscaffe.errors import (
    DataError,
    DivergedError,
    PrototxtError,
    ShapeError,
    SscaffeError,
    UnsupportedError,
    WeightsError,
)

__version__ = "0.1.0"

_HOMES = {
    "AdaDeltaSolver": "sscaffe.solver",
    "AdaGradSolver": "sscaffe.solver",
    "AdamSolver": "sscaffe.solver",
    "Blob": "sscaffe.blob",
    "Layer": "sscaffe.layer",
    "NesterovSolver": "sscaffe.solver",
    "Net": "sscaffe.net",
    "RMSPropSolver": "sscaffe.solver",
    "SGDSolver": "sscaffe.solver",
    "Solver": "sscaffe.solver",
    "TEST": "sscaffe.layer",
    "TRAIN": "sscaffe.layer",
    "get_solver": "sscaffe.solver",
    "register": "sscaffe.layer",
}

__all__ = [
    "TEST",
    "TRAIN",
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "Blob",
    "DataError",
    "DivergedError",
    "Layer",
    "NesterovSolver",
    "Net",
    "PrototxtError",
    "RMSPropSolver",
    "SGDSolver",
    "ShapeError",
    "Solver",
    "SscaffeError",
    "UnsupportedError",
    "WeightsError",
    "get_solver",
    "register",
]


def __getattr__(name: str) -> Any:
    if name == "_core":
        return _import_core()
    if name not in _HOMES:
        raise AttributeError(f"module 'sscaffe' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _import_core() -> Any:
    """Import the C++ core; load oneDNN first where the core's RPATH does not lead to it."""
    try:
        return importlib.import_module("sscaffe._core")
    except ImportError as error:
        if "libdnnl" not in str(error):
            raise
    import ctypes
    from importlib import metadata

    for file in metadata.files("onednn-cpu-gomp") or []:
        if file.name == "libdnnl.so.3":
            ctypes.CDLL(str(file.locate()), mode=ctypes.RTLD_GLOBAL)
            break
    return importlib.import_module("sscaffe._core")
