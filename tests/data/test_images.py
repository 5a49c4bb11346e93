"""Image files: resizing and gray as Caffe's libraries do it, and what is refused.

The expected pixels were recorded from BVLC Caffe 1.0 with OpenCV.
"""

import numpy as np
import pytest
from PIL import Image

from sscaffe.data.images import read_image, resize
from sscaffe.errors import DataError

PIXELS = (np.arange(5 * 4 * 3) * 37 % 256).reshape(5, 4, 3).astype(np.uint8)


@pytest.fixture
def path(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "image.png")
    return tmp_path / "image.png"


def test_blue_comes_first(path):
    np.testing.assert_array_equal(read_image(path), PIXELS[..., ::-1].transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("size", "blue"),
    [
        (
            (3, 6),
            [
                [51, 107, 152, 112, 115, 128],
                [194, 122, 67, 142, 88, 15],
                [81, 136, 167, 71, 102, 157],
            ],
        ),
        (
            (8, 3),
            [
                [92, 112, 132],
                [63, 139, 121],
                [33, 168, 103],
                [124, 126, 60],
                [162, 123, 84],
                [146, 161, 175],
                [106, 126, 146],
                [76, 96, 116],
            ],
        ),
    ],
)
def test_resizing_is_that_of_opencv(path, size, blue):
    np.testing.assert_array_equal(read_image(path, 3, size)[0], blue)


def test_gray_is_that_of_libpng(path):
    np.testing.assert_array_equal(
        read_image(path, 1)[0],
        [
            [30, 141, 72, 107],
            [188, 73, 184, 39],
            [150, 81, 116, 197],
            [82, 193, 48, 159],
            [90, 125, 206, 91],
        ],
    )


def test_half_the_size_is_the_mean_of_four():
    image = np.array([[[1, 2, 10, 20], [3, 5, 30, 40]]], np.uint8)
    np.testing.assert_array_equal(resize(image, 1, 2), [[[3, 25]]])


def test_the_same_size_changes_nothing(path):
    image = read_image(path)
    assert resize(image, 5, 4) is image


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (7, 7)])
def test_one_colour_stays_what_it_is(size):
    image = np.full((3, 4, 5), 77, np.uint8)
    np.testing.assert_array_equal(resize(image, *size), np.full((3, *size), 77))


def test_refuses_what_is_no_image(tmp_path):
    with pytest.raises(DataError, match=r"source: .*nowhere.png cannot be read: No such file"):
        read_image(tmp_path / "nowhere.png")
    (tmp_path / "text.png").write_text("text")
    with pytest.raises(DataError, match=r"source: expected an image file, got .*text.png"):
        read_image(tmp_path / "text.png")
