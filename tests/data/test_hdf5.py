"""Hdf5Rows: order, shuffling, places, and the traps that it refuses."""

import json
import sys

import h5py
import numpy as np
import pytest

from sscaffe.data.hdf5 import Hdf5Rows, read_datasets, read_list
from sscaffe.errors import DataError, UnsupportedError
from sscaffe.random_numbers import RandomNumbers


def write(path, **datasets):
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[name] = values
    return path


@pytest.fixture
def files(tmp_path):
    """Make three files of 5, 2 and 4 rows; the values count on."""
    start, paths = 0, []
    for i, count in enumerate((5, 2, 4)):
        values = np.arange(start, start + count)
        data = np.stack([values, -values], axis=1).astype(np.float64)
        paths.append(write(tmp_path / f"{i}.h5", data=data, label=values.astype(np.int8)))
        start += count
    return paths


def take(rows, count):
    batch = [np.empty((count, 2), np.float32), np.empty(count, np.float32)]
    rows.read_into(batch)
    np.testing.assert_array_equal(batch[0], np.stack([batch[1], -batch[1]], axis=1))
    return batch[1].astype(int).tolist()


def test_goes_on_over_files_and_starts_over(files):
    rows = Hdf5Rows(files, ["data", "label"])
    taken = [row for _ in range(8) for row in take(rows, 3)]
    assert taken == [i % 11 for i in range(24)]


def test_one_file_starts_over_inside_a_batch(files):
    rows = Hdf5Rows(files[:1], ["data", "label"])
    assert take(rows, 12) == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]


