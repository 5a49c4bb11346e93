"""Layers run on blobs in oneDNN's layouts, beside the same layer in float64."""

from dataclasses import dataclass

import numpy as np
import pytest

from sscaffe import _core
from sscaffe.blob import Blob
from sscaffe.layer import TRAIN
from tests.helpers import make_layer

# Channels-last where a block of 16 channels would be filled up by much, else blocked.
CHANNELS = [1, 3, 11, 16, 20, 28, 32, 96]


def native_layout(shape):
    """Return the layout that oneDNN's convolution gives to its top of this shape."""
    if not _core.has_onednn:
        pytest.skip("built without oneDNN")
    batch, channels, *image = shape
    ones, zeros = [1, 1], [0, 0]
    return _core.Convolution(
        batch=batch,
        in_channels=3,
        out_channels=channels,
        group=1,
        input=image,
        output=image,
        kernel=ones,
        stride=ones,
        pad=zeros,
        dilation=ones,
        bias=False,
        train=True,
    ).top_layout


def layout_of(kind, shape):
    """Return a layout of images: plain, last, or blocks of so many channels."""
    if kind == "last":
        return _core.Layout.with_channels_last(shape)
    return _core.Layout.with_channel_block(shape, 1 if kind == "plain" else kind)


def memory_of(array, kind):
    """Return a copy of images in a layout."""
    plain = _core.Memory(array, array.shape)
    memory = _core.Memory(layout_of(kind, array.shape))
    plain.copy_to(memory)
    return memory


def make_native(tensor, values, layout):
    """Set a tensor; its value then is in `layout` alone, or plain where that is None."""
    tensor.overwrite()[...] = values.ravel()
    if layout is not None:
        tensor.memory_in(layout, values.shape)


@dataclass
class Run:
    top: np.ndarray
    bottom_diffs: list
    blob_diffs: list
    layer: object
    kept_layout: bool  # the top and the bottoms' diffs have the bottom's layout


def run(text, inputs, top_diff, layout, *, dtype=np.float32, in_place=False, blobs=(), passes=1):
    """Run a layer forward and backward, `passes` times with the last one looked at."""
    layer = make_layer(text, phase=TRAIN, dtype=dtype)
    bottom = [Blob(x.shape, dtype) for x in inputs]
    top = bottom if in_place else [Blob((), dtype)]
    layer.setup(bottom, top)
    layer.reshape(bottom, top)
    for blob, values in zip(layer.blobs, blobs, strict=False):
        blob.set_data(values)
    for _ in range(passes):
        for blob, x in zip(bottom, inputs, strict=True):
            make_native(blob.data_tensor, x, layout)
        layer.forward(bottom, top)
        memory = top[0].data_tensor.memory(top[0].shape) if dtype is np.float32 else None
        native = [memory]
        data = top[0].const_data.copy()
        own = None if layout is None or dtype is not np.float32 else memory.layout
        for blob in layer.blobs:
            blob.clear_diff()
        make_native(top[0].diff_tensor, top_diff, own)
        layer.backward(top, [True] * len(bottom), bottom)
        if dtype is np.float32:
            native += [blob.diff_tensor.memory(blob.shape) for blob in bottom]
    return Run(
        data,
        [blob.const_diff.copy() for blob in bottom],
        [blob.const_diff.copy() for blob in layer.blobs],
        layer,
        own is None or all(memory.layout == layout for memory in native),
    )


def assert_close(got, expected, rtol=2e-6):
    """Compare with an error allowed in relation to the largest element."""
    atol = rtol * abs(expected).max(initial=1e-30)
    np.testing.assert_allclose(got, expected, rtol=rtol, atol=atol)


def check(
    text, inputs, rng, layout, *, in_place=False, blobs=(), rtol=2e-6, may_change_layout=False
):
    """Compare a layer in float32 and in some layout with the same layer in float64."""
    inputs = [np.asarray(x, np.float32) for x in inputs]
    options = {"in_place": in_place, "blobs": blobs}
    probe = run(text, inputs, np.zeros(1, np.float32), None, **options)
    top_diff = rng.standard_normal(probe.top.shape).astype(np.float32)
    doubles = [x.astype(np.float64) for x in inputs]
    expected = run(text, doubles, top_diff, None, dtype=np.float64, **options)
    got = run(text, inputs, top_diff, layout, passes=2, **options)
    assert_close(got.top, expected.top, rtol)
    for ours, theirs in zip(got.bottom_diffs, expected.bottom_diffs, strict=True):
        assert_close(ours, theirs, rtol)
    for ours, theirs in zip(got.blob_diffs, expected.blob_diffs, strict=True):
        assert_close(ours, theirs, rtol)
    assert got.kept_layout or may_change_layout
    return got
