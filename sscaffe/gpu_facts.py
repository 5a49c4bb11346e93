"""What there is to compute on GPUs: driver, libraries, chips; does it work; what to install.

It is a query: what is missing is said, not raised.
"""

import ctypes
import importlib
import re
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from sscaffe.device import use_gpu
from sscaffe.errors import UnsupportedError
from sscaffe.geometry import ConvGeometry

_DRIVER_FILE = "/proc/driver/nvidia/version"
# The CUDA that a driver must know, for the packages of an extra: 1000 times the major version.
_EXTRAS = {13: "cuda13", 12: "cuda12"}
_DRIVERS = {13: "580", 12: "525"}
_ERROR = 1e-4  # of the self-test, relative to the largest element

Facts = dict[str, Any]


def facts(index: int | None = None) -> Facts:
    """Return what is there and what is missing.

    Parameters
    ----------
    index : int, optional
        The GPU that the self-test runs on; 0 by default.

    Returns
    -------
    dict
        ``usable``: whether the self-test succeeded; ``libraries``: versions, or why there is none;
        ``gpus``: one dict for each; ``self_test``: "OK" or the error of each test; ``advice``: what
        to do about what is missing.
    """
    driver = driver_cuda()
    libraries = {"driver": _driver(driver), **_packages()}
    found: Facts = {"usable": False, "libraries": libraries, "gpus": [], "self_test": {}}
    try:
        use_gpu(index or 0)
        found["libraries"] |= _versions()
        found["gpus"] = _gpus()
    except UnsupportedError as error:
        found["error"] = str(error)
    else:
        found["self_test"] = _self_test()
        found["usable"] = all(result == "OK" for result in found["self_test"].values())
    found["advice"] = advice(driver, found)
    return found


def driver_cuda() -> int | None:
    """Return the newest CUDA that the driver knows, such as 13000; None without a driver."""
    try:
        library, version = ctypes.CDLL("libcuda.so.1"), ctypes.c_int()
    except OSError:
        return None
    return version.value if library.cuDriverGetVersion(ctypes.byref(version)) == 0 else None


def advice(driver: int | None, found: Facts) -> list[str]:
    """Return what to do, one sentence for each thing that is missing; nothing if all works."""
    if found["usable"]:
        return []
    libraries, lines = found["libraries"], []
    major = next((n for n in _EXTRAS if driver is not None and driver >= 1000 * n), None)
    if driver is None:
        lines.append(
            "no NVIDIA driver: libcuda.so.1 cannot be loaded; install the driver, or start the "
            "container with its GPUs (docker run --gpus all)"
        )
    elif major is None:
        lines.append(f"the driver knows CUDA {_dotted(driver)}; install {_DRIVERS[12]} or newer")
    extra = _EXTRAS[major or 13]
    if lacking := [name for name in _PACKAGES if libraries[name] == _NONE]:
        lines.append(f'{", ".join(lacking)} missing: pip install "sscaffe[{extra}]"')
    built = re.match(r"cupy-cuda(\d+)x", libraries["CuPy"])
    if built and driver is not None and driver < 1000 * int(built[1]):
        newer = _DRIVERS.get(int(built[1]), "a newer one")
        lines.append(
            f"{built[0]} needs a driver for CUDA {built[1]}, this one knows {_dotted(driver)}: "
            f'install driver {newer} or newer, or pip uninstall {built[0]} and pip install "sscaffe'
            f'[{extra}]"'
        )
    if wrong := [name for name, result in found["self_test"].items() if result != "OK"]:
        lines.append(
            f'{", ".join(wrong)}: failed; pip install --force-reinstall "sscaffe[{extra}]" brings '
            "libraries that go together"
        )
    return lines


_NONE = "not installed"
# The distributions that each may come in.
_PACKAGES = {
    "CuPy": ("cupy-cuda13x", "cupy-cuda12x", "cupy"),
    "cuDNN front end": ("nvidia-cudnn-frontend",),
}


def _packages() -> dict[str, str]:
    """Return name and version of the packages that are installed."""
    return {name: _installed(choices) or _NONE for name, choices in _PACKAGES.items()}


def _installed(choices: tuple[str, ...]) -> str:
    for name in choices:
        try:
            return f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            continue
    return ""


