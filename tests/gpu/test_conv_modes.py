"""Every conv_mode on a GPU against a plain loop, forward and backward, as layers ask for it."""

import numpy as np
import pytest

from sscaffe.blob import Blob
from sscaffe.conv import KERNELS, make_kernel
from sscaffe.device import cpu, gpu
from sscaffe.errors import UnsupportedError
from sscaffe.layer import TEST, TRAIN
from sscaffe.proto import caffe_pb2
from sscaffe.weighted.base import Epilogue, Propagate
from tests import reference
from tests.conv.test_random import random_case
from tests.gpu.convolutions import GEOMETRIES, check

pytestmark = pytest.mark.gpu

LOWERED_GEMM = caffe_pb2.ConvolutionParameter.LOWERED_GEMM
MODES = [mode for mode in KERNELS if mode != caffe_pb2.ConvolutionParameter.AUTO]


def blob(array, device, dtype=np.float32):
    made = Blob(array.shape, dtype, device)
    made.data[...] = array
    return made


@pytest.mark.parametrize("mode", MODES)
def test_random_cases(mode):
    rng, device = np.random.default_rng(7), gpu(0)
    for number in range(20):
        g, images, weights, bias = random_case(rng, number)
        expected = reference.convolution(images, weights, bias, g)
        term = rng.standard_normal(expected.shape)
        try:
            kernel = make_kernel(mode, g, len(images), device, np.float32, TEST)
        except UnsupportedError:
            assert len(g.input) != 2
            continue
        top = Blob(expected.shape, np.float32, device)
        start_values = None if bias is None else blob(bias, device)
        add = blob(term, device)
        arguments = blob(images, device), blob(weights, device), start_values, top
        for epilogue, follows in (
            (Epilogue(), expected),
            (Epilogue(relu=True), np.maximum(expected, 0)),
            (Epilogue(add, True), np.maximum(expected + term, 0)),
        ):
            kernel.forward(*arguments, epilogue)
            check(top.host_data, follows, "float32")


@pytest.mark.parametrize("wanted", [(1, 1, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 1)])
@pytest.mark.parametrize("name", GEOMETRIES)
def test_lowered_backward_is_that_of_the_cpu(rng, name, wanted):
    g, batch = GEOMETRIES[name], 3
    arrays = [
        rng.standard_normal(shape)
        for shape in (
            (batch, g.out_channels, *g.output),
            (batch, g.in_channels, *g.input),
            (g.out_channels, g.in_channels // g.group, *g.kernel),
            (g.out_channels,),
        )
    ]
    diffs = []
    for device in (cpu(), gpu(0)):
        blobs = [blob(array, device, np.float64) for array in arrays]
        for one, array in zip(blobs, arrays, strict=True):
            one.diff[...] = array[..., ::-1]
        kernel = make_kernel(LOWERED_GEMM, g, batch, device, np.float64, TRAIN)
        kernel.backward(*blobs, Propagate(*map(bool, wanted)))
        diffs.append([one.host_diff.copy() for one in blobs])
    for one, other in zip(*diffs, strict=True):
        check(other, one, "float64")
