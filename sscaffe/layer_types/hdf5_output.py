"""HDF5Output: write two blobs to a file."""

from pathlib import Path

from sscaffe.blob import Array, Blob
from sscaffe.data.hdf5 import append_rows
from sscaffe.errors import DataError, ShapeError
from sscaffe.layer import Layer, register

NAMES = ("data", "label")
_AXES = 4  # of the datasets, at least


@register("HDF5Output")
class HDF5OutputLayer(Layer):
    """Write the bottoms to the datasets ``data`` and ``label``.

    The rows of each pass follow those of the last; the first pass replaces a file that is there.
    Between passes the file is closed, so that it can be read. As in Caffe, the datasets have four
    axes, the last ones of size 1 where the bottoms have fewer.

    Bottoms: two blobs with as many rows, ``(N, ...)``.
    """

    num_bottom = 2
    num_top = 0
    uses_host = True

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the file's name."""
        name = self.layer_param.hdf5_output_param.file_name
        if not name:
            raise DataError("file_name: expected a file to write, got nothing")
        self.path = Path(self.root, name)
        if not self.path.parent.is_dir():
            raise DataError(f"file_name: there is no folder {self.path.parent}; make it first")
        self._has_begun = False

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check that the bottoms have as many rows."""
        first, second = bottom[0].shape, bottom[1].shape
        if not first or not second or first[0] != second[0]:
            raise ShapeError(f"bottom: expected as many rows in both, got {first} and {second}")

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Add the rows to the file."""
        arrays = {name: _four_axes(blob) for name, blob in zip(NAMES, bottom, strict=True)}
        append_rows(self.path, arrays, new=not self._has_begun)
        self._has_begun = True

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Give the bottoms no gradient."""
        for blob, wanted in zip(bottom, propagate_down, strict=True):
            if wanted:
                blob.clear_diff()


def _four_axes(blob: Blob) -> Array:
    return blob.host_data.reshape(*blob.shape, *[1] * (_AXES - blob.ndim))
