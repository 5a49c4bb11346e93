"""HDF5Data: tops by name, batches over files, resuming, refusals."""

import h5py
import numpy as np
import pytest

from sscaffe.blob import Blob
from sscaffe.errors import DataError, UnsupportedError
from tests.helpers import make_layer


@pytest.fixture
def source(tmp_path):
    """Make a list of two files of 3 and 4 rows."""
    values = np.arange(14).reshape(7, 2)
    for name, rows in (("a.h5", slice(0, 3)), ("b.h5", slice(3, 7))):
        with h5py.File(tmp_path / name, "w") as file:
            file["data"] = values[rows].astype(np.float64)
            file["label"] = values[rows, :1] // 2
    (tmp_path / "list.txt").write_text("a.h5\nb.h5\n")
    return tmp_path / "list.txt"


def set_up(source, param="", names=("data", "label"), more=""):
    tops = " ".join(f"top: '{name}'" for name in names)
    layer = make_layer(
        f"type: 'HDF5Data' {tops} {more}"
        f"hdf5_data_param {{ source: '{source}' batch_size: 2 {param} }}",
        dtype=np.float32,
    )
    layer.root = str(source.parent)
    top = [Blob() for _ in names]
    layer.setup([], top)
    layer.reshape([], top)
    return layer, top


def rows_of(layer, top, count):
    taken = []
    for _ in range(count):
        layer.forward([], top)
        taken += top[0].host_data[:, 0].tolist()
    return taken


def test_gives_rows_over_files_and_starts_over(source):
    layer, top = set_up(source)
    assert [blob.shape for blob in top] == [(2, 2), (2, 1)]
    for start in (0, 2, 4, 6, 1):
        layer.forward([], top)
        rows = np.array([start % 7, (start + 1) % 7])
        np.testing.assert_array_equal(top[0].host_data, np.stack([2 * rows, 2 * rows + 1], 1))
        np.testing.assert_array_equal(top[1].host_data, rows[:, np.newaxis])


def test_takes_datasets_by_the_names_of_tops(source):
    layer, top = set_up(source, names=("label", "data"))
    layer.forward([], top)
    assert top[0].host_data.ravel().tolist() == [0, 1]


def test_shuffles(source):
    layer, top = set_up(source, "shuffle: true")
    taken = rows_of(layer, top, 7)
    assert sorted(taken[:7]) == sorted(taken[7:]) == [0, 2, 4, 6, 8, 10, 12]
    assert taken != sorted(taken[:7]) * 2


@pytest.mark.parametrize("param", ["", "shuffle: true"])
def test_goes_on_where_it_was(source, param):
    layer, top = set_up(source, param)
    rows_of(layer, top, 5)
    state = layer.data_state()
    expected = rows_of(layer, top, 20)
    again, top = set_up(source, param)
    again.restore_data_state(state)
    assert rows_of(again, top, 20) == expected


def test_finds_the_list_and_its_files_from_the_working_directory(source, monkeypatch):
    monkeypatch.chdir(source.parent)
    layer, top = set_up(source.relative_to(source.parent))
    assert rows_of(layer, top, 1) == [0, 2]


def test_refuses_a_missing_dataset(source):
    with pytest.raises(
        DataError, match=r"x: expected a dataset .* got nothing; it has data, label"
    ):
        set_up(source, names=("data", "x"))


def test_refuses_transform_param(source):
    with pytest.raises(UnsupportedError, match="transform_param: HDF5Data does not transform"):
        set_up(source, more="transform_param { scale: 2 }")


@pytest.mark.parametrize(
    ("param", "message"),
    [
        ("source: 'list.txt'", "batch_size: expected 1 or more, got 0"),
        ("batch_size: 1", "source: expected a file that lists HDF5 files, got nothing"),
        ("batch_size: 1 source: 'nowhere.txt'", "source: nowhere.txt cannot be read: No such"),
    ],
)
def test_refuses(param, message):
    layer = make_layer(f"type: 'HDF5Data' top: 'data' hdf5_data_param {{ {param} }}")
    with pytest.raises(DataError, match=message):
        layer.setup([], [Blob()])
