"""The kernel contract on the CPU: oneDNN where it is best, sscaffe's own kernels elsewhere."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sscaffe import _core, machine
from sscaffe.errors import UnsupportedError
from sscaffe.kernels import (
    BatchNormOperator,
    ConcatenatedConvolution,
    ConcatOperator,
    ConvolutionOperator,
    CountedLabels,
    DropoutOperator,
    EltwiseOperator,
    Feed,
    LrnOperator,
    PackedMask,
    PoolingOperator,
    ScaleOperator,
    SparseConvolution,
    SparseProduct,
    UpdateOperator,
    clock,
    cpu_blas,
    cpu_winograd,
)
from sscaffe.kernels.cpu_channels import BatchNorm, Scale
from sscaffe.kernels.cpu_concat import ChannelConcat
from sscaffe.kernels.cpu_dense import DenseConvolution, DenseInnerProduct
from sscaffe.kernels.cpu_direct_sparse import DirectSparseConvolution
from sscaffe.kernels.cpu_eltwise import Largest, Product, WeightedSum, sum_tensors
from sscaffe.kernels.cpu_lasso import add_lasso, shrink
from sscaffe.kernels.cpu_lrn import Lrn
from sscaffe.kernels.cpu_mask import Mask
from sscaffe.kernels.cpu_pooling import Pooling
from sscaffe.kernels.cpu_softmax import label_loss, label_loss_backward, set_softmax
from sscaffe.kernels.cpu_sparse import ImplicitGemm
from sscaffe.kernels.cpu_update import Updates, squares
from sscaffe.kernels.tape import run

if TYPE_CHECKING:
    from sscaffe.blob import Blob
    from sscaffe.geometry import ConvGeometry, PoolGeometry
    from sscaffe.tensor import Tensor

Array = npt.NDArray[Any]


def place() -> str:
    """See `Kernels.place`."""
    return f"{machine.place()}, {cpu_winograd.place()}"


def synchronize() -> None:
    """See `Kernels.synchronize`: it has done all."""


def elapsed(functions: Sequence[Callable[[], None]], rounds: int) -> list[float]:
    """See `Kernels.elapsed`."""
    return clock.elapsed(functions, rounds)


def record(work: Callable[[], None]) -> Callable[[], None]:
    """See `Kernels.record`: `sscaffe.kernels.tape` is how passes over the CPU are repeated."""
    raise UnsupportedError("record: the CPU records single calls, not passes")


def read_later(number: Any) -> Callable[[], float]:
    """See `Kernels.read_later`."""
    return lambda: float(number)


def feed() -> Feed:
    """See `Kernels.feed`."""
    raise UnsupportedError("feed: arrays of the CPU are where they are used")


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
    cpu_blas.gemm(a, b, out, transpose_a, transpose_b, accumulate)


def add_rows(source: Array, rows: Array, table: Array) -> None:
    """See `Kernels.add_rows`."""
    np.add.at(table, rows, source)


def dropout(count: int, ratio: float, seed: int, dtype: Any) -> DropoutOperator | None:
    """See `Kernels.dropout`: Caffe's own stream is the host's."""
    return None


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


def sparse_product(
    row_ptr: Array, indices: Array, values: Array, columns: int, width: int
) -> SparseProduct:
    """See `Kernels.sparse_product`."""
    return cpu_blas.sparse_product(row_ptr, indices, values, columns, width)


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


def convolution(
    geometry: "ConvGeometry", batch: int, dtype: Any, train: bool = True
) -> ConvolutionOperator | None:
    """See `Kernels.convolution`."""
    if (
        not _core.has_onednn
        or np.dtype(dtype) != np.float32
        or len(geometry.input) not in (1, 2, 3)
    ):
        return None
    if 0 in (batch, geometry.in_channels, *geometry.input):
        return None
    return DenseConvolution(geometry, batch, train)


def lowered_convolution(geometry: "ConvGeometry", dtype: Any) -> None:
    """See `Kernels.lowered_convolution`."""


def lowered_sparse_convolution(geometry: "ConvGeometry", dtype: Any) -> None:
    """See `Kernels.lowered_sparse_convolution`."""


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


def inner_product(
    batch: int, inputs: int, outputs: int, dtype: Any, train: bool = True
) -> ConvolutionOperator | None:
    """See `Kernels.inner_product`."""
    if not _core.has_onednn or np.dtype(dtype) != np.float32 or 0 in (batch, inputs, outputs):
        return None
    return DenseInnerProduct(batch, inputs, outputs, train)


def pooling(geometry: "PoolGeometry", batch: int, method: str, dtype: Any) -> PoolingOperator:
    """See `Kernels.pooling`."""
    return Pooling(geometry, batch, method)


def batch_norm(shape: tuple[int, ...], dtype: Any) -> BatchNormOperator | None:
    """See `Kernels.batch_norm`."""
    return BatchNorm(shape) if np.dtype(dtype) == np.float32 and 0 not in shape else None


def channel_scale(shape: tuple[int, ...], dtype: Any) -> ScaleOperator | None:
    """See `Kernels.channel_scale`."""
    return Scale(shape) if np.dtype(dtype) == np.float32 and 0 not in shape else None


def eltwise(operation: str, coeff: list[float], stable: bool, dtype: Any) -> EltwiseOperator | None:
    """See `Kernels.eltwise`."""
    # A division would make NaN of the zeros that fill blocks of channels up.
    if np.dtype(dtype) != np.float32 or (operation == "PROD" and not stable):
        return None
    if operation == "SUM":
        return WeightedSum(coeff)
    return Product() if operation == "PROD" else Largest()


def sum_of(terms: list["Tensor"], out: "Tensor", shape: tuple[int, ...]) -> None:
    """See `Kernels.sum_of`."""
    if out.dtype == np.float32:
        sum_tensors(terms, [1.0] * len(terms), out, shape)
    else:
        total: Any = sum(term.read() for term in terms)
        out.overwrite()[...] = total


def lrn(
    shape: tuple[int, ...],
    across: bool,
    size: int,
    alpha: float,
    beta: float,
    k: float,
    dtype: Any,
) -> LrnOperator | None:
    """See `Kernels.lrn`."""
    if np.dtype(dtype) != np.float32 or 0 in shape:
        return None
    return Lrn(shape, across, size, alpha, beta, k)


def concat(axis: int, dtype: Any) -> ConcatOperator | None:
    """See `Kernels.concat`."""
    return ChannelConcat() if axis == 1 and np.dtype(dtype) == np.float32 else None


def softmax(scores: Array, out: Array) -> None:
    """See `Kernels.softmax`."""
    set_softmax(scores, out)


def softmax_loss(
    probabilities: Array,
    labels: Array,
    ignored: int | None,
    divisor: int | None,
    counted: CountedLabels,
    loss: Array,
) -> bool:
    """See `Kernels.softmax_loss`."""
    return label_loss(probabilities, labels, ignored, divisor, counted, loss)


def softmax_loss_backward(
    probabilities: Array, counted: CountedLabels, weight: float, diff: Array
) -> None:
    """See `Kernels.softmax_loss_backward`."""
    label_loss_backward(probabilities, counted, weight, diff)


def multiply(source: "Tensor", factors: "Tensor", out: "Tensor", shape: tuple[int, ...]) -> None:
    """See `Kernels.multiply`."""
    if source.dtype != np.float32:
        product = source.read() * factors.read()
        out.overwrite()[...] = product
        return
    x = source.memory(shape)
    layout = x.layout
    y = source.memory_in(layout, shape) if out is source else out.output(layout, shape)
    _core.memory_product([x, factors.memory_as(layout, shape)], y)


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
    run(_core.memory_relu_forward, negative_slope, x, y)


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
    run(_core.memory_add_scaled, factor, term.memory_as(layout, (term.count,)), y)


def scale(tensor: "Tensor", factor: float) -> None:
    """See `Kernels.scale`."""
    if tensor.dtype == np.float32:
        _core.memory_scale(factor, _in_place(tensor))
    else:
        tensor.write()[...] *= factor


def sum_of_squares(tensor: "Tensor") -> float:
    """See `Kernels.sum_of_squares`."""
    return squares(tensor)


def threshold(tensor: "Tensor", limit: float) -> None:
    """See `Kernels.threshold`."""
    if tensor.dtype == np.float32:
        _core.memory_threshold(limit, _in_place(tensor))
    else:
        values = tensor.write()
        values[np.abs(values) < limit] = 0


def group_lasso(
    weights: Array,
    diff: Array,
    ydimen: int,
    xdimen: int,
    decay: float,
    want_value: bool = True,
) -> float:
    """See `Kernels.group_lasso`."""
    if weights.dtype == np.float32:
        return _core.group_lasso(weights, diff, ydimen, xdimen, decay)
    return add_lasso(weights, diff, (ydimen, xdimen), decay)


def shrink_groups(
    weights: Array, past: Array | None, block: tuple[int, int], limit: float, share: float
) -> None:
    """See `Kernels.shrink_groups`."""
    if weights.dtype == np.float32:
        _core.shrink_groups(weights, past, *block, limit, share)
    else:
        shrink(weights, past, block, limit, share)


def packed_mask(mask: Array) -> PackedMask:
    """See `Kernels.packed_mask`."""
    return Mask(mask)


def updates() -> UpdateOperator:
    """See `Kernels.updates`."""
    return Updates()


def _in_place(tensor: "Tensor") -> "_core.Memory":
    layout = tensor.memory((tensor.count,)).layout
    return tensor.memory_in(layout, (tensor.count,))


def _packs(geometry: "ConvGeometry", dtype: Any) -> bool:
    """Tell whether the core's own convolutions, which pack their weights, can do this one."""
    sizes = geometry.in_channels, geometry.out_channels, *geometry.input
    return np.dtype(dtype) == np.float32 and len(geometry.input) == 2 and 0 not in sizes
