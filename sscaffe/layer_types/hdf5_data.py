"""HDF5Data: rows of HDF5 files."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sscaffe.blob import Blob
from sscaffe.data.hdf5 import Hdf5Rows, read_list
from sscaffe.errors import DataError, UnsupportedError
from sscaffe.layer import Layer, register
from sscaffe.random_numbers import RandomNumbers

Array = npt.NDArray[Any]


@register("HDF5Data")
class HDF5DataLayer(Layer):
    """Rows of the files in a list, in order or shuffled, over and over.

    Tops: any number, each ``(N, ...)`` from the dataset of its name. A batch may start in one file
    and end in the next.
    """

    num_bottom = 0
    min_top = 1
    uses_host = True

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Read the list and the first file, and set the shapes of the tops."""
        param = self.layer_param.hdf5_data_param
        if self.layer_param.HasField("transform_param"):
            raise UnsupportedError("transform_param: HDF5Data does not transform; use Data instead")
        if param.batch_size < 1:
            raise DataError(f"batch_size: expected 1 or more, got {param.batch_size}")
        if not param.source:
            raise DataError("source: expected a file that lists HDF5 files, got nothing")
        # Shuffling draws from a stream of its own, so that resuming can find its place in it.
        rng = RandomNumbers(int(self.rng.raw(1)[0])) if param.shuffle else None
        files = [Path(self.root, name) for name in read_list(Path(self.root, param.source))]
        self._rows = Hdf5Rows(files, list(self.layer_param.top), rng)
        for blob, array in zip(top, self._rows.arrays, strict=True):
            blob.reshape(param.batch_size, *array.shape[1:])

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Keep the shapes."""

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Copy the next rows to the tops."""
        batch = [np.empty(blob.shape, np.float32) for blob in top]
        self._rows.read_into(batch)
        for blob, array in zip(top, batch, strict=True):
            blob.set_data(array)

    def shard(self, rank: int, size: int) -> None:
        """Read, of each `size` batches, the one with this number."""
        self._rows.shard(rank, size)

    def data_state(self) -> dict[str, Any]:
        """Return the place of the row that the next forward pass starts with; JSON can hold it."""
        return self._rows.state()

    def restore_data_state(self, state: dict[str, Any]) -> None:
        """Go to a place that `data_state` returned.

        Raises
        ------
        DataError
            If the files have no such place.
        """
        self._rows.restore(state)
