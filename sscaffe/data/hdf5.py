"""Hdf5Rows: the rows of a list of HDF5 files, over and over, from any place in them."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sscaffe.data.waiting_file import WaitingFile
from sscaffe.errors import DataError, FullError, SscaffeError, WeightsError
from sscaffe.files import write_atomically
from sscaffe.hdf5 import import_h5py, open_hdf5, open_in_memory, read_array
from sscaffe.random_numbers import RandomNumbers

Array = npt.NDArray[Any]


class Hdf5Rows:
    """The rows of datasets that several files have in common.

    Parameters
    ----------
    files : sequence of Path
        One or more; each is read whole when its turn comes.
    names : sequence of str
        The datasets.
    rng : RandomNumbers, optional
        Shuffles the files, and the rows within each; in order by default.

    Attributes
    ----------
    arrays : list of ndarray of float32, shapes (rows, ...)
        The datasets of the file whose turn it is.

    Raises
    ------
    DataError
        If a file or dataset cannot be read, or the datasets do not have the same number of rows.
    UnsupportedError
        If h5py is not installed.
    """

    def __init__(
        self, files: Sequence[Path], names: Sequence[str], rng: RandomNumbers | None = None
    ) -> None:
        self._files, self._names, self._rng = files, names, rng
        self._file_order = np.arange(len(files))
        if rng is not None:
            self._file_order = rng.permutation(len(files))
        self._file = self._row = 0
        self._rank, self._ranks = 0, 1
        self.arrays: list[Array] = []
        self._load()

    def shard(self, rank: int, size: int) -> None:
        """Read, of each `size` batches, the one with this number."""
        self._rank, self._ranks = rank, size

    def read_into(self, batch: Sequence[Array]) -> None:
        """Set arrays, one for each dataset, to the next rows.

        Raises
        ------
        DataError
            If the next file cannot be read, or its rows have another shape.
        """
        count = len(batch[0])
        self._skip(self._rank * count)
        self._read_into(batch, count)
        self._skip((self._ranks - 1 - self._rank) * count)

    def _skip(self, count: int) -> None:
        while count:
            if self._row == len(self._row_order):
                self._next_file()
            rows = min(count, len(self._row_order) - self._row)
            self._row, count = self._row + rows, count - rows

    def _read_into(self, batch: Sequence[Array], count: int) -> None:
        done = 0
        while done < count:
            if self._row == len(self._row_order):
                self._next_file()
            rows = self._row_order[self._row : self._row + count - done]
            for out, array, name in zip(batch, self.arrays, self._names, strict=True):
                if array.shape[1:] != out.shape[1:]:
                    raise DataError(
                        f"{name}: expected rows of shape {out.shape[1:]} as in the first file, "
                        f"got {array.shape[1:]} in {self._path}"
                    )
                out[done : done + len(rows)] = array[rows]
            done += len(rows)
            self._row += len(rows)

    def state(self) -> dict[str, Any]:
        """Return the place of the next row, to be given to `restore`; JSON can hold it."""
        state: dict[str, Any] = {"file": self._file, "record": self._row}
        if self._rng is not None:
            state["file_order"] = self._file_order.tolist()
            state["random"] = base64.b64encode(self._random_before_rows).decode()
        return state

    def restore(self, state: dict[str, Any]) -> None:
        """Go to a place that `state` returned.

        Raises
        ------
        DataError
            If the files have no such place.
        """
        order = np.array(state.get("file_order", range(len(self._files))))
        if sorted(order) != list(range(len(self._files))) or state["file"] >= len(self._files):
            raise DataError(
                f"source: expected a place in {len(self._files)} files, got one in {len(order)}"
            )
        self._file, self._file_order = state["file"], order
        if self._rng is not None and "random" in state:
            self._rng.set_state(base64.b64decode(state["random"]))
        self._load()
        if not 0 <= state["record"] <= len(self._row_order):
            raise DataError(
                f"source: expected a place among the {len(self._row_order)} rows of {self._path}, "
                f"got {state['record']}"
            )
        self._row = state["record"]

    @property
    def _path(self) -> Path:
        return self._files[int(self._file_order[self._file])]

    def _next_file(self) -> None:
        self._row = 0
        if len(self._files) == 1:
            self._order_rows()
            return
        self._file += 1
        if self._file == len(self._files):
            self._file = 0
            if self._rng is not None:
                self._file_order = self._rng.permutation(len(self._files))
        self._load()

    def _load(self) -> None:
        self.arrays = read_datasets(self._path, self._names)
        self._order_rows()

    def _order_rows(self) -> None:
        count = len(self.arrays[0])
        if self._rng is None:
            self._row_order = np.arange(count)
            return
        self._random_before_rows = self._rng.get_state()
        self._row_order = self._rng.permutation(count)


def read_list(path: Path) -> list[str]:
    """Read the names of files, one a line.

    Raises
    ------
    DataError
        If the list cannot be read, or is empty.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(f"source: {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"source: expected a text file that lists HDF5 files, got {path}"
        ) from error
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise DataError(f"source: expected a list of HDF5 files, got an empty {path}")
    return names


