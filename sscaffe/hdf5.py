"""HDF5 files of weights and solver states, read so that a crafted file does no harm.

Nothing is read through a link or from another file, and nothing before its shape is known to be
right.
"""

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from sscaffe.errors import UnsupportedError, WeightsError
from sscaffe.files import write_atomically

Array = npt.NDArray[Any]

# A dataset may declare more than it stores, up to this factor or size; more is taken for a trap.
_LARGEST_RATIO = 1000
_ALWAYS_ALLOWED = 2**20

_MOST_NAMES = 10  # in a message

_IN_MEMORY = {"driver": "core", "backing_store": False, "block_size": 1 << 22}
_H5PY_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError)


def import_h5py() -> ModuleType:
    """Return h5py.

    Raises
    ------
    UnsupportedError
        If it is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise UnsupportedError("HDF5 files need h5py: pip install 'sscaffe[data]'") from error
    module: ModuleType = h5py
    return module


@contextmanager
def open_hdf5(path: str | os.PathLike[str]) -> Iterator[Any]:
    """Open a file for reading.

    Parameters
    ----------
    path : path-like
        The file.

    Yields
    ------
    h5py.File
        Closed at the end of the block.

    Raises
    ------
    WeightsError
        If it cannot be read, be it only in the block.
    UnsupportedError
        If h5py is not installed.
    """
    h5py = import_h5py()
    try:
        with h5py.File(path, "r") as file:
            yield file
    except WeightsError as error:
        error.add_note(f"  file:   {os.fspath(path)}")
        raise
    except _H5PY_ERRORS as error:
        raise WeightsError(f"{os.fspath(path)}: cannot be read as HDF5: {error}") from error


def open_in_memory(path: str | os.PathLike[str]) -> Any:
    """Return a new h5py.File that no disk gets: ``id.get_file_image()`` has it, once it is flushed.

    HDF5's library crashes the process where a file that it writes cannot grow.

    Parameters
    ----------
    path : path-like
        What it calls itself in errors.

    Raises
    ------
    UnsupportedError
        If h5py is not installed.
    """
    return import_h5py().File(os.fspath(path), "w", **_IN_MEMORY)


def write_hdf5(path: str | os.PathLike[str], arrays: dict[str, Array | None]) -> None:
    """Write arrays to a file, so that a crash leaves the old file or the new one.

    Parameters
    ----------
    path : path-like
        The file; its folder must exist.
    arrays : dict
        By path inside the file; None makes an empty group.

    Raises
    ------
    WeightsError
        If two names cannot stand side by side, as a group and an array of one name.
    FullError
        If there is no room for it.
    SscaffeError
        If the file cannot be written for another reason.
    UnsupportedError
        If h5py is not installed.
    """
    with open_in_memory(path) as file:
        for name, array in arrays.items():
            try:
                if array is None:
                    file.require_group(name)
                else:
                    file.create_dataset(name, data=array)
            except (ValueError, TypeError, KeyError) as error:
                raise WeightsError(
                    f"{name}: cannot be written to HDF5: {error}; rename the layer, or use "
                    "snapshot_format: BINARYPROTO"
                ) from error
        file.flush()
        content = file.id.get_file_image()
    write_atomically(path, content)


def find(group: Any, name: str) -> Any:
    """Return what has this path below a group, or None if there is nothing.

    Raises
    ------
    WeightsError
        If a link leads there.
    """
    h5py = import_h5py()
    place = group
    for part in name.strip("/").split("/"):
        link = place.get(part, getlink=True) if isinstance(place, h5py.Group) else None
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise WeightsError(f"{name}: expected values in the HDF5 file itself, got a link")
        place = place[part]
    return place


def names(group: Any) -> list[str]:
    """Return the names in a group; none where it is an array, or nothing."""
    return list(group) if isinstance(group, import_h5py().Group) else []


def read_array(group: Any, name: str, shape: Sequence[int] | None = None) -> Array:
    """Read the array that has this path below a group.

    Parameters
    ----------
    group : h5py.Group
        Where to start.
    name : str
        The path.
    shape : sequence of int, optional
        The shape that it must have.

    Returns
    -------
    ndarray
        Of the type in the file.

    Raises
    ------
    WeightsError
        If there is none, or it is not numbers, or of another shape, or kept in another file, or,
        where no shape is given, far larger than what the file stores of it.
    """
    dataset = _find_dataset(group, name)
    if dataset.dtype.kind not in "iuf" or dataset.shape is None:
        got = dataset.dtype if dataset.shape is not None else "none"
        raise WeightsError(f"{name}: expected numbers, got {got} in the HDF5 file")
    if shape is None:
        _require_small(dataset, name)
    elif tuple(shape) != dataset.shape:
        raise WeightsError(
            f"{name}: expected shape {tuple(shape)}, got {dataset.shape} in the HDF5 file"
        )
    return np.asarray(dataset[()])


def read_text(group: Any, name: str) -> str:
    """Read the text that has this path below a group.

    Raises
    ------
    WeightsError
        If there is none, for one of the reasons that `read_array` has.
    """
    dataset = _find_dataset(group, name)
    # An array of texts, or none, has another shape.
    if dataset.shape == ():
        _require_small(dataset, name)
        value = dataset[()]
        if isinstance(value, bytes):
            return value.decode()
    raise WeightsError(f"{name}: expected a text in the HDF5 file, got {dataset.dtype}")


def _find_dataset(group: Any, name: str) -> Any:
    """Return a dataset that is safe to read."""
    h5py = import_h5py()
    dataset = find(group, name)
    if not isinstance(dataset, h5py.Dataset):
        got = "a group"
        if dataset is None:
            got = f"nothing; it has {', '.join(sorted(names(group))[:_MOST_NAMES]) or 'no names'}"
        raise WeightsError(f"{name}: expected a dataset in the HDF5 file, got {got}")
    if dataset.external or dataset.is_virtual:
        raise WeightsError(f"{name}: expected values in the HDF5 file itself, got another file's")
    return dataset


def _require_small(dataset: Any, name: str) -> None:
    stored = dataset.id.get_storage_size()
    declared = math.prod(dataset.shape) * dataset.dtype.itemsize
    if declared > max(_ALWAYS_ALLOWED, _LARGEST_RATIO * stored):
        raise WeightsError(
            f"{name}: {dataset.file.filename} declares shape {dataset.shape}, {declared} bytes, "
            f"and stores {stored} of them; it is damaged or made to exhaust memory"
        )
