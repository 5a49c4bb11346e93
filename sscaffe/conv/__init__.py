"""Convolution kernels, one for each conv_mode.

To add one: an enum value in caffe.proto, a file here, a row in `KERNELS`.
"""

from typing import Any

from sscaffe.conv.auto import Auto
from sscaffe.conv.base import ConvKernel
from sscaffe.conv.direct_dense import DirectDense
from sscaffe.conv.direct_sparse import DirectSparse
from sscaffe.conv.lowered import LoweredCcnmm, LoweredCsrmm, LoweredGemm
from sscaffe.device import Device
from sscaffe.errors import UnsupportedError
from sscaffe.geometry import ConvGeometry
from sscaffe.proto import caffe_pb2

_Mode = caffe_pb2.ConvolutionParameter

KERNELS: dict[int | None, type[ConvKernel]] = {
    None: DirectDense,  # unset
    int(_Mode.LOWERED_GEMM): LoweredGemm,
    int(_Mode.LOWERED_CSRMM): LoweredCsrmm,
    int(_Mode.LOWERED_CCNMM): LoweredCcnmm,
    int(_Mode.DIRECT_SCONV): DirectSparse,
    int(_Mode.DIRECT_DCONV): DirectDense,
    int(_Mode.AUTO): Auto,
}


def make_kernel(
    mode: int | None, geometry: ConvGeometry, batch: int, device: Device, dtype: Any, phase: int
) -> ConvKernel:
    """Return the kernel of a conv_mode.

    Parameters
    ----------
    mode : int, optional
        ``ConvolutionParameter.ConvMode``; None if the prototxt does not set it, which is AUTO in
        TEST and dense in TRAIN.
    geometry : ConvGeometry
        Sizes of one image.
    batch : int
        Number of images.
    device : Device
        Where to compute.
    dtype : dtype
        float32 or float64.
    phase : int
        TRAIN or TEST.

    Raises
    ------
    UnsupportedError
        If the mode cannot run here: a sparse mode in TRAIN, for one.
    """
    if mode is None and phase == caffe_pb2.TEST:
        mode = int(_Mode.AUTO)
    kernel_class = KERNELS[mode]
    refusal = kernel_class.refusal(geometry, phase)
    if refusal is not None:
        raise UnsupportedError(refusal)
    return kernel_class(geometry, batch, device, dtype, phase)
