"""Files of the safetensors format: a JSON header and the numbers, nothing that could run."""

import os
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np

from sscaffe.convert.saved import PathLike, SavedLayer, from_named, named
from sscaffe.errors import UnsupportedError, WeightsError
from sscaffe.files import replace_atomically
from sscaffe.serialized import open_binary


def import_safetensors() -> ModuleType:
    """Return safetensors.

    Raises
    ------
    UnsupportedError
        If it is not installed.
    """
    try:
        import safetensors.numpy
    except ImportError as error:
        text = "safetensors files need safetensors: pip install 'sscaffe[convert]'"
        raise UnsupportedError(text) from error
    module: ModuleType = safetensors
    return module


def read_safetensors(path: PathLike) -> list[SavedLayer]:
    """Read the arrays of a file; their keys are ``<layer>/<number of the blob>``.

    Raises
    ------
    WeightsError
        If it cannot be read, or has other things in it.
    UnsupportedError
        If safetensors is not installed.
    """
    safetensors = import_safetensors()
    with open_binary(path):  # so that what cannot be opened is said as everywhere
        pass
    try:
        with safetensors.safe_open(os.fspath(path), framework="np") as file:
            keys = file.keys()
            arrays = {key: file.get_tensor(key) for key in keys}
    except (safetensors.SafetensorError, OSError, TypeError, ValueError, KeyError) as error:
        text = f"{os.fspath(path)}: cannot be read as safetensors: {error}"
        raise WeightsError(text) from None
    return from_named(arrays, path)


def write_safetensors(path: PathLike, layers: Sequence[SavedLayer]) -> None:
    """Write arrays to a file.

    Raises
    ------
    SscaffeError
        If it cannot be written.
    UnsupportedError
        If safetensors is not installed.
    """
    safetensors = import_safetensors()
    arrays = {key: np.ascontiguousarray(a).reshape(a.shape) for key, a in named(layers).items()}

    def write(temporary: Path) -> None:
        safetensors.numpy.save_file(arrays, temporary, metadata={"format": "np"})

    replace_atomically(path, write)
