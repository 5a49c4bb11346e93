"""HDF5Output: what stands in the file, and what it refuses."""

import h5py
import numpy as np
import pytest

from sscaffe.errors import DataError, ShapeError
from tests.helpers import blob_of, make_layer, run_layer


@pytest.fixture
def path(tmp_path):
    return tmp_path / "out.h5"


def output(path):
    return make_layer(f"type: 'HDF5Output' hdf5_output_param {{ file_name: '{path}' }}")


def read(path):
    with h5py.File(path) as file:
        return [file[name][()] for name in ("data", "label")]


def test_the_rows_of_each_pass_follow_those_of_the_last(path, rng):
    path.write_bytes(b"of another run")
    layer = output(path)
    bottom = [blob_of(np.zeros((2, 3, 4))), blob_of(np.zeros(2))]
    layer.setup(bottom, [])
    layer.reshape(bottom, [])
    passes = []
    for _ in range(3):
        values = [rng.standard_normal(blob.shape) for blob in bottom]
        for blob, value in zip(bottom, values, strict=True):
            blob.set_data(value)
        layer.forward(bottom, [])
        passes.append(values)
        data, label = read(path)
        np.testing.assert_array_equal(data[..., 0], np.concatenate([v[0] for v in passes]))
        np.testing.assert_array_equal(label.ravel(), np.concatenate([v[1] for v in passes]))
    assert label.shape == (6, 1, 1, 1)
    layer.backward([], [True, True], bottom)
    assert not bottom[0].host_diff.any()


def test_more_than_four_axes_are_kept(path):
    run_layer(output(path), np.zeros((2, 1, 1, 3, 2)), np.zeros(2), tops=0)
    assert read(path)[0].shape == (2, 1, 1, 3, 2)


@pytest.mark.parametrize(
    ("name", "shapes", "error", "message"),
    [
        ("", [(2, 3), (2,)], DataError, "file_name: expected a file to write, got nothing"),
        ("/nowhere/at/all.h5", [(2, 3), (2,)], DataError, "file_name: there is no folder"),
        ("out.h5", [(2, 3), (3,)], ShapeError, "bottom: expected as many rows in both"),
        ("out.h5", [(2, 3), ()], ShapeError, "bottom: expected as many rows in both"),
    ],
)
def test_refuses(name, shapes, error, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        run_layer(output(name), *map(np.zeros, shapes), tops=0)


def test_refuses_a_folder_and_rows_of_another_shape(path):
    path.mkdir()
    with pytest.raises(DataError, match=r"file_name: .* cannot be written as HDF5"):
        run_layer(output(path), np.zeros((2, 3)), np.zeros(2), tops=0)
    path.rmdir()
    layer = output(path)
    bottom = [blob_of(np.zeros((2, 3))), blob_of(np.zeros(2))]
    layer.setup(bottom, [])
    layer.forward(bottom, [])
    bottom[0].reshape(2, 4)
    with pytest.raises(DataError, match=r"data: expected rows of shape \(3, 1, 1\) as before"):
        layer.forward(bottom, [])