def _driver(version: int | None) -> str:
    if version is None:
        return "none"
    try:
        text = Path(_DRIVER_FILE).read_text(encoding="utf-8")
    except OSError:
        text = ""
    number = re.search(r"\b(\d{3}\.[\d.]+)", text)
    return f"{number[1] if number else 'unknown'}, for CUDA up to {_dotted(version)}"


def _dotted(version: int) -> str:
    return f"{version // 1000}.{version % 1000 // 10}"


def _versions() -> dict[str, str]:
    """Return the versions of the libraries as they are loaded."""
    from sscaffe.kernels.gpu_runtime import xp

    return {
        "CUDA runtime": _told(lambda: _dotted(xp.cuda.runtime.runtimeGetVersion())),
        "NVRTC": _told(lambda: ".".join(map(str, xp.cuda.nvrtc.getVersion()))),
        "cuDNN": _told(_cudnn),
    }


def _cudnn() -> str:
    return str(importlib.import_module("sscaffe.kernels.gpu_cudnn").version())


def _told(question: Callable[[], str]) -> str:
    """Return an answer, or why there is none."""
    try:
        return question()
    except Exception as error:  # Libraries fail in ways of their own; a query says which.
        return f"cannot be loaded: {_line(error)}"


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or ['no reason given'])[0]}"


def _gpus() -> list[Facts]:
    from sscaffe.kernels.gpu_runtime import xp

    found = []
    for index in range(xp.cuda.runtime.getDeviceCount()):
        with xp.cuda.Device(index) as chip:
            free, total = chip.mem_info
            name = xp.cuda.runtime.getDeviceProperties(index)["name"]
            capability = str(chip.compute_capability)
            found.append(
                {
                    "number": index,
                    "name": name.decode() if isinstance(name, bytes) else str(name),
                    "compute_capability": f"{capability[:-1]}.{capability[-1]}",
                    "memory_gib": round(total / 2**30, 1),
                    "free_gib": round(free / 2**30, 1),
                    "multiprocessors": int(chip.attributes["MultiProcessorCount"]),
                    "clock_mhz": int(chip.attributes.get("ClockRate", 0)) // 1000,
                }
            )
    return found


def _self_test() -> dict[str, str]:
    """Run one kernel of each kind; return "OK" or the error of each."""
    return {name: _told_ok(test) for name, test in _TESTS.items()}


def _told_ok(test: Callable[[], tuple[Any, Any]]) -> str:
    try:
        got, expected = test()
        error = float(abs(got - expected).max() / abs(expected).max())
    except Exception as problem:  # As in _told.
        return _line(problem)
    return "OK" if error < _ERROR else f"wrong results: differs from NumPy's by {error:.1e}"


def _numbers(*shape: int) -> Any:
    rng = np.random.default_rng(1)
    return rng.standard_normal(shape, dtype=np.float32)


def _test_kernel() -> tuple[Any, Any]:
    from sscaffe.kernels.gpu_runtime import launch_each, to_device, to_host

    x = _numbers(1000)
    y = to_device(x)
    launch_each("self_test.cu", "add_scaled", x.size, (2.0, to_device(x), y))
    return to_host(y), 3 * x


def _test_product() -> tuple[Any, Any]:
    from sscaffe.kernels.gpu_libraries import gemm
    from sscaffe.kernels.gpu_runtime import to_device, to_host, xp

    a, b = _numbers(33, 65), _numbers(65, 17)
    out = xp.empty((33, 17), np.float32)
    gemm(to_device(a), to_device(b), out)
    return to_host(out), a.astype(np.float64) @ b


def _test_convolution() -> tuple[Any, Any]:
    from sscaffe.kernels import gpu_cudnn
    from sscaffe.kernels.gpu_runtime import to_device, to_host, xp

    x, w = _numbers(2, 8, 9, 9), _numbers(16, 8, 3, 3)
    g = ConvGeometry(8, 16, 1, (9, 9), (3, 3), (1, 1), (0, 0), (1, 1))
    out = xp.empty((2, 16, *g.output), np.float32)
    plan = gpu_cudnn.plan(gpu_cudnn.Sizes.of(g, 2, "float32"), "fprop")
    plan.run(to_device(x), to_device(w), out)
    windows = np.lib.stride_tricks.sliding_window_view(x.astype(np.float64), (3, 3), (2, 3))
    return to_host(out), np.einsum("ncyxij,ocij->noyx", windows, w)


_TESTS = {
    "own kernel": _test_kernel,
    "cuBLAS product": _test_product,
    "cuDNN convolution": _test_convolution,
}
