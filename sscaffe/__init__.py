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
    FullError,
    InUseError,
    PrototxtError,
    ShapeError,
    SscaffeError,
    UnsupportedError,
    WeightsError,
)

__version__ = "0.1.0"

_HOMES = {
    "Classifier": "sscaffe.classifier",
    "Detector": "sscaffe.detector",
    "NCCL": "sscaffe.pycaffe",
    "NetSpec": "sscaffe.net_spec",
    "Timer": "sscaffe.pycaffe",
    "get_solver_from_file": "sscaffe.solver",
    "has_nccl": "sscaffe.pycaffe",
    "init_log": "sscaffe.pycaffe",
    "layer_type_list": "sscaffe.pycaffe",
    "layers": "sscaffe.net_spec",
    "log": "sscaffe.pycaffe",
    "params": "sscaffe.net_spec",
    "set_device": "sscaffe.pycaffe",
    "set_mode_cpu": "sscaffe.pycaffe",
    "set_mode_gpu": "sscaffe.pycaffe",
    "set_multiprocess": "sscaffe.pycaffe",
    "set_random_seed": "sscaffe.pycaffe",
    "set_solver_count": "sscaffe.pycaffe",
    "set_solver_rank": "sscaffe.pycaffe",
    "solver_count": "sscaffe.pycaffe",
    "solver_rank": "sscaffe.pycaffe",
    "to_proto": "sscaffe.net_spec",
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

_PARTS = ("classifier", "coord_map", "detector", "draw", "io", "net_spec", "proto", "pycaffe")

__all__ = [
    "NCCL",
    "TEST",
    "TRAIN",
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "Blob",
    "Classifier",
    "DataError",
    "Detector",
    "DivergedError",
    "FullError",
    "InUseError",
    "Layer",
    "NesterovSolver",
    "Net",
    "NetSpec",
    "PrototxtError",
    "RMSPropSolver",
    "SGDSolver",
    "ShapeError",
    "Solver",
    "SscaffeError",
    "Timer",
    "UnsupportedError",
    "WeightsError",
    "get_solver",
    "get_solver_from_file",
    "has_nccl",
    "init_log",
    "install_as_caffe",
    "layer_type_list",
    "layers",
    "log",
    "params",
    "register",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_multiprocess",
    "set_random_seed",
    "set_solver_count",
    "set_solver_rank",
    "solver_count",
    "solver_rank",
    "to_proto",
]


def install_as_caffe() -> None:
    """Let ``import caffe``, and whatever is imported from it, mean this package in this process.

    For scripts that were written for pycaffe. Python layers of modules that the script has imported
    may then run.
    """
    from sscaffe import alias

    alias.install()


def __getattr__(name: str) -> Any:
    if name == "_core":
        return _import_core()
    if name in _PARTS:
        return importlib.import_module(f"sscaffe.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'sscaffe' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_PARTS})


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
