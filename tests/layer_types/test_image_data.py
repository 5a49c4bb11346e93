"""ImageData: batches of image files, Caffe's random numbers, resuming, refusals."""

import json

import numpy as np
import pytest
from PIL import Image

from sscaffe.blob import Blob
from sscaffe.errors import DataError, ShapeError
from sscaffe.layer import TEST, TRAIN
from sscaffe.random_numbers import RandomNumbers
from tests.helpers import make_layer


@pytest.fixture
def images(tmp_path, monkeypatch, rng):
    """Write five images and their list into the working directory; return them as (C, H, W)."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "files").mkdir()
    pixels = rng.integers(0, 256, (5, 6, 7, 3), dtype=np.uint8)
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / "files" / f"{i}.png")
    (tmp_path / "list").write_text("".join(f"{i}.png {i}\n" for i in range(5)))
    return pixels[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32)


@pytest.fixture
def set_up():
    """Set up layers, and close them at the end."""
    layers = []

    def make(text="", more="", *, tops=2, phase=TRAIN, seed=5, root=""):
        layer = make_layer(
            f"type: 'ImageData' {more} image_data_param {{ source: 'list' batch_size: 3 "
            f"root_folder: 'files/' {text} }}",
            phase=phase,
            dtype=np.float32,
            rng=RandomNumbers(seed),
        )
        layer.root = root
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


def test_images_come_in_order_over_and_over(images, set_up):
    layer, top = set_up()
    assert [blob.shape for blob in top] == [(3, 3, 6, 7), (3,)]
    data, labels = run(layer, top, 4)
    order = np.arange(12) % 5
    np.testing.assert_array_equal(labels, order)
    np.testing.assert_array_equal(data, images[order])


def test_one_top_has_no_labels(images, set_up):
    layer, top = set_up(tops=1)
    np.testing.assert_array_equal(run(layer, top, 1)[0], images[:3])


def test_size_gray_and_transformation(images, set_up):
    more = "transform_param { crop_size: 4 scale: 0.5 mean_value: 10 }"
    layer, top = set_up("new_height: 8 new_width: 6 is_color: false", more, phase=TEST)
    data, _ = run(layer, top, 1)
    assert data.shape == (3, 1, 4, 4)
    plain, plain_top = set_up("new_height: 8 new_width: 6 is_color: false", phase=TEST)
    whole, _ = run(plain, plain_top, 1)
    np.testing.assert_array_equal(data, (whole[:, :, 2:6, 1:5] - 10) * 0.5)


def test_settings_in_their_old_place(images, set_up):
    layer, top = set_up("crop_size: 4 scale: 0.5 mirror: false", phase=TEST)
    data, _ = run(layer, top, 1)
    np.testing.assert_array_equal(data, images[:3, :, 1:5, 1:5] * 0.5)


def test_relative_names_start_from_the_root(images, set_up, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    layer, top = set_up(root=str(tmp_path))
    np.testing.assert_array_equal(run(layer, top, 1)[0], images[:3])


def test_shuffling_is_reproducible_and_skipping_is_random(images, set_up):
    runs = [run(*set_up("shuffle: true", seed=seed), 10)[1] for seed in (5, 5, 6)]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])
    np.testing.assert_array_equal(np.bincount(runs[0].astype(int)), [6] * 5)
    starts = {int(run(*set_up("rand_skip: 5", seed=seed), 1)[1][0]) for seed in range(20)}
    assert starts == set(range(5))


@pytest.mark.parametrize("text", ["", "shuffle: true", "shuffle: true rand_skip: 3"])
def test_a_place_can_be_returned_to(text, images, set_up):
    more = "transform_param { crop_size: 4 mirror: true }"
    layer, top = set_up(text, more)
    run(layer, top, 4)
    state = json.loads(json.dumps(layer.data_state()))
    expected = run(layer, top, 5)
    other, other_top = set_up(text, more, seed=77)
    run(other, other_top, 1)
    other.restore_data_state(state)
    for got, wanted in zip(run(other, other_top, 5), expected, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_refuses_one_size_and_no_list(images, set_up):
    with pytest.raises(DataError, match="new_height, new_width: expected both or neither, got one"):
        set_up("new_height: 4")
    with pytest.raises(DataError, match="source: expected a file that lists images"):
        make_layer("type: 'ImageData'").setup([], [Blob(), Blob()])


def test_refuses_a_batch_of_none_and_images_that_differ(images, set_up, tmp_path):
    layer = make_layer("type: 'ImageData' image_data_param { source: 'list' batch_size: 0 }")
    with pytest.raises(DataError, match="batch_size: expected 1 or more, got 0"):
        layer.setup([], [Blob(), Blob()])
    Image.new("RGB", (3, 3)).save(tmp_path / "files" / "1.png")
    layer, top = set_up()
    with pytest.raises(ShapeError, match="batch: expected images of shape"):
        run(layer, top, 1)
    (tmp_path / "files" / "0.png").unlink()
    with pytest.raises(DataError, match=r"source: .*0.png cannot be read: No such file"):
        set_up()
