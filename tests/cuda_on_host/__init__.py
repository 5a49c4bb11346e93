"""CUDA for machines without a GPU: a stand-in for CuPy in `cupy/`, over NumPy and g++."""

import importlib
import importlib.util
import sys
from pathlib import Path


def has_gpu():
    """Tell whether the real CuPy works here."""
    if importlib.util.find_spec("cupy") is None:
        return False
    try:
        return importlib.import_module("cupy").cuda.runtime.getDeviceCount() > 0
    except Exception:
        for name in [name for name in sys.modules if name.split(".")[0] in ("cupy", "cupyx")]:
            del sys.modules[name]
        return False


def place():
    """Let `import cupy` find the stand-in, unless there is a GPU for the real one."""
    if not has_gpu():
        sys.path.insert(0, str(Path(__file__).parent))
