"""The kernel contract on a CUDA device: cuDNN, cuBLAS, cuSPARSE, and own kernels in `cuda/`."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from sscaffe.kernels import (
    BatchNormOperator,
    ConcatenatedConvolution,
    ConcatOperator,
    ConvolutionOperator,
    CountedLabels,
    DropoutOperator,
    EltwiseOperator,
    Feed,
    LoweredOperator,
    LrnOperator,
    PackedMask,
    PoolingOperator,
    ScaleOperator,
    SparseConvolution,
    SparseProduct,
    UpdateOperator,
    gpu_channels,
    gpu_elementwise,
    gpu_eltwise,
    gpu_feed,
    gpu_graph,
    gpu_lasso,
    gpu_libraries,
    gpu_lowering,
    gpu_rows,
    gpu_runtime,
    gpu_softmax,
    gpu_sparse,
)
from sscaffe.kernels.gpu_ccnmm import ConcatenatedConvolution as ConvolutionOfKept
from sscaffe.kernels.gpu_dense import DenseConvolution, DenseInnerProduct
from sscaffe.kernels.gpu_lrn import Lrn
from sscaffe.kernels.gpu_pooling import Pooling
from sscaffe.kernels.gpu_update import Mask, Updates

if TYPE_CHECKING:
    from sscaffe.blob import Blob
    from sscaffe.geometry import ConvGeometry, PoolGeometry
    from sscaffe.tensor import Tensor

Array = npt.NDArray[Any]


def place() -> str:
    """See `Kernels.place`."""
    return gpu_runtime.place()


def elapsed(functions: Sequence[Callable[[], None]], rounds: int) -> list[float]:
    """See `Kernels.elapsed`."""
    return gpu_runtime.elapsed(functions, rounds)


def synchronize() -> None:
    """See `Kernels.synchronize`."""
    gpu_runtime.synchronize()


def record(work: Callable[[], None]) -> Callable[[], None]:
    """See `Kernels.record`."""
    return gpu_graph.Graph(work).launch


def read_later(number: Any) -> Callable[[], float]:
    """See `Kernels.read_later`."""
    return gpu_graph.Later(number).value


def feed() -> Feed:
    """See `Kernels.feed`."""
    return gpu_feed.Feed()


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
    gpu_libraries.gemm(
        a, b, out, transpose_a=transpose_a, transpose_b=transpose_b, accumulate=accumulate
    )


def add_rows(source: Array, rows: Array, table: Array) -> None:
    """See `Kernels.add_rows`."""
    gpu_rows.add_rows(source, rows, table)


def dropout(count: int, ratio: float, seed: int, dtype: Any) -> DropoutOperator | None:
    """See `Kernels.dropout`."""
    return gpu_elementwise.Dropout(count, dtype, seed, ratio) if count else None


def im2col(
    image: Array, geometry: "ConvGeometry", columns: Array, kept: Array | None = None
) -> None:
    """See `Kernels.im2col`."""
    gpu_lowering.im2col(image, geometry, columns, kept)


def col2im(columns: Array, geometry: "ConvGeometry", image: Array) -> None:
    """See `Kernels.col2im`."""
    gpu_lowering.col2im(columns, geometry, image)


def sparse_product(
    row_ptr: Array, indices: Array, values: Array, columns: int, width: int
) -> SparseProduct:
    """See `Kernels.sparse_product`."""
    return gpu_sparse.SparseProduct(row_ptr, indices, values, columns)


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
    gpu_sparse.direct_sparse_conv(image, geometry, row_ptr, indices, values, bias, out)


def convolution(
    geometry: "ConvGeometry", batch: int, dtype: Any, train: bool = True
) -> ConvolutionOperator | None:
    """See `Kernels.convolution`."""
    if len(geometry.input) not in (1, 2, 3) or _is_empty(batch, geometry):
        return None
    return DenseConvolution(geometry, batch, dtype)


def lowered_convolution(geometry: "ConvGeometry", dtype: Any) -> LoweredOperator | None:
    """See `Kernels.lowered_convolution`."""
    return gpu_lowering.LoweredConvolution(geometry, dtype)


def lowered_sparse_convolution(
    geometry: "ConvGeometry", dtype: Any
) -> Callable[[Array], SparseConvolution] | None:
    """See `Kernels.lowered_sparse_convolution`."""
    return partial(gpu_sparse.LoweredSparseConvolution, geometry)


def concatenated_convolution(
    geometry: "ConvGeometry", dtype: Any
) -> Callable[[Array], ConcatenatedConvolution] | None:
    """See `Kernels.concatenated_convolution`."""
    return partial(ConvolutionOfKept, geometry)


def sparse_convolution(
    geometry: "ConvGeometry", dtype: Any
) -> Callable[[Array], SparseConvolution] | None:
    """See `Kernels.sparse_convolution`."""
    return partial(gpu_sparse.DirectSparseConvolution, geometry)


def inner_product(
    batch: int, inputs: int, outputs: int, dtype: Any, train: bool = True
) -> ConvolutionOperator | None:
    """See `Kernels.inner_product`."""
    return None if 0 in (batch, inputs, outputs) else DenseInnerProduct(batch, inputs, outputs)


def pooling(geometry: "PoolGeometry", batch: int, method: str, dtype: Any) -> PoolingOperator:
    """See `Kernels.pooling`."""
    return Pooling(geometry, batch, method, dtype)


def batch_norm(shape: tuple[int, ...], dtype: Any) -> BatchNormOperator | None:
    """See `Kernels.batch_norm`."""
    return None if 0 in shape else gpu_channels.BatchNorm(shape, dtype)


def channel_scale(shape: tuple[int, ...], dtype: Any) -> ScaleOperator | None:
    """See `Kernels.channel_scale`."""
    return None if 0 in shape else gpu_channels.Scale(shape, dtype)


def eltwise(operation: str, coeff: list[float], stable: bool, dtype: Any) -> EltwiseOperator | None:
    """See `Kernels.eltwise`."""
    if operation == "SUM":
        return gpu_eltwise.WeightedSum(coeff, dtype)
    if operation == "PROD":
        return gpu_eltwise.Product(stable, dtype)
    return gpu_eltwise.Largest(dtype)


def sum_of(terms: list["Tensor"], out: "Tensor", shape: tuple[int, ...]) -> None:
    """See `Kernels.sum_of`."""
    gpu_eltwise.sum_tensors(terms, out)


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
    return None if 0 in shape else Lrn(shape, across, size, alpha, beta, k, dtype)


def concat(axis: int, dtype: Any) -> ConcatOperator | None:
    """See `Kernels.concat`."""
    return gpu_eltwise.ChannelConcat(axis, dtype)


def softmax(scores: Array, out: Array) -> None:
    """See `Kernels.softmax`."""
    gpu_softmax.softmax(scores, out)


def softmax_loss(
    probabilities: Array,
    labels: Array,
    ignored: int | None,
    divisor: int | None,
    counted: CountedLabels,
    loss: Array,
) -> bool:
    """See `Kernels.softmax_loss`."""
    return gpu_softmax.softmax_loss(probabilities, labels, ignored, divisor, counted, loss)


def softmax_loss_backward(
    probabilities: Array, counted: CountedLabels, weight: float, diff: Array
) -> None:
    """See `Kernels.softmax_loss_backward`."""
    gpu_softmax.softmax_loss_backward(probabilities, counted, weight, diff)


def multiply(source: "Tensor", factors: "Tensor", out: "Tensor", shape: tuple[int, ...]) -> None:
    """See `Kernels.multiply`."""
    gpu_elementwise.multiply(source, factors, out)


def relu_forward(bottom: "Blob", top: "Blob", negative_slope: float) -> None:
    """See `Kernels.relu_forward`."""
    gpu_elementwise.relu_forward(bottom, top, negative_slope)


def relu_backward(top: "Blob", bottom: "Blob", negative_slope: float) -> None:
    """See `Kernels.relu_backward`."""
    gpu_elementwise.relu_backward(top, bottom, negative_slope)


def add(total: "Tensor", term: "Tensor", factor: float) -> None:
    """See `Kernels.add`."""
    gpu_elementwise.add(total, term, factor)


def scale(tensor: "Tensor", factor: float) -> None:
    """See `Kernels.scale`."""
    gpu_elementwise.scale(tensor, factor)


def sum_of_squares(tensor: "Tensor") -> float:
    """See `Kernels.sum_of_squares`."""
    return gpu_lasso.sum_of_squares(tensor)


def threshold(tensor: "Tensor", limit: float) -> None:
    """See `Kernels.threshold`."""
    gpu_elementwise.threshold(tensor, limit)


def group_lasso(
    weights: Array,
    diff: Array,
    ydimen: int,
    xdimen: int,
    decay: float,
    want_value: bool = True,
) -> float:
    """See `Kernels.group_lasso`."""
    return gpu_lasso.group_lasso(weights, diff, ydimen, xdimen, decay, want_value)


def shrink_groups(
    weights: Array, past: Array | None, block: tuple[int, int], limit: float, share: float
) -> None:
    """See `Kernels.shrink_groups`."""
    gpu_lasso.shrink_groups(weights, past, block, limit, share)


def packed_mask(mask: Array) -> PackedMask:
    """See `Kernels.packed_mask`."""
    return Mask(mask)


def updates() -> UpdateOperator:
    """See `Kernels.updates`."""
    return Updates()


def _is_empty(batch: int, geometry: "ConvGeometry") -> bool:
    return 0 in (batch, geometry.in_channels, geometry.out_channels, *geometry.input)
