"""WindowData: windows by hand, mixtures, resuming, refusals."""

import json

import numpy as np
import pytest
from PIL import Image

from sscaffe.blob import Blob
from sscaffe.data.images import resize
from sscaffe.data.windows import Cutting, Window, read_window_file
from sscaffe.errors import DataError, ShapeError
from sscaffe.layer import TRAIN
from sscaffe.proto import caffe_pb2
from sscaffe.random_numbers import RandomNumbers
from sscaffe.serialized import fill_blobproto
from tests.helpers import make_layer

LIST = """# 0
files/a.png
3
8
10
3
4 0.9 1 2 6 7
2 0.3 0 0 3 3
1 0.5 2 2 5 5
# 1
files/b.png
3 6 6 1
3 0.1 1 1 4 4
"""
SETTINGS = "source: 'windows' batch_size: 8 crop_size: 4 root_folder: '%s/'"


@pytest.fixture
def images(tmp_path, monkeypatch, rng):
    """Write two images and their windows into the working directory; return the images."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "files").mkdir()
    images = {}
    for name, shape in (("a", (8, 10, 3)), ("b", (6, 6, 3))):
        pixels = rng.integers(0, 256, shape, dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "files" / f"{name}.png")
        images[name] = pixels[..., ::-1].transpose(2, 0, 1)
    (tmp_path / "windows").write_text(LIST)
    return images


@pytest.fixture
def set_up(tmp_path):
    """Set up layers, and close them at the end."""
    layers = []

    def make(text="", more="", *, seed=5, settings=SETTINGS):
        layer = make_layer(
            f"type: 'WindowData' {more} window_data_param {{ {settings % tmp_path} {text} }}",
            phase=TRAIN,
            dtype=np.float32,
            rng=RandomNumbers(seed),
        )
        layers.append(layer)
        top = [Blob(), Blob()]
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


def test_a_window_is_cut_out(images):
    window = Window(0, 4, 0.9, 1, 2, 4, 5)
    got = Cutting(4).cut(images["a"], window, mirror=False)
    np.testing.assert_array_equal(got, images["a"][:, 2:6, 1:5])
    got = Cutting(4, scale=0.5, mean=np.full((3, 1, 1), 10)).cut(images["a"], window, mirror=True)
    np.testing.assert_array_equal(got, (images["a"][:, 2:6, 4:0:-1] - 10.0) * 0.5)


def test_context_beyond_the_image_is_zero(images):
    # Caffe grows 4 x 4 at the corner to rows and columns -2 to 6, nine of them; what is there of
    # these, 0 to 6, becomes round(7 * 8 / 9) pixels behind round(2 * 8 / 9) zeros.
    window = Window(0, 4, 0.9, 0, 0, 3, 3)
    inside = resize(images["a"][:, :7, :7], 6, 6)
    got = Cutting(8, context=2).cut(images["a"], window, mirror=False)
    np.testing.assert_array_equal(got, np.pad(inside, ((0, 0), (2, 0), (2, 0))))
    mirrored = Cutting(8, context=2).cut(images["a"], window, mirror=True)
    expected = np.pad(inside[:, :, ::-1], ((0, 0), (2, 0), (0, 2)))
    np.testing.assert_array_equal(mirrored, expected)


def test_a_square_keeps_the_form(images):
    window = Window(0, 4, 0.9, 3, 1, 4, 6)
    warped = Cutting(6).cut(images["a"], window, mirror=False)
    np.testing.assert_array_equal(warped, resize(images["a"][:, 1:7, 3:5], 6, 6))
    # Columns 1 to 7 of rows 1 to 7: the square of side 6 around it, one pixel larger as above.
    square = Cutting(6, square=True).cut(images["a"], window, mirror=False)
    np.testing.assert_array_equal(square, resize(images["a"][:, 1:8, 1:8], 6, 6))


def test_a_mean_image_is_cropped_to_its_middle(images):
    mean = np.arange(3 * 6 * 6.0).reshape(3, 6, 6)
    window = Window(0, 4, 0.9, 1, 2, 4, 5)
    got = Cutting(4, mean=mean).cut(images["a"], window, mirror=False)
    np.testing.assert_array_equal(got, images["a"][:, 2:6, 1:5] - mean[:, 1:5, 1:5])


def test_a_quarter_of_a_batch_are_objects(images, set_up):
    layer, top = set_up()
    assert [blob.shape for blob in top] == [(8, 3, 4, 4), (8,)]
    _, labels = run(layer, top, 20)
    by_batch = labels.reshape(20, 8)
    assert not by_batch[:, :6].any()
    assert set(by_batch[:, 6:].ravel()) == {1, 4}


def test_windows_are_reproducible_and_can_be_returned_to(images, set_up):
    more = "transform_param { mirror: true scale: 0.5 }"
    first = run(*set_up("cache_images: true", more), 6)
    layer, top = set_up("", more)
    for got, wanted in zip(run(layer, top, 6), first, strict=True):
        np.testing.assert_array_equal(got, wanted)
    state = json.loads(json.dumps(layer.data_state()))
    expected = run(layer, top, 4)
    other, other_top = set_up("", more, seed=9)
    other.restore_data_state(state)
    for got, wanted in zip(run(other, other_top, 4), expected, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_means(images, set_up, tmp_path):
    plain = run(*set_up(), 1)[0]
    one = run(*set_up(more="transform_param { mean_value: 7 }"), 1)[0]
    np.testing.assert_array_equal(one, plain - 7)
    proto = caffe_pb2.BlobProto()
    fill_blobproto(proto, np.full((1, 3, 4, 4), 9))
    (tmp_path / "mean").write_bytes(proto.SerializeToString())
    np.testing.assert_array_equal(run(*set_up("mean_file: 'mean'"), 1)[0], plain - 9)
    with pytest.raises(ShapeError, match="mean_file: expected 3 channels of 5 pixels or more"):
        set_up(more="transform_param { crop_size: 5 mean_file: 'mean' }")


@pytest.mark.parametrize(
    ("text", "more", "error", "message"),
    [
        ("fg_threshold: 2", "", DataError, "fg_threshold: no window of the list reaches it"),
        ("bg_threshold: 0", "", DataError, "bg_threshold: no window of the list is below it"),
        ("context_pad: 2", "", DataError, "context_pad: expected less than half of crop_size 4"),
        ("crop_mode: 'round'", "", DataError, "crop_mode: expected warp or square, got 'round'"),
        ("fg_fraction: 2", "", DataError, "fg_fraction: expected 0 to 1, got 2"),
        (
            "mean_file: 'm'",
            "transform_param { mean_value: 1 }",
            DataError,
            "mean_file: expected either mean_file or mean_value, got both",
        ),
        (
            "",
            "transform_param { mean_value: 1 mean_value: 2 }",
            ShapeError,
            "mean_value: expected 1 value or one for each of the 3 channels, got 2",
        ),
    ],
)
def test_refuses(text, more, error, message, images, set_up):
    with pytest.raises(error, match=message):
        set_up(text, more)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("batch_size: 1 crop_size: 2 #%s\n", "source: expected a file that lists windows"),
        ("source: 'windows' crop_size: 2 #%s\n", "batch_size: expected 1 or more, got 0"),
        ("source: 'windows' batch_size: 1 #%s\n", "crop_size: expected the size that windows"),
        ("source: 'no' batch_size: 1 crop_size: 2 #%s\n", "source: no cannot be read"),
    ],
)
def test_refuses_what_is_left_out(settings, message, images, set_up):
    with pytest.raises(DataError, match=message):
        set_up(settings=settings)


def test_refuses_windows_outside_of_their_image(images):
    with pytest.raises(DataError, match="source: expected a window inside the image"):
        Cutting(4).cut(images["b"], Window(1, 1, 1, 2, 2, 6, 3), mirror=False)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "source: expected a list of windows, got an empty"),
        ("# 0\nx.png\n3 8 9 2\n1 0.5 0 0 1 1\n", "from image 0 on: it ends too soon"),
        ("# 0\nx.png\n3 8 9 1\n1 0.5 0 0 1 x\n", "from image 0 on: invalid literal"),
        ("0\nx.png\n", "from image 0 on: expected '#', got '0'"),
    ],
)
def test_refuses_lists(content, message, tmp_path):
    (tmp_path / "list").write_text(content)
    with pytest.raises(DataError, match=message):
        read_window_file(tmp_path / "list")
