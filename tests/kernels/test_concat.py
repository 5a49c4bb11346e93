"""Concat of channels in every layout, against the same layer in float64."""

import numpy as np
import pytest

from sscaffe import _core
from sscaffe.blob import Blob
from tests.helpers import make_layer
from tests.kernels.native import make_native, native_layout

# Channels of the bottoms, and whether the top keeps their layout if they have one.
PARTS = [
    ([16, 32], True),
    ([32, 16, 96], True),
    ([16, 28], True),  # the last block is filled up
    ([28, 16], False),
    ([20, 3, 7], True),  # channels last
    ([20, 1, 7, 1], True),  # one channel last is a plain layout too
    ([50, 20], True),
    ([16], True),
    ([20, 16], True),  # the second one is moved
    ([16, 20], True),
]


def run(shapes, layouts, dtype, propagate_down=None):
    """Return the top, the bottoms' diffs, and the layer's blobs."""
    rng = np.random.default_rng(3)
    layer = make_layer("type: 'Concat'", dtype=dtype)
    bottom, top = [Blob(shape, dtype) for shape in shapes], [Blob((), dtype)]
    layer.setup(bottom, top)
    layer.reshape(bottom, top)
    for blob, layout in zip(bottom, layouts, strict=True):
        make_native(blob.data_tensor, rng.standard_normal(blob.shape), layout)
    layer.forward(bottom, top)
    plain = dtype is np.float64 or top[0].data_tensor.memory(top[0].shape).layout.is_plain
    data = top[0].const_data.copy()
    layout = None if plain else top[0].data_tensor.memory(top[0].shape).layout
    make_native(top[0].diff_tensor, rng.standard_normal(top[0].shape), layout)
    layer.backward(top, propagate_down or [True] * len(bottom), bottom)
    return data, bottom, layout


@pytest.mark.parametrize(("channels", "keeps"), PARTS, ids=str)
@pytest.mark.parametrize("native", [False, True], ids=["plain", "native"])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.usefixtures("threads")
def test_against_doubles(batch, native, channels, keeps):
    shapes = [(batch, c, 9, 14) for c in channels]
    layouts = [native_layout(shape) if native else None for shape in shapes]
    expected_top, expected_bottom, _ = run(shapes, [None] * len(shapes), np.float64)
    got_top, got_bottom, layout = run(shapes, layouts, np.float32)
    np.testing.assert_array_equal(got_top, expected_top.astype(np.float32))
    for got, expected in zip(got_bottom, expected_bottom, strict=True):
        np.testing.assert_array_equal(got.const_diff, expected.const_diff.astype(np.float32))
    assert (layout is not None) == (native and keeps)


def test_a_bottom_without_gradient():
    shapes = [(2, 16, 3, 3), (2, 32, 3, 3)]
    layouts = [native_layout(shape) for shape in shapes]
    _, expected, _ = run(shapes, [None, None], np.float64)
    _, got, _ = run(shapes, layouts, np.float32, [False, True])
    np.testing.assert_array_equal(got[1].const_diff, expected[1].const_diff.astype(np.float32))
    assert not got[0].const_diff.any()


def test_other_axes_and_numbers_of_axes(rng):
    for shapes in ([(2, 3), (2, 5)], [(2, 3, 4, 5, 2), (2, 1, 4, 5, 2)], [(4, 2, 3), (4, 6, 3)]):
        expected, _, _ = run(shapes, [None, None], np.float64)
        got, _, _ = run(shapes, [None, None], np.float32)
        np.testing.assert_array_equal(got, expected.astype(np.float32))


def test_channels_that_fill_a_block_up_stay_zero():
    shapes = [(2, 16, 3, 3), (2, 28, 3, 3)]
    whole = _core.Memory(native_layout((2, 44, 3, 3)))
    parts = [_core.Memory(native_layout(shape)) for shape in shapes]
    for part in parts:
        dims = part.layout.dims
        _core.Memory(np.ones(dims, np.float32), dims).copy_to(part)
    if whole.layout.stored == whole.layout.count:
        pytest.skip("oneDNN does not fill this layout up")
    _core.join_channels(parts, whole)
    assert _core.memory_sum_of_squares(whole) == whole.layout.count


def test_layout_like():
    for channels in (16, 20):
        native = native_layout((2, channels, 5, 6))
        assert _core.layout_like(native, (2, channels, 5, 6)) == native
        other = _core.layout_like(native, (3, 2 * channels, 7, 8))
        assert other == native_layout((3, 2 * channels, 7, 8)) or channels == 20
        assert other.channel_block == native.channel_block
    assert _core.layout_like(_core.Layout((2, 3)), (4, 5)).is_plain


def test_refuses():
    a, b = (_core.Memory(_core.Layout((2, c, 3, 3))) for c in (3, 5))
    with pytest.raises(ValueError, match="parts: expected 5 channels, got 6"):
        _core.join_channels([a, a], b)
    with pytest.raises(ValueError, match="parts: expected 5 channels, got 3"):
        _core.part_channels(b, [a])
    native = _core.Memory(native_layout((2, 16, 3, 3)))
    whole = _core.Memory(_core.Layout((2, 16, 3, 3)))
    with pytest.raises(ValueError, match="parts: expected layouts of the whole's kind"):
        _core.join_channels([native], whole)
    short = _core.Memory(_core.Layout((1, 5, 3, 3)))
    with pytest.raises(ValueError, match="parts: expected 90 elements, got 45"):
        _core.join_channels([short], b)
