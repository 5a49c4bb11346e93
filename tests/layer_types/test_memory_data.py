"""MemoryData: order, wrapping, transformation, refusals."""

import re

import numpy as np
import pytest

from sscaffe.blob import Blob
from sscaffe.errors import DataError, ShapeError
from tests.helpers import make_layer

SIZES = "memory_data_param { batch_size: 2 channels: 3 height: 4 width: 5 }"


def set_up(text=SIZES):
    layer, top = make_layer(f"type: 'MemoryData' {text}", dtype=np.float32), [Blob(), Blob()]
    layer.setup([], top)
    layer.reshape([], top)
    return layer, top


def labels_of(layer, top, count):
    taken = []
    for _ in range(count):
        layer.forward([], top)
        taken += top[1].host_data.ravel().tolist()
    return taken


def test_gives_batches_in_order_and_starts_over(rng):
    layer, top = set_up()
    assert [blob.shape for blob in top] == [(2, 3, 4, 5), (2, 1, 1, 1)]
    data = rng.standard_normal((6, 3, 4, 5)).astype(np.float32)
    layer.reset(data, np.arange(6))
    for start in (0, 2, 4, 0):
        layer.forward([], top)
        np.testing.assert_array_equal(top[0].host_data, data[start : start + 2])
        assert top[1].host_data.ravel().tolist() == [start, start + 1]


def test_reset_starts_with_the_first():
    layer, top = set_up()
    layer.reset(np.zeros((4, 3, 4, 5)), np.arange(4))
    assert labels_of(layer, top, 1) == [0, 1]
    layer.reset(np.zeros((4, 3, 4, 5)), np.arange(4).reshape(4, 1, 1, 1) + 10)
    assert labels_of(layer, top, 3) == [10, 11, 12, 13, 10, 11]


def test_add_transforms(rng):
    layer, top = set_up(SIZES + "transform_param { scale: 0.5 mean_value: 4 }")
    images = rng.integers(0, 256, (2, 3, 4, 5), dtype=np.uint8)
    layer.add(images, [0, 1])
    layer.forward([], top)
    np.testing.assert_array_equal(top[0].host_data, (images.astype(np.float32) - 4) / 2)


def test_add_crops(rng):
    layer, top = set_up(
        "memory_data_param { batch_size: 2 channels: 3 height: 4 width: 4 }"
        "transform_param { crop_size: 4 }"
    )
    images = [rng.integers(0, 256, (3, size, 8), dtype=np.uint8) for size in (6, 4)]
    layer.add(images, [0, 1])
    layer.forward([], top)
    np.testing.assert_array_equal(top[0].host_data[0], images[0][:, 1:5, 2:6])
    np.testing.assert_array_equal(top[0].host_data[1], images[1][:, :, 2:6])


def test_goes_on_where_it_was():
    layer, top = set_up()
    layer.reset(np.zeros((6, 3, 4, 5)), np.arange(6))
    labels_of(layer, top, 2)
    state = layer.data_state()
    again, top = set_up()
    again.reset(np.zeros((6, 3, 4, 5)), np.arange(6))
    again.restore_data_state(state)
    assert labels_of(again, top, 2) == [4, 5, 0, 1]


def test_refuses_a_place_that_is_not_there():
    layer, _ = set_up()
    layer.restore_data_state({"record": 0})
    with pytest.raises(DataError, match="a place among 0 images, got 4"):
        layer.restore_data_state({"record": 4})


def test_refuses_to_run_without_images():
    layer, top = set_up()
    with pytest.raises(DataError, match="no images yet; call reset"):
        layer.forward([], top)


@pytest.mark.parametrize("name", ["batch_size", "channels", "height", "width"])
def test_refuses_sizes_that_are_not_set(name):
    with pytest.raises(ShapeError, match=f"{name}: expected 1 or more, got 0"):
        set_up(re.sub(rf"{name}: \d", f"{name}: 0", SIZES))


@pytest.mark.parametrize(
    ("shape", "labels", "message"),
    [
        ((4, 3, 4, 6), 4, r"data: expected shape \(M, 3, 4, 5\), got \(4, 3, 4, 6\)"),
        ((3, 4, 5), 3, r"data: expected shape \(M, 3, 4, 5\), got \(3, 4, 5\)"),
        ((3, 3, 4, 5), 3, "a multiple of batch_size 2 images, got 3"),
        ((0, 3, 4, 5), 0, "a multiple of batch_size 2 images, got 0"),
        ((4, 3, 4, 5), 3, "labels: expected 4, one for each image, got 3"),
    ],
)
def test_refuses_arrays_that_do_not_fit(shape, labels, message):
    layer, _ = set_up()
    with pytest.raises(ShapeError, match=message):
        layer.reset(np.zeros(shape), np.zeros(labels))


def test_add_refuses_images_of_another_size():
    layer, _ = set_up()
    with pytest.raises(ShapeError, match=r"images of shape \(3, 4, 5\), got \(3, 5, 4\)"):
        layer.add(np.zeros((2, 3, 5, 4), np.uint8), [0, 1])
