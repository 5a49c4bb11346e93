"""Rows that are added to HDF5 files, where there is no room for them."""

import os
import resource

import h5py
import numpy as np
import pytest

from sscaffe.data.hdf5 import append_rows
from sscaffe.data.waiting_file import WaitingFile
from sscaffe.errors import FullError
from sscaffe.files import refusal
from tests.helpers import blob_of, make_layer
from tests.trust.jobs import say

LIMITS = range(0, 90_000, 1009)


def rows_of(path):
    with h5py.File(path) as file:
        return {name: file[name][()] for name in file}


def output(path, bottom):
    layer = make_layer(f"type: 'HDF5Output' hdf5_output_param {{ file_name: '{path}' }}")
    layer.setup(bottom, [])
    layer.reshape(bottom, [])
    return layer


def refused(layer, bottom):
    """Run the layer; return why there is no room, if so."""
    try:
        layer.forward(bottom, [])
    except FullError as error:
        return str(error)
    return ""


def fill(layer, bottom, path, rng):
    """Run the layer until there is no room; return what the passes before it wrote."""
    passes, refusal = [], ""
    while not refusal:
        for blob in bottom:
            blob.set_data(rng.standard_normal(blob.shape))
        refusal = refused(layer, bottom)
        passes += [] if refusal else [[blob.host_data.copy() for blob in bottom]]
        assert len(passes) < 100, "there is no limit"
    assert refusal.startswith(f"file_name: {path}: cannot be written: ")
    assert refusal.endswith(" bytes are needed; make room, or choose another folder")
    return passes


def check(path, passes):
    """Check that the file has what was written before, or is not there."""
    assert path.exists() == bool(passes)
    if passes:
        found = rows_of(path)
        for i, name in enumerate(("data", "label")):
            wanted = np.concatenate([one[i] for one in passes])
            np.testing.assert_array_equal(found[name].reshape(wanted.shape), wanted)


def test_a_limit_of_file_sizes_leaves_the_passes_before(tmp_path, rng):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    bottom, counts = [blob_of(np.zeros((8, 3, 9, 9))), blob_of(np.zeros(8))], []
    for limit in LIMITS:
        path = tmp_path / f"{limit}.h5"
        layer = output(path, bottom)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
        try:
            passes = fill(layer, bottom, path, rng)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        check(path, passes)
        assert not [*tmp_path.glob("*.tmp.*")]
        counts.append(len(passes))
        if passes:  # With room again, it goes on.
            layer.forward(bottom, [])
            check(path, [*passes, [blob.host_data.copy() for blob in bottom]])
    assert counts[0] == 0
    assert max(counts) > 3
    say(f"\nHDF5Output: {len(counts)} limits, up to {max(counts)} passes: each file whole")


def test_a_full_disk_leaves_the_passes_before(small_disk, rng):
    path, bottom = small_disk / "out.h5", [blob_of(np.zeros((32, 3, 20, 20))), blob_of(np.ones(32))]
    passes = fill(output(path, bottom), bottom, path, rng)
    assert len(passes) > 5
    check(path, passes)
    assert [one.name for one in small_disk.iterdir()] == ["out.h5"]


def test_a_new_file_that_has_no_room_leaves_the_old_one(tmp_path, rng):
    path = tmp_path / "out.h5"
    path.write_bytes(b"of another run")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(FullError, match=r"file_name: .*out\.h5: cannot be written: File too"):
            append_rows(path, {"data": np.ones((4, 2), np.float32)}, new=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == b"of another run"


def test_a_waiting_file_is_read_and_written_as_any_other(tmp_path, rng):
    path, wanted = tmp_path / "file", bytearray(rng.bytes(200_000))
    path.write_bytes(wanted)
    with WaitingFile(path) as waiting:
        for _ in range(200):
            place, count = int(rng.integers(250_000)), int(rng.integers(1, 70_000))
            content = rng.bytes(count)
            wanted.extend(bytes(max(0, place + count - len(wanted))))
            wanted[place : place + count] = content
            waiting.seek(place)
            waiting.write(content)
            place = int(rng.integers(len(wanted)))
            waiting.seek(place)
            assert waiting.read(count) == wanted[place : place + count]
        assert waiting.seek(0, os.SEEK_END) == len(wanted)
        assert path.stat().st_size == 200_000
        waiting.apply()
    assert path.read_bytes() == wanted


def test_only_a_lack_of_room_is_called_one(tmp_path):
    assert isinstance(refusal(tmp_path, OSError(28, "No space left on device")), FullError)
    assert not isinstance(refusal(tmp_path, OSError(5, "Input/output error")), FullError)
