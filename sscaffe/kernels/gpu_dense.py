"""Dense convolutions and inner products on the GPU: cuDNN and cuBLAS, and what follows them."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from sscaffe.kernels import gpu_cudnn
from sscaffe.kernels.gpu_finish import Sizes, finish_top
from sscaffe.kernels.gpu_libraries import gemm
from sscaffe.kernels.gpu_runtime import launch, launch_each, xp

if TYPE_CHECKING:
    from sscaffe.blob import Blob
    from sscaffe.geometry import ConvGeometry
    from sscaffe.tensor import Tensor

_FILE = "dense.cu"
_BLOCK = 256
_BLOCKS = 1024  # that fill a GPU


def add_bias_gradient(top: "Blob", sizes: Sizes, bias: "Blob") -> None:
    """Add the sums of ``top.diff`` along all axes but the channels to ``bias.diff``."""
    batch, channels, inner = sizes
    diff, accumulate = target(bias.diff_tensor)
    if inner == 1:
        across = -(-channels // _BLOCK)
        parts = max(1, min(batch // 16, _BLOCKS // across))
        partial = xp.empty(channels * parts, top.dtype)
        columns = (top.const_diff, partial, batch, channels)
        launch(_FILE, "column_sums", (across, parts), (_BLOCK,), columns, top.dtype)
    else:
        parts = max(1, min(batch * inner // (4 * _BLOCK), _BLOCKS // channels))
        partial = xp.empty(channels * parts, top.dtype)
        arguments = (top.const_diff, partial, *sizes)
        launch(_FILE, "bias_sums", (channels, parts), (_BLOCK,), arguments, top.dtype)
    launch_each(_FILE, "bias_finish", channels, (partial, diff, parts, accumulate), top.dtype)


class DenseConvolution:
    """A convolution of one geometry, float32 or float64, of two or three spatial axes or one.

    Parameters
    ----------
    geometry : ConvGeometry
        Sizes of one image.
    batch : int
        Number of images.
    dtype : dtype
        Of the blobs.
    """

    def __init__(self, geometry: "ConvGeometry", batch: int, dtype: Any) -> None:
        self._sizes = gpu_cudnn.Sizes.of(geometry, batch, np.dtype(dtype).name)
        self._top = batch, geometry.out_channels, math.prod(geometry.output)

    @property
    def description(self) -> str:
        """Which code computes it."""
        return "cuDNN convolution"

    def forward(
        self,
        bottom: "Blob",
        weights: "Blob",
        bias: "Blob | None",
        top: "Blob",
        add: "Blob | None" = None,
        relu: bool = False,
        takes: bool = False,
    ) -> None:
        """See `ConvolutionOperator.forward`."""
        term = _term(add, top)
        product = gpu_cudnn.plan(self._sizes, "fprop")
        product.run(bottom.const_data, weights.const_data, top.new_data())
        finish_top(top, self._top, bias, term, relu)

    def backward_data(self, top: "Blob", weights: "Blob", bottom: "Blob") -> None:
        """See `ConvolutionOperator.backward_data`."""
        product = gpu_cudnn.plan(self._sizes, "dgrad")
        product.run(top.const_diff, weights.const_data, bottom.new_diff())

    def backward_weights(
        self, top: "Blob", bottom: "Blob", weights: "Blob", bias: "Blob | None"
    ) -> None:
        """See `ConvolutionOperator.backward_weights`."""
        product = gpu_cudnn.plan(self._sizes, "wgrad")
        diff, accumulate = target(weights.diff_tensor)
        out = xp.empty_like(diff) if accumulate else diff
        product.run(bottom.const_data, top.const_diff, out)
        if accumulate:
            xp.add(diff, out, out=diff)
        if bias is not None:
            add_bias_gradient(top, self._top, bias)


class DenseInnerProduct:
    """``top = bottom W^T + bias`` by cuBLAS; weights (outputs, inputs)."""

    description = "cuBLAS gemm"

    def __init__(self, batch: int, inputs: int, outputs: int) -> None:
        self._bottom, self._top = (batch, inputs), (batch, outputs)
        self._sizes = batch, outputs, 1
        self._weights = outputs, inputs

    def forward(
        self,
        bottom: "Blob",
        weights: "Blob",
        bias: "Blob | None",
        top: "Blob",
        add: "Blob | None" = None,
        relu: bool = False,
        takes: bool = False,
    ) -> None:
        """See `ConvolutionOperator.forward`."""
        term = _term(add, top)
        x, w = bottom.const_data.reshape(self._bottom), weights.const_data.reshape(self._weights)
        gemm(x, w, top.new_data().reshape(self._top), transpose_b=True)
        finish_top(top, self._sizes, bias, term, relu)

    def backward_data(self, top: "Blob", weights: "Blob", bottom: "Blob") -> None:
        """See `ConvolutionOperator.backward_data`."""
        dy, w = top.const_diff.reshape(self._top), weights.const_data.reshape(self._weights)
        gemm(dy, w, bottom.new_diff().reshape(self._bottom))

    def backward_weights(
        self, top: "Blob", bottom: "Blob", weights: "Blob", bias: "Blob | None"
    ) -> None:
        """See `ConvolutionOperator.backward_weights`."""
        dy, x = top.const_diff.reshape(self._top), bottom.const_data.reshape(self._bottom)
        diff, accumulate = target(weights.diff_tensor)
        gemm(dy, x, diff.reshape(self._weights), transpose_a=True, accumulate=accumulate)
        if bias is not None:
            add_bias_gradient(top, self._sizes, bias)


def target(tensor: "Tensor") -> tuple[Any, bool]:
    """Return the array to add to, and whether it holds something else than zeros."""
    if tensor.is_zero:
        return tensor.overwrite(), False
    return tensor.write(), True


def _term(add: "Blob | None", top: "Blob") -> Any:
    """Return what is to be added, safe from what the product writes to the top."""
    if add is None:
        return None
    return add.const_data.copy() if add.data_tensor is top.data_tensor else add.const_data
