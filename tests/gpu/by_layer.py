"""A layer on a GPU beside the same layer in float64 on the CPU."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from sscaffe.blob import Blob
from sscaffe.device import Device, cpu
from sscaffe.kernels import gpu_channels, gpu_softmax
from sscaffe.kernels.gpu_runtime import xp
from sscaffe.layer import TRAIN
from tests.helpers import make_layer

RTOL = {np.float32: 1e-5, np.float64: 1e-12}


def part_of_a_gpu():
    """Return a device that has the kernels of channels and of softmax."""
    kernels = SimpleNamespace(
        batch_norm=gpu_channels.BatchNorm,
        channel_scale=gpu_channels.Scale,
        softmax=gpu_softmax.softmax,
        softmax_loss=gpu_softmax.softmax_loss,
        softmax_loss_backward=gpu_softmax.softmax_loss_backward,
    )
    return Device("gpu:0", xp, kernels)


@dataclass
class Run:
    tops: list
    bottom_diffs: list
    blob_diffs: list
    blobs: list


def run(device, text, inputs, top_diff, dtype, *, in_place=False, blobs=(), phase=TRAIN, down=None):
    """Run a layer twice forward and then twice backward, so that diffs of blobs add up."""
    layer = make_layer(text, device, phase=phase, dtype=dtype)
    bottom = [Blob(x.shape, dtype, device) for x in inputs]
    top = bottom[:1] if in_place else [Blob((), dtype, device)]
    layer.setup(bottom, top)
    layer.reshape(bottom, top)
    for blob, values in zip(layer.blobs, blobs, strict=bool(len(blobs))):
        blob.set_data(values)
    for blob in layer.blobs:
        blob.clear_diff()
    for _ in range(2):
        for blob, x in zip(bottom, inputs, strict=True):
            blob.set_data(x)
        layer.forward(bottom, top)
    tops = [blob.host_data.copy() for blob in top]
    for _ in range(2):
        top[0].set_diff(top_diff)
        layer.backward(top, down or [True] * len(bottom), bottom)
    return Run(
        tops,
        [blob.host_diff.copy() for blob in bottom],
        [blob.host_diff.copy() for blob in layer.blobs],
        [blob.host_data.copy() for blob in layer.blobs],
    )


def check(text, inputs, top_diff, dtype, *, rtol=None, **options):
    """Compare all that a layer leaves on a GPU with what it leaves on the CPU in float64."""
    inputs = [np.asarray(x, dtype) for x in inputs]
    top_diff = np.asarray(top_diff, dtype)
    got = run(part_of_a_gpu(), text, inputs, top_diff, dtype, **options)
    want = run(cpu(), text, inputs, top_diff, np.float64, **options)
    for name in ("tops", "bottom_diffs", "blob_diffs", "blobs"):
        for ours, theirs in zip(getattr(got, name), getattr(want, name), strict=True):
            assert ours.dtype == dtype
            tolerance = (rtol or RTOL[dtype]) * max(1, abs(theirs).max(initial=0))
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance, err_msg=name)
    return got
