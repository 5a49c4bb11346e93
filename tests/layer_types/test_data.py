"""Data: batches of an LMDB, Caffe's random numbers, resuming, refusals."""

import json
import threading

import numpy as np
import pytest

from sscaffe.blob import Blob
from sscaffe.data.sources import LmdbSource
from sscaffe.errors import DataError, ShapeError, UnsupportedError
from sscaffe.layer import TEST, TRAIN
from sscaffe.random_numbers import RandomNumbers
from tests.data.databases import make_lmdb, random_images
from tests.helpers import make_layer

RANDOM = "transform_param { crop_size: 4 mirror: true }"


@pytest.fixture(autouse=True, params=["in memory", "read ahead"])
def way(request, monkeypatch):
    """Let the layer keep the small databases of the tests in memory, or not."""
    if request.param == "read ahead":
        monkeypatch.setattr(LmdbSource, "load", lambda source: False)
    return request.param


@pytest.fixture
def images(rng):
    return random_images(rng)


@pytest.fixture
def db(tmp_path, images):
    return make_lmdb(tmp_path / "db", images)


@pytest.fixture
def set_up():
    """Set up Data layers, and close them at the end."""
    layers = []

    def make(source, more="", *, data_param="", tops=2, phase=TRAIN, seed=5):
        layer = make_layer(
            f"type: 'Data' {more} data_param {{ source: '{source}' batch_size: 3 backend: LMDB "
            f"{data_param} }}",
            phase=phase,
            dtype=np.float32,
            rng=RandomNumbers(seed),
        )
        layers.append(layer)
        top = [Blob() for _ in range(tops)]
        layer.setup([], top)
        layer.reshape([], top)
        return layer, top

    yield make
    for layer in layers:
        layer.close()


def run(layer, top, count):
    """Return the tops of so many forward passes, one after another."""
    passes = []
    for _ in range(count):
        layer.forward([], top)
        passes.append([blob.host_data.copy() for blob in top])
    return [np.concatenate(arrays) for arrays in zip(*passes, strict=True)]


def test_gives_images_and_labels_and_starts_over(set_up, db, images):
    layer, top = set_up(db)
    assert [blob.shape for blob in top] == [(3, 3, 6, 5), (3,)]
    data, labels = run(layer, top, 5)
    np.testing.assert_array_equal(labels, np.arange(15) % 7)
    np.testing.assert_array_equal(data, images[np.arange(15) % 7])


def test_may_give_images_only(set_up, db, images):
    layer, top = set_up(db, tops=1)
    np.testing.assert_array_equal(run(layer, top, 1)[0], images[:3])


def test_transforms(set_up, db, images):
    layer, top = set_up(db, "transform_param { scale: 0.5 mean_value: 9 crop_size: 4 }", phase=TEST)
    assert top[0].shape == (3, 3, 4, 4)
    expected = (images[:3, :, 1:5, 0:4].astype(np.float32) - 9) / 2
    np.testing.assert_array_equal(run(layer, top, 1)[0], expected)


def test_takes_transformations_from_data_param_too(set_up, db, images):
    layer, top = set_up(db, data_param="scale: 0.5 crop_size: 4", phase=TEST)
    expected = images[:3, :, 1:5, 0:4].astype(np.float32) / 2
    np.testing.assert_array_equal(run(layer, top, 1)[0], expected)


def test_transform_param_goes_before_data_param(set_up, db, images):
    layer, top = set_up(db, "transform_param { scale: 2 }", data_param="scale: 0.5")
    np.testing.assert_array_equal(run(layer, top, 1)[0], images[:3].astype(np.float32) * 2)


def test_mirrors_the_images_that_caffe_mirrors(set_up, db, images):
    layer, top = set_up(db, "transform_param { mirror: true }", phase=TEST, seed=5)
    # Recorded from Caffe with random_seed 5: which of the first twelve images are mirrored.
    mirrored = np.array([1, 1, 0, 0, 0, 1, 1, 0, 0, 1, 1, 0], bool)
    plain = images[np.arange(12) % 7]
    expected = np.where(mirrored[:, None, None, None], plain[..., ::-1], plain)
    np.testing.assert_array_equal(run(layer, top, 4)[0], expected)


@pytest.mark.parametrize(("more", "draws"), [("", 2), ("transform_param { mirror: true }", 4)])
def test_draws_as_many_numbers_as_caffe(set_up, db, more, draws):
    layer, _ = set_up(db, more, seed=5)
    assert layer.rng.raw(1)[0] == RandomNumbers(5).raw(draws + 1)[-1]


@pytest.mark.parametrize("depth", [1, 2, 9])
def test_reading_ahead_changes_nothing(set_up, db, depth):
    expected = run(*set_up(db, RANDOM), 9)
    found = run(*set_up(db, RANDOM, data_param=f"prefetch: {depth}"), 9)
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("before", [0, 1, 6])
def test_goes_on_where_it_was(set_up, db, before):
    layer, top = set_up(db, RANDOM)
    for _ in range(before):
        layer.forward([], top)
    state = json.loads(json.dumps(layer.data_state()))
    expected = run(layer, top, 8)
    fresh, top = set_up(db, RANDOM, seed=99)
    run(fresh, top, 2)
    fresh.restore_data_state(state)
    assert fresh.data_state() == state
    for one, other in zip(expected, run(fresh, top, 8), strict=True):
        np.testing.assert_array_equal(one, other)


