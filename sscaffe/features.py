"""What a net makes of its data, blob by blob, in databases or HDF5 files."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np

from sscaffe.blob import Array
from sscaffe.data.datum import array_to_datum
from sscaffe.data.hdf5 import append_rows
from sscaffe.data.lmdb_writer import LmdbWriter
from sscaffe.errors import DataError
from sscaffe.files import replace_atomically
from sscaffe.glog import logger
from sscaffe.net import Net

_REPORT_EVERY = 1000


class _Writer(Protocol):
    def put_rows(self, rows: Array) -> None:
        """Write features, a row for each image."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class _LmdbFeatures(LmdbWriter):
    """An LMDB with a Datum of floats for each image, under its number in ten digits."""

    def __init__(self, path: str, name: str) -> None:
        super().__init__(path)
        self._name = name

    def put_rows(self, rows: Array) -> None:
        if rows.ndim > 4:
            raise DataError(
                f"db_type: blob {self._name!r} has shape {rows.shape}, and a record of an LMDB "
                "three axes at most; use hdf5"
            )
        for row in rows.reshape(*rows.shape, *[1] * (4 - rows.ndim)):
            self.put(b"%010d" % self.count, array_to_datum(row).SerializeToString())


class _Hdf5Features:
    """An HDF5 file with one dataset, that of the blob's name."""

    def __init__(self, path: str, name: str) -> None:
        self._path, self._name, self._new = Path(path), name, True

    def __enter__(self) -> Self:
        self._file = self._path.with_name(f".{self._path.name}.partial")
        return self

    def put_rows(self, rows: Array) -> None:
        append_rows(self._file, {self._name: rows}, new=self._new)
        self._new = False

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                replace_atomically(self._path, self._move_to)
        finally:
            self._file.unlink(missing_ok=True)

    def _move_to(self, path: Path) -> None:
        self._file.rename(path)


_WRITERS: dict[str, Callable[[str, str], _Writer]] = {
    "lmdb": _LmdbFeatures,
    "hdf5": _Hdf5Features,
}
KINDS = tuple(_WRITERS)


def extract_features(
    net: Net,
    targets: dict[str, str],
    batches: int,
    kind: str = "lmdb",
    progress: Callable[[int], None] | None = None,
) -> dict[str, tuple[int, ...]]:
    """Run a net over its data, and write blobs, a record or row for each image.

    Parameters
    ----------
    net : Net
        With a data layer, and weights.
    targets : dict of str to str
        The database or file for each blob; what is there is replaced, when all is done.
    batches : int
        How many times to run the net.
    kind : str
        ``lmdb`` or ``hdf5``.
    progress : callable, optional
        Called with the number of batches done.

    Returns
    -------
    dict of str to tuple of int
        The shape of all features of each blob, ``(images, ...)``.

    Raises
    ------
    DataError
        If the net has no such blob, or a target cannot be written.
    SscaffeError
        If the net cannot run.
    """
    _check(net, list(targets))
    logger.info("Extracting Features")
    counts = dict.fromkeys(targets, 0)
    with contextlib.ExitStack() as stack:
        writers = {
            name: stack.enter_context(_WRITERS[kind](path, name)) for name, path in targets.items()
        }
        for batch in range(batches):
            net.run_forward()
            for name, writer in writers.items():
                rows = np.atleast_1d(np.asarray(net.blobs[name].host_data))
                writer.put_rows(rows)
                before, counts[name] = counts[name], counts[name] + len(rows)
                if counts[name] // _REPORT_EVERY > before // _REPORT_EVERY:
                    _log(counts[name], name)
            if progress:
                progress(batch + 1)
    for name, count in counts.items():
        if count % _REPORT_EVERY:
            _log(count, name)
    logger.info("Successfully extracted the features!")
    return {name: (count, *net.blobs[name].shape[1:]) for name, count in counts.items()}


def _check(net: Net, names: Sequence[str]) -> None:
    unknown = [name for name in names if name not in net.blobs]
    if unknown:
        known = ", ".join(net.blobs)
        raise DataError(f"blobs: the net has no blob {unknown[0]!r}; it has {known}")


def _log(count: int, name: str) -> None:
    logger.info("Extracted features of %d query images for feature blob %s", count, name)
