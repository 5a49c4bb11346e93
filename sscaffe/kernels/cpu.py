"""The kernel contract on the CPU: oneDNN where it is best, sscaffe's own kernels elsewhere."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sscaffe import _core
from sscaffe.kernels import (
    ConcatenatedConvolution,
    ConvolutionOperator,
    PoolingOperator,
    SparseConvolution,
)
from sscaffe.kernels.cpu_dense import DenseConvolution, DenseInnerProduct
from sscaffe.kernels.cpu_direct_sparse import DirectSparseConvolution
from sscaffe.kernels.cpu_pooling import Pooling
from sscaffe.kernels.cpu_sparse import ImplicitGemm

if TYPE_CHECKING:
    from sscaffe.blob import Blob
    from sscaffe.geometry import ConvGeometry, PoolGeometry
    from sscaffe.tensor import Tensor

Array = npt.NDArray[Any]

_sgemm = _core.onednn_sgemm if _core.has_onednn else _core.gemm


def gemm(
    a: Array,
    b: Array,
    out: Array,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    accumulate: bool = False,
) -> None:
    """See `Kernels.gemm`."""
    if out.dtype == np.float32:
        if a.size and b.size:
            _sgemm(a, b, out, transpose_a, transpose_b, accumulate)
        elif not accumulate:
            out[...] = 0
        return
    product = (a.T if transpose_a else a) @ (b.T if transpose_b else b)
    if accumulate:
        out += product
    else:
        out[...] = product


def im2col(
    image: Array, geometry: "ConvGeometry", columns: Array, kept: Array | None = None
) -> None:
    """See `Kernels.im2col`."""
    g = geometry
    _core.im2col(image, g.input, g.kernel, g.stride, g.pad, g.dilation, columns, kept)


def col2im(columns: Array, geometry: "ConvGeometry", image: Array) -> None:
    """See `Kernels.col2im`."""
    g = geometry
    _core.col2im(columns, g.input, g.kernel, g.stride, g.pad, g.dilation, image)


def csrmm(row_ptr: Array, indices: Array, values: Array, columns: Array, out: Array) -> None:
    """See `Kernels.csrmm`."""
    _core.csrmm(row_ptr, indices, values, columns, out)


def direct_sparse_conv(
    image: Array,
    geometry: "ConvGeometry",
    row_ptr: Array,
    indices: Array,
    values: Array,
    bias: Array | None,
    out: Array,
) -> None:
    """See `Kernels.direct_sparse_conv`."""
    g = geometry
    _core.direct_sparse_conv(
        image,
        g.group,
        g.input,
        g.kernel,
        g.stride,
        g.pad,
        g.dilation,
        row_ptr,
        indices,
        values,
        bias,
        out,
    )


def convolution(geometry: "ConvGeometry", batch: int, dtype: Any) -> ConvolutionOperator | None:
    """See `Kernels.convolution`."""
    if (
        not _core.has_onednn
        or np.dtype(dtype) != np.float32
        or len(geometry.input) not in (1, 2, 3)
    ):
        return None
    if 0 in (batch, geometry.in_channels, *geometry.input):
        return None
    return DenseConvolution(geometry, batch)


def concatenated_convolution(
    geometry: "ConvGeometry", dtype: Any
) -> Callable[[Array], ConcatenatedConvolution] | None:
    """See `Kernels.concatenated_convolution`."""
    return partial(ImplicitGemm, geometry) if _packs(geometry, dtype) else None


def sparse_convolution(
    geometry: "ConvGeometry", dtype: Any
) -> Callable[[Array], SparseConvolution] | None:
    """See `Kernels.sparse_convolution`."""
    g = geometry
    if not _packs(g, dtype):
        return None
    if not _core.SparseConvolution.fits(g.input, g.kernel, g.stride, g.pad, g.dilation):
        return None
    return partial(DirectSparseConvolution, g)


def inner_product(batch: int, inputs: int, outputs: int, dtype: Any) -> ConvolutionOperator | None:
    """See `Kernels.inner_product`."""
    if not _core.has_onednn or np.dtype(dtype) != np.float32 or 0 in (batch, inputs, outputs):
        return None
    return DenseInnerProduct(batch, inputs, outputs)


def pooling(geometry: "PoolGeometry", batch: int, method: str, dtype: Any) -> PoolingOperator:
    """See `Kernels.pooling`."""
    return Pooling(geometry, batch, method)


def lrn_forward(
    x: Array, size: int, alpha: float, beta: float, k: float, scale: Array, y: Array
) -> None:
    """See `Kernels.lrn_forward`."""
    _core.lrn_across_forward(x, size, alpha, beta, k, scale, y)


def lrn_backward(
    x: Array,
    scale: Array,
    top_diff: Array,
    size: int,
    alpha: float,
    beta: float,
    bottom_diff: Array,
) -> None:
    """See `Kernels.lrn_backward`."""
    _core.lrn_across_backward(x, scale, top_diff, size, alpha, beta, bottom_diff)


def relu_forward(bottom: "Blob", top: "Blob", negative_slope: float) -> None:
    """See `Kernels.relu_forward`."""
    if bottom.dtype != np.float32:
        values = bottom.const_data
        top.set_data(np.where(values > 0, values, negative_slope * values))
        return
    x = bottom.data_tensor.memory(bottom.shape)
    if top is bottom:
        y = bottom.data_tensor.memory_in(x.layout, bottom.shape)
    else:
        y = top.data_tensor.output(x.layout, top.shape)
    _core.memory_relu_forward(negative_slope, x, y)


def relu_backward(top: "Blob", bottom: "Blob", negative_slope: float) -> None:
    """See `Kernels.relu_backward`."""
    if bottom.dtype != np.float32:
        slope = np.where(bottom.const_data > 0, 1, negative_slope)
        bottom.set_diff(top.const_diff * slope)
        return
    x = bottom.data_tensor.memory(bottom.shape)
    if top.diff_tensor is bottom.diff_tensor:
        dy = dx = top.diff_tensor.memory_in(x.layout, top.shape)
    else:
        dy = top.diff_tensor.memory_as(x.layout, top.shape)
        dx = bottom.diff_tensor.output(x.layout, bottom.shape)
    _core.memory_relu_backward(negative_slope, x, dy, dx)


def add(total: "Tensor", term: "Tensor", factor: float) -> None:
    """See `Kernels.add`."""
    if total.dtype != np.float32:
        total.write()[...] += factor * term.read()
        return
    layout = total.memory((total.count,)).layout
    y = total.memory_in(layout, (total.count,))
    _core.memory_add_scaled(factor, term.memory_as(layout, (term.count,)), y)


def scale(tensor: "Tensor", factor: float) -> None:
    """See `Kernels.scale`."""
    if tensor.dtype != np.float32:
        tensor.write()[...] *= factor
        return
    _core.memory_scale(factor, _in_place(tensor))


def sum_of_squares(tensor: "Tensor") -> float:
    """See `Kernels.sum_of_squares`."""
    if tensor.dtype != np.float32:
        return float(np.square(tensor.read()).sum())
    return _core.memory_sum_of_squares(tensor.memory((tensor.count,)))


def momentum_step(diff: "Tensor", history: "Tensor", rate: float, momentum: float) -> None:
    """See `Kernels.momentum_step`."""
    if diff.dtype != np.float32:
        history.write()[...] = momentum * history.read() + rate * diff.read()
        diff.overwrite()[...] = history.read()
        return
    step = _in_place(diff)
    past = history.memory_in(step.layout, (history.count,))
    _core.memory_momentum_step(rate, momentum, step, past)


def threshold(tensor: "Tensor", limit: float) -> None:
    """See `Kernels.threshold`."""
    if tensor.dtype != np.float32:
        values = tensor.write()
        values[np.abs(values) < limit] = 0
        return
    _core.memory_threshold(limit, _in_place(tensor))


def group_lasso(weights: Array, diff: Array, ydimen: int, xdimen: int, decay: float) -> float:
    """See `Kernels.group_lasso`."""
    if weights.dtype == np.float32:
        return _core.group_lasso(weights, diff, ydimen, xdimen, decay)
    rows, columns = weights.shape
    shape = rows // ydimen, ydimen, columns // xdimen, xdimen
    blocks = weights.reshape(shape)
    norms = np.sqrt(np.square(blocks).sum(axis=(1, 3), keepdims=True))
    diff += decay * (blocks / np.where(norms > 0, norms, 1)).reshape(diff.shape)
    return decay * float(norms.sum())


def _in_place(tensor: "Tensor") -> "_core.Memory":
    layout = tensor.memory((tensor.count,)).layout
    return tensor.memory_in(layout, (tensor.count,))


def _packs(geometry: "ConvGeometry", dtype: Any) -> bool:
    """Tell whether the core's own convolutions, which pack their weights, can do this one."""
    sizes = geometry.in_channels, geometry.out_channels, *geometry.input
    return np.dtype(dtype) == np.float32 and len(geometry.input) == 2 and 0 not in sizes