def test_skips_at_random(set_up, db):
    starts = set()
    for seed in range(20):
        layer, top = set_up(db, data_param="rand_skip: 3", seed=seed)
        starts.add(run(layer, top, 1)[1][0])
    assert starts == {0, 1, 2}


def test_gives_images_of_different_sizes_one_at_a_time(tmp_path, rng):
    images = [random_images(rng, 1, (3, size, 4))[0] for size in (5, 6)]
    layer = make_layer(
        f"type: 'Data' data_param {{ source: '{make_lmdb(tmp_path / 'db', images)}' "
        "batch_size: 1 backend: LMDB }",
        dtype=np.float32,
    )
    top = [Blob(), Blob()]
    layer.setup([], top)
    for image in (*images, images[0]):
        layer.forward([], top)
        np.testing.assert_array_equal(top[0].host_data, image[np.newaxis])
    layer.close()


def test_runs_in_double_precision(db, images):
    layer = make_layer(f"type: 'Data' data_param {{ source: '{db}' batch_size: 2 backend: LMDB }}")
    top = [Blob((), np.float64)]
    layer.setup([], top)
    layer.forward([], top)
    np.testing.assert_array_equal(top[0].host_data, images[:2])
    layer.close()


def test_reads_ahead_only_what_is_not_in_memory_and_close_ends_the_thread(set_up, db, way):
    before = {*threading.enumerate()}  # of which some may be about to end
    layer, top = set_up(db)
    layer.forward([], top)
    on_the_way = not layer.device.is_cpu  # the next batch, to a GPU
    assert len({*threading.enumerate()} - before) == (way == "read ahead") + on_the_way
    layer.close()
    assert not {*threading.enumerate()} - before


def test_batches_and_places_are_the_same_in_memory(set_up, db, monkeypatch):
    more = "transform_param { crop_size: 4 mirror: true }"
    taken = []
    for in_memory in (True, False):
        with monkeypatch.context() as patch:
            if not in_memory:
                patch.setattr(LmdbSource, "load", lambda source: False)
            layer, top = set_up(db, more)
            for _ in range(6):
                layer.forward([], top)
                batch = [blob.host_data.copy() for blob in top]
                taken.append((batch, layer.data_state()))
    for (ours, our_state), (theirs, their_state) in zip(taken[:6], taken[6:], strict=True):
        np.testing.assert_array_equal(ours[0], theirs[0])
        np.testing.assert_array_equal(ours[1], theirs[1])
        assert our_state == their_state


def test_close_is_harmless_before_setup_and_twice(set_up, db):
    layer, _ = set_up(db)
    layer.close()
    layer.close()
    make_layer("type: 'Data'").close()


def test_finds_the_database_under_the_root(db, images, tmp_path, monkeypatch):
    (tmp_path / "here" / "db").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")  # whose db is not looked at
    layer = make_layer("type: 'Data' data_param { source: 'db' batch_size: 2 backend: LMDB }")
    layer.root = str(db.parent)
    top = [Blob()]
    layer.setup([], top)
    assert top[0].shape == (2, 3, 6, 5)


def test_an_error_in_the_thread_comes_with_its_batch(set_up, tmp_path, rng):
    images = [random_images(rng, 1, (3, size, 4))[0] for size in (5, 5, 5, 5, 6)]
    layer, top = set_up(make_lmdb(tmp_path / "mixed", images))
    layer.forward([], top)
    for _ in range(2):
        with pytest.raises(ShapeError, match=r"images of shape \(3, 5, 4\), got \(3, 6, 4\)"):
            layer.forward([], top)


@pytest.mark.parametrize(
    ("param", "error", "message"),
    [
        ("source: 'x' backend: LMDB", DataError, "batch_size: expected 1 or more, got 0"),
        ("batch_size: 1 prefetch: 0", DataError, "prefetch: expected 1 or more, got 0"),
        ("batch_size: 1 backend: LMDB", DataError, "source: expected the folder of a database"),
        (
            "batch_size: 1 source: 'x'",
            DataError,
            "expected LMDB for x, got LEVELDB; make an LMDB from",
        ),
        ("batch_size: 1 source: 'x' backend: LMDB", DataError, "source: there is no x; make"),
        (
            "batch_size: 1 source: 'x' backend: LMDB shuffle: true",
            UnsupportedError,
            "shuffle: an LMDB is read in the order of its keys",
        ),
    ],
)
def test_refuses(param, error, message):
    layer = make_layer(f"type: 'Data' data_param {{ {param} }}")
    with pytest.raises(error, match=message):
        layer.setup([], [Blob()])
    layer.close()


def test_says_that_the_backend_is_only_not_set(db):
    layer = make_layer(f"type: 'Data' data_param {{ source: '{db}' batch_size: 1 }}")
    with pytest.raises(DataError, match=r"expected LMDB for .*db, got LEVELDB; set backend: LMDB"):
        layer.setup([], [Blob()])


def test_refuses_a_crop_larger_than_the_images(set_up, db):
    with pytest.raises(ShapeError, match=r"crop_size: expected at most the 6 x 5 .*, got 6"):
        set_up(db, "transform_param { crop_size: 6 }")
