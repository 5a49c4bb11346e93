"""ROIPooling and PSROIPooling: against plain loops, gradients, and what they refuse."""

import math

import numpy as np
import pytest

from sscaffe.errors import DataError, ShapeError
from sscaffe.testing import check_gradient
from tests.helpers import make_layer, run_layer, spread_out

REGIONS = np.array(
    [
        [0, 0, 0, 7, 5],
        [1, 2, 1, 6, 4],
        [1, 3, 3, 3, 3],  # one pixel
        [0, -3, -2, 20, 30],  # over the border
        [0, 30, 30, 40, 40],  # outside
        [1, 6, 4, 2, 1],  # the wrong way round
    ],
    float,
)


def roi(text, **options):
    return make_layer(f"type: 'ROIPooling' roi_pooling_param {{ {text} }}", **options)


def psroi(text, **options):
    return make_layer(f"type: 'PSROIPooling' psroi_pooling_param {{ {text} }}", **options)


def half_up(x):
    return math.floor(abs(x) + 0.5) * (1 if x >= 0 else -1)


def clipped(start, stop, size):
    return max(min(start, size), 0), max(min(stop, size), 0)


def roi_by_loops(x, regions, size, scale):
    out = np.zeros((len(regions), x.shape[1], *size))
    for r, (image, *box) in enumerate(regions):
        x1, y1, x2, y2 = (half_up(np.float32(v) * np.float32(scale)) for v in box)
        height, width = max(y2 - y1 + 1, 1), max(x2 - x1 + 1, 1)
        for i in range(size[0]):
            for j in range(size[1]):
                top, bottom = i * height / size[0], (i + 1) * height / size[0]
                left, right = j * width / size[1], (j + 1) * width / size[1]
                rows = clipped(y1 + math.floor(top), y1 + math.ceil(bottom), x.shape[2])
                columns = clipped(x1 + math.floor(left), x1 + math.ceil(right), x.shape[3])
                window = x[int(image), :, slice(*rows), slice(*columns)]
                if window.size:
                    out[r, :, i, j] = window.max(axis=(1, 2))
    return out


@pytest.mark.parametrize("scale", [1, 0.5])
@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("pooled_h: 2 pooled_w: 2", (2, 2)),
        ("pooled_h: 4 pooled_w: 1", (4, 1)),
        ("pooled_size: 2 pooled_size: 4", (2, 4)),
    ],
)
def test_roi_pooling_matches_a_plain_loop(text, size, scale, rng):
    x = rng.standard_normal((2, 3, 6, 8))
    got = run_layer(roi(f"{text} spatial_scale: {scale}"), x, REGIONS)
    np.testing.assert_array_equal(got, roi_by_loops(x, REGIONS, size, scale))


@pytest.mark.parametrize("scale", [1, 0.5])
def test_roi_pooling_gradient(scale, rng):
    layer = roi(f"pooled_h: 2 pooled_w: 3 spatial_scale: {scale}")
    x = spread_out((2, 2, 6, 8), rng)
    check_gradient(layer, [x, REGIONS.reshape(6, 5, 1, 1)], check_bottom=[True, False])


def psroi_by_loops(x, regions, dim, group, scale):
    out = np.zeros((len(regions), dim, group, group))
    for r, (image, *box) in enumerate(regions):
        x1, y1 = (half_up(v) * scale for v in box[:2])
        x2, y2 = ((half_up(v) + 1) * scale for v in box[2:])
        height, width = max(y2 - y1, np.float32(0.1)), max(x2 - x1, np.float32(0.1))
        for i in range(group):
            for j in range(group):
                top, bottom = y1 + i * height / group, y1 + (i + 1) * height / group
                left, right = x1 + j * width / group, x1 + (j + 1) * width / group
                rows = clipped(math.floor(top), math.ceil(bottom), x.shape[2])
                columns = clipped(math.floor(left), math.ceil(right), x.shape[3])
                for c in range(dim):
                    channel = (c * group + i) * group + j
                    window = x[int(image), channel, slice(*rows), slice(*columns)]
                    if window.size:
                        out[r, c, i, j] = window.mean()
    return out


@pytest.mark.parametrize("scale", [1, 0.5])
@pytest.mark.parametrize("group", [1, 2, 3])
def test_psroi_pooling_matches_a_plain_loop(group, scale, rng):
    x = rng.standard_normal((2, 2 * group**2, 6, 8))
    # Thirds of the last region are not the same in both precisions.
    layer = psroi(f"output_dim: 2 group_size: {group} spatial_scale: {scale}")
    got = run_layer(layer, x, REGIONS[:5])
    np.testing.assert_allclose(got, psroi_by_loops(x, REGIONS[:5], 2, group, scale), rtol=1e-12)


def test_psroi_pooling_gradient(rng):
    layer = psroi("output_dim: 2 group_size: 2 spatial_scale: 0.5")
    check_gradient(layer, [rng.standard_normal((2, 8, 5, 6)), REGIONS], check_bottom=[True, False])


@pytest.mark.parametrize(
    ("text", "shapes", "message"),
    [
        ("pooled_h: 2", [(1, 1, 4, 4), (1, 5)], "pooled_h, pooled_w: expected 1 or more"),
        ("pooled_h: 2 pooled_w: 2 pooled_size: 2", [(1, 1, 4, 4), (1, 5)], "pooled_size: expected"),
        ("pooled_h: 2 pooled_w: 2", [(1, 4, 4), (1, 5)], r"bottom 0: expected a shape \(N, C"),
        ("pooled_h: 2 pooled_w: 2", [(1, 1, 4, 4), (5, 4)], r"regions of shape \(R, 5\), got"),
    ],
)
def test_roi_pooling_refuses(text, shapes, message):
    with pytest.raises(ShapeError, match=message):
        run_layer(roi(text), *map(np.zeros, shapes))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("output_dim: 2 group_size: 2", "spatial_scale: expected more than 0"),
        ("output_dim: 0 group_size: 2 spatial_scale: 1", "output_dim: expected more than 0"),
        ("output_dim: 2 spatial_scale: 1", "group_size: expected more than 0"),
        (
            "output_dim: 2 group_size: 2 spatial_scale: 1",
            r"bottom 0: expected output_dim \* group_size\^2 = 8 channels",
        ),
    ],
)
def test_psroi_pooling_refuses(text, message):
    with pytest.raises(ShapeError, match=message):
        run_layer(psroi(text), np.zeros((1, 7, 4, 4)), np.zeros((1, 5)))


@pytest.mark.parametrize("image", [-1, 2])
def test_a_region_of_an_image_that_is_not_there(image):
    regions = np.array([[image, 0, 0, 1, 1]], float)
    with pytest.raises(DataError, match="bottom 1: expected regions of images 0 to 1, got image"):
        run_layer(roi("pooled_h: 2 pooled_w: 2"), np.zeros((2, 1, 4, 4)), regions)
