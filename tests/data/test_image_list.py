"""ImageListSource: order, epochs, shuffling, places, and what is refused."""

import numpy as np
import pytest
from PIL import Image

from sscaffe.data.image_list import Entry, ImageListSource, read_image_list, shuffle
from sscaffe.errors import DataError
from sscaffe.random_numbers import RandomNumbers

COUNT = 7


@pytest.fixture
def entries(tmp_path):
    """Write images that are one colour each: their number."""
    (tmp_path / "a b").mkdir()
    lines = []
    for i in range(COUNT):
        name = f"a b/{i}.png"
        Image.fromarray(np.full((2 + i, 3, 3), i, np.uint8)).save(tmp_path / name)
        lines.append(f"{name} {10 * i}")
    (tmp_path / "list.txt").write_text("\n".join(lines) + "\n\n")
    return read_image_list(tmp_path / "list.txt")


def source(tmp_path, entries, **options):
    return ImageListSource(entries, folder=f"{tmp_path}/", **options)


def numbers(one, count):
    images, labels = one.read(count)
    assert [int(image[0, 0, 0]) * 10 for image in images] == labels.tolist()
    return (labels // 10).tolist()


def test_a_name_may_have_spaces(entries):
    assert entries[3] == Entry("a b/3.png", 30)


def test_images_come_in_order_over_and_over(tmp_path, entries):
    one = source(tmp_path, entries)
    assert one.first.shape == (3, 2, 3)
    assert numbers(one, 5) + numbers(one, 5) == [0, 1, 2, 3, 4, 5, 6, 0, 1, 2]
    one.begin_at(5)
    assert numbers(one, 3) == [5, 6, 0]


def test_sizes_and_channels(tmp_path, entries):
    one = source(tmp_path, entries, channels=1, size=(4, 6))
    assert {image.shape for image in one.read(COUNT)[0]} == {(1, 4, 6)}


def test_epochs_are_shuffled_and_differ(tmp_path, entries):
    one = source(tmp_path, entries, seed=5)
    epochs = [numbers(one, COUNT) for _ in range(4)]
    assert all(sorted(epoch) == list(range(COUNT)) for epoch in epochs)
    assert len(set(map(tuple, epochs))) == 4
    again = source(tmp_path, entries, seed=5)
    assert [numbers(again, COUNT) for _ in range(4)] == epochs


def test_the_order_is_that_of_caffe():
    # Recorded from BVLC Caffe 1.0: ImageData with shuffle, random seed 7, two epochs.
    rng = RandomNumbers(7)
    order = list(range(7))
    generator = RandomNumbers(int(rng.raw(1)[0]))
    epochs = []
    for _ in range(2):
        shuffle(order, generator)
        epochs.append(list(order))
    assert epochs == [[6, 3, 5, 4, 2, 1, 0], [4, 0, 1, 2, 3, 6, 5]]


def test_a_draw_that_falls_into_no_bucket_is_drawn_again():
    class Draws:
        def __init__(self, *values):
            self.values = list(values)

        def raw(self, count):
            taken, self.values = self.values[:count], self.values[count:]
            return np.array(taken, np.uint32)

    items = [0, 1, 2]
    # 2^32 - 1 is beyond the last of three buckets.
    shuffle(items, Draws(2**32 - 1, 0, 2**31))
    assert items == [2, 1, 0]


@pytest.mark.parametrize("seed", [None, 5])
def test_a_place_can_be_returned_to(seed, tmp_path, entries):
    one = source(tmp_path, entries, seed=seed)
    one.read(17)
    state = one.state()
    expected = numbers(one, 12)
    other = source(tmp_path, entries, seed=None if seed is None else 99)
    other.restore(state)
    assert numbers(other, 12) == expected


def test_refuses_a_place_that_is_not_there(tmp_path, entries):
    with pytest.raises(DataError, match="source: expected a place among the 7 images, got 7"):
        source(tmp_path, entries).restore({"record": 7})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a.png 1\nb.png\n", "a space and a label in line 2 of .*, got 'b.png'"),
        (b"a.png x\n", "in line 1"),
        (b" 3\n", "in line 1"),
        (b"\n\n", "source: expected a list of images, got an empty"),
        (b"\xff\xfe\n", "source: expected a text file that lists images"),
    ],
)
def test_refuses_lists(content, message, tmp_path):
    (tmp_path / "list").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_image_list(tmp_path / "list")


def test_refuses_a_list_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"source: .* cannot be read: No such file"):
        read_image_list(tmp_path / "nowhere")