@pytest.mark.parametrize("count", [1, 3])
def test_shuffling_takes_each_row_once_in_an_epoch(files, count):
    rows = Hdf5Rows(files[:count], ["data", "label"], RandomNumbers(3))
    size = 5 if count == 1 else 11
    epochs = [take(rows, size) for _ in range(5)]
    assert all(sorted(epoch) == list(range(size)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_shuffling_reads_a_file_at_a_time(files):
    rows = Hdf5Rows(files, ["data", "label"], RandomNumbers(3))
    file_of = np.repeat([0, 1, 2], [5, 2, 4])
    taken = file_of[take(rows, 11)]
    assert np.count_nonzero(np.diff(taken)) == 2


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("before", [0, 1, 5, 7, 11, 25])
def test_goes_on_where_it_was(files, shuffle, before):
    def rows_with(seed):
        return Hdf5Rows(files, ["data", "label"], RandomNumbers(seed) if shuffle else None)

    rows = rows_with(3)
    take(rows, before)
    state = json.loads(json.dumps(rows.state()))
    expected = take(rows, 40)
    again = rows_with(4)
    again.restore(state)
    assert again.state() == state
    assert take(again, 40) == expected


def test_refuses_a_place_that_is_not_there(files):
    rows = Hdf5Rows(files[:1], ["data", "label"])
    with pytest.raises(DataError, match="a place in 1 files, got one in 3"):
        rows.restore({"file": 0, "record": 0, "file_order": [0, 1, 2]})
    with pytest.raises(DataError, match=r"a place among the 5 rows of .*, got 6"):
        rows.restore({"file": 0, "record": 6})


def test_refuses_rows_of_another_shape(files, tmp_path):
    other = write(tmp_path / "x.h5", data=np.zeros((3, 4)), label=np.zeros(3))
    rows = Hdf5Rows([files[1], other], ["data", "label"])
    with pytest.raises(DataError, match=r"data: expected rows of shape \(2,\) .*, got \(4,\) in"):
        take(rows, 3)


def test_refuses_a_missing_dataset(files):
    with pytest.raises(
        DataError, match=r"x: expected a dataset .*, got nothing; it has data, label"
    ):
        read_datasets(files[0], ["x"])


def test_reads_a_dataset_in_a_group(tmp_path):
    path = write(tmp_path / "x.h5", **{"train/data": np.ones((2, 3))})
    assert read_datasets(path, ["train/data"])[0].shape == (2, 3)


def test_refuses_another_number_of_rows(tmp_path):
    path = write(tmp_path / "x.h5", data=np.zeros((3, 2)), label=np.zeros(2))
    with pytest.raises(DataError, match=r"as many rows in each dataset, got \{'data': 3, 'label"):
        read_datasets(path, ["data", "label"])


@pytest.mark.parametrize("values", [np.zeros((0, 2)), 3.5, np.array([b"a"]), np.zeros(2, "c8")])
def test_refuses_what_is_no_rows_of_numbers(tmp_path, values):
    path = write(tmp_path / "x.h5", data=values)
    with pytest.raises(DataError, match=r"expected (rows of numbers|one row or more|numbers), got"):
        read_datasets(path, ["data"])


def test_refuses_a_group(tmp_path):
    path = write(tmp_path / "x.h5", **{"data/0": np.zeros(3)})
    with pytest.raises(DataError, match=r"data: expected a dataset .*, got a group"):
        read_datasets(path, ["data"])


@pytest.mark.parametrize("name", ["data", "inside/data"])
@pytest.mark.parametrize("kind", ["soft", "external"])
def test_refuses_links(tmp_path, files, kind, name):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["here"] = np.zeros(3)
        place = file.create_group("inside") if "/" in name else file
        target = h5py.SoftLink("/here")
        if kind == "external":
            target = h5py.ExternalLink(str(files[0]), "data")
        place["data"] = target
    with pytest.raises(DataError, match=f"{name}: expected values in .* itself, got a link"):
        read_datasets(path, [name])


def test_refuses_a_link_on_the_way(tmp_path, files):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["group"] = h5py.ExternalLink(str(files[0]), "/")
    with pytest.raises(DataError, match="itself, got a link"):
        read_datasets(path, ["group/data"])


def test_refuses_values_in_another_file(tmp_path, files):
    (tmp_path / "raw").write_bytes(b"\0" * 24)
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        outside = [(str(tmp_path / "raw"), 0, 24)]
        file.create_dataset("outside", (3,), "f8", external=outside)
        layout = h5py.VirtualLayout((5, 2), "f8")
        layout[...] = h5py.VirtualSource(str(files[0]), "data", (5, 2))
        file.create_virtual_dataset("virtual", layout)
    for name in ("outside", "virtual"):
        with pytest.raises(DataError, match=f"{name}: expected values in .*, got another file's"):
            read_datasets(path, [name])


@pytest.mark.parametrize("rows", [2**40, 2**18])
def test_refuses_a_shape_that_would_exhaust_memory(tmp_path, rows):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("data", (rows, 2), "f4", chunks=(1024, 2))
    message = rf"data: {path} declares shape \({rows}, 2\), {8 * rows} bytes, and stores 0 of them"
    with pytest.raises(DataError, match=message):
        read_datasets(path, ["data"])


@pytest.mark.parametrize(
    ("rows", "options"),
    [(2**17, {"chunks": (1024, 2)}), (2**19, {"compression": "gzip"}), (2**19, {})],
)
def test_reads_what_is_small_or_packed_or_stored(tmp_path, rows, options):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        values = None if "chunks" in options else np.zeros((rows, 2), "f4")
        file.create_dataset("data", (rows, 2), "f4", data=values, **options)
    assert not read_datasets(path, ["data"])[0].any()


def test_refuses_a_file_that_is_not_hdf5(tmp_path):
    (tmp_path / "x.h5").write_text("x" * 100)
    with pytest.raises(DataError, match="cannot be read as HDF5"):
        read_datasets(tmp_path / "x.h5", ["data"])


def test_refuses_a_file_that_is_cut_short(files):
    content = files[0].read_bytes()
    files[0].write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="cannot be read as HDF5"):
        read_datasets(files[0], ["data"])


def test_reads_a_list(tmp_path):
    (tmp_path / "list").write_text("a.h5\n\n  with blank.h5 \n")
    assert read_list(tmp_path / "list") == ["a.h5", "with blank.h5"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file"),
        (b"\n \n", "got an empty"),
        (b"\x89HDF\xff", "expected a text file that lists HDF5 files"),
    ],
)
def test_refuses_a_bad_list(tmp_path, content, message):
    if content is not None:
        (tmp_path / "list").write_bytes(content)
    with pytest.raises(DataError, match=f"source: .*{message}"):
        read_list(tmp_path / "list")


def test_names_the_extra_without_h5py(files, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UnsupportedError, match=r"need h5py: pip install 'sscaffe\[data\]'"):
        read_datasets(files[0], ["data"])