def read_datasets(path: Path, names: Sequence[str]) -> list[Array]:
    """Read datasets of one file, whole.

    Parameters
    ----------
    path : Path
        The HDF5 file.
    names : sequence of str
        The datasets; they must have the same number of rows.

    Returns
    -------
    list of ndarray of float32, shapes (rows, ...)

    Raises
    ------
    DataError
        If one cannot be read, or keeps its values in another file.
    UnsupportedError
        If h5py is not installed.
    """
    try:
        with open_hdf5(path) as file:
            arrays = [_read_dataset(file, name, path) for name in names]
    except WeightsError as error:
        refusal = DataError(str(error))
        for note in getattr(error, "__notes__", ()):
            refusal.add_note(note)
        raise refusal from error
    rows = {name: len(array) for name, array in zip(names, arrays, strict=True)}
    if len(set(rows.values())) > 1:
        raise DataError(f"source: expected as many rows in each dataset, got {rows} in {path}")
    if not len(arrays[0]):
        raise DataError(f"source: expected one row or more, got none in {path}")
    return arrays


def _read_dataset(file: Any, name: str, path: Path) -> Array:
    values = read_array(file, name)
    if not values.shape:
        raise DataError(f"{name}: expected rows of numbers, got a single value in {path}")
    return np.asarray(values, np.float32)


def append_rows(path: Path, arrays: dict[str, Array], *, new: bool) -> None:
    """Write rows to datasets of a file, after those that are there.

    Parameters
    ----------
    path : Path
        The HDF5 file.
    arrays : dict
        The rows of each dataset, ``(rows, ...)``.
    new : bool
        Start the file anew.

    Raises
    ------
    DataError
        If the file cannot be written, or its rows have another shape.
    FullError
        If there is no room for the rows; the file is as it was.
    UnsupportedError
        If h5py is not installed.
    """
    h5py = import_h5py()
    try:
        if new:
            with open_in_memory(path) as file:
                _append(file, arrays, path)
                file.flush()
                content = file.id.get_file_image()
            write_atomically(path, content)
            return
        with WaitingFile(path) as waiting:
            with h5py.File(waiting, "r+") as file:
                _append(file, arrays, path)
            waiting.apply()
    except FullError as error:
        raise FullError(f"file_name: {error}") from error
    except DataError:
        raise
    except (SscaffeError, OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"file_name: {path} cannot be written as HDF5: {error}") from error


def _append(file: Any, arrays: dict[str, Array], path: Path) -> None:
    for name, rows in arrays.items():
        if name not in file:
            file.create_dataset(name, data=rows, maxshape=(None, *rows.shape[1:]))
            continue
        dataset = file[name]
        if dataset.shape[1:] != rows.shape[1:]:
            raise DataError(
                f"{name}: expected rows of shape {dataset.shape[1:]} as before in {path}, "
                f"got {rows.shape[1:]}"
            )
        dataset.resize(len(dataset) + len(rows), axis=0)
        dataset[-len(rows) :] = rows
