"""The contract that the kernels of every device keep.

A function stands here only where the version written over `xp` costs a real net more than a few
per cent. Layers reach it as ``self.kernels``; blobs and tensors carry their own layouts.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy.typing as npt

from sscaffe.kernels.operators import (
    AfterNorm as AfterNorm,
    BatchNormOperator as BatchNormOperator,
    ConcatenatedConvolution as ConcatenatedConvolution,
    ConcatOperator as ConcatOperator,
    ConvolutionOperator as ConvolutionOperator,
    CountedLabels as CountedLabels,
    DropoutOperator as DropoutOperator,
    EltwiseOperator as EltwiseOperator,
    GroupLassoBlocks as GroupLassoBlocks,
    LoweredOperator as LoweredOperator,
    LrnOperator as LrnOperator,
    MovingSums as MovingSums,
    PackedMask as PackedMask,
    PoolingOperator as PoolingOperator,
    ScaleOperator as ScaleOperator,
    SparseConvolution as SparseConvolution,
    SparseProduct as SparseProduct,
    UpdateJob as UpdateJob,
    UpdateOperator as UpdateOperator,
    UpdateStep as UpdateStep,
)
from sscaffe.kernels.running import Feed as Feed, Running as Running

if TYPE_CHECKING:
    from sscaffe.blob import Blob
    from sscaffe.geometry import ConvGeometry, PoolGeometry
    from sscaffe.tensor import Tensor

Array = npt.NDArray[Any]


class Kernels(Running, Protocol):
    """What a device computes faster than its array module."""

    def gemm(
        self,
        a: Array,
        b: Array,
        out: Array,
        *,
        transpose_a: bool = False,
        transpose_b: bool = False,
        accumulate: bool = False,
    ) -> None:
        """Multiply two matrices: ``out = a @ b``, or ``out += a @ b``.

        Parameters
        ----------
        a, b : ndarray, shapes (M, K) and (K, N)
            C-contiguous, of one dtype; (K, M) and (N, K) where they are to be transposed.
        out : ndarray, shape (M, N)
            C-contiguous; must not overlap `a` or `b`.
        transpose_a, transpose_b : bool
            Use the transpose of the operand.
        accumulate : bool
            Add to `out` instead of overwriting it.
        """

    def add_rows(self, source: Array, rows: Array, table: Array) -> None:
        """Add row i of `source` to row ``rows[i]`` of `table`, in one order, for every i.

        Parameters
        ----------
        source : ndarray, shape (M, ...)
            C-contiguous.
        rows : ndarray of int64, shape (M,)
            Numbers of rows.
        table : ndarray, shape (N, ...)
            C-contiguous.
        """

    def dropout(self, count: int, ratio: float, seed: int, dtype: Any) -> DropoutOperator | None:
        """Return a dropout of blobs of `count` elements, or None where the device has none.

        It draws from a stream of its own, begun by `seed`.
        """

    def im2col(
        self, image: Array, geometry: "ConvGeometry", columns: Array, kept: Array | None = None
    ) -> None:
        """Lower one image: lay out each window of it as a column.

        Parameters
        ----------
        image : ndarray, shape (C, *input)
            C-contiguous. N images of C channels are lowered like one of N * C channels.
        geometry : ConvGeometry
            Any number of spatial axes.
        columns : ndarray, shape (C * kernel, P) or (len(kept), P)
            Overwritten; P is the number of output positions. Row (c, k1, k2, ...) holds, for each
            output position, the element of channel c under that place of the kernel.
        kept : ndarray of int32, optional
            The rows to lower, ascending; all of them by default.
        """

    def col2im(self, columns: Array, geometry: "ConvGeometry", image: Array) -> None:
        """Add up lowered columns into an image, the transpose of `im2col`.

        Parameters
        ----------
        columns : ndarray, shape (C * kernel, P)
            C-contiguous.
        geometry : ConvGeometry
            Any number of spatial axes.
        image : ndarray, shape (C, *input)
            Overwritten.
        """

    def sparse_product(
        self, row_ptr: Array, indices: Array, values: Array, columns: int, width: int
    ) -> SparseProduct:
        """Lay out a sparse matrix W of shape (M, K) for products with dense ones.

        Parameters
        ----------
        row_ptr : ndarray of int32, shape (M + 1,)
            First non-zero of each row.
        indices, values : ndarrays of int32 and float, shape (nnz,)
            Column and value of each non-zero, ascending within a row. The three arrays must not
            change afterwards.
        columns : int
            K.
        width : int
            Columns of the dense matrices to come, or how many vectors; others are slower.
        """

    def direct_sparse_conv(
        self,
        image: Array,
        geometry: "ConvGeometry",
        row_ptr: Array,
        indices: Array,
        values: Array,
        bias: Array | None,
        out: Array,
    ) -> None:
        """Convolve one image of two spatial axes with weights in CSR form, without lowering it.

        Parameters
        ----------
        image : ndarray, shape (C, H, W)
            C-contiguous.
        geometry : ConvGeometry
            Two spatial axes; any stride, pad, dilation and group.
        row_ptr, indices, values : ndarrays
            The weight matrix (out_channels, kernel_dim) in CSR form, as for `sparse_product`.
        bias : ndarray, shape (out_channels,), optional
            Where the sums start.
        out : ndarray, shape (out_channels, out_H, out_W)
            Overwritten.

        References
        ----------
        Park et al., "Faster CNNs with Direct Sparse Convolutions and Guided Pruning", ICLR 2017.
        """

    def convolution(
        self, geometry: "ConvGeometry", batch: int, dtype: Any, train: bool = True
    ) -> ConvolutionOperator | None:
        """Return the device's dense convolution, or None where it has none for this geometry.

        One that is not to `train` may be faster forward; backward it is slower.
        """

    def lowered_convolution(self, geometry: "ConvGeometry", dtype: Any) -> LoweredOperator | None:
        """Return a convolution that lowers many images at once; None to lower one by one."""

    def lowered_sparse_convolution(
        self, geometry: "ConvGeometry", dtype: Any
    ) -> Callable[[Array], SparseConvolution] | None:
        """Return what makes a convolution like `sparse_convolution`, but by lowering, or None."""

    def concatenated_convolution(
        self, geometry: "ConvGeometry", dtype: Any
    ) -> Callable[[Array], ConcatenatedConvolution] | None:
        """Return what makes a convolution from weights that are zero in rows and columns.

        It takes the weights (out_channels, kernel_dim), in any C-contiguous shape, and keeps no
        view of them. None where the device has none for this geometry.

        Notes
        -----
        2 * kept rows * kept columns * P flops for each image; ``tools/bench_sparse.py`` times it.
        """

    def sparse_convolution(
        self, geometry: "ConvGeometry", dtype: Any
    ) -> Callable[[Array], SparseConvolution] | None:
        """Return what makes a convolution from weights that have zeros anywhere.

        It takes the weights (out_channels, kernel_dim), in any C-contiguous shape, and keeps no
        view of them. None where the device has none for this geometry.

        Notes
        -----
        2 * nnz * P flops for each image. On two cores, over `convolution` in its own layouts, with
        90 % of the weights zero: 5.2 times as fast for conv2 of CaffeNet at batch 32 and 4.4 at
        batch 1, 4.6 and 3.8 for conv5 (tools/bench_scattered.py).

        References
        ----------
        Park et al., "Faster CNNs with Direct Sparse Convolutions and Guided Pruning", ICLR 2017.
        """

    def inner_product(
        self, batch: int, inputs: int, outputs: int, dtype: Any, train: bool = True
    ) -> ConvolutionOperator | None:
        """Return the device's dense inner product, or None where `gemm` serves as well."""

    def pooling(
        self, geometry: "PoolGeometry", batch: int, method: str, dtype: Any
    ) -> PoolingOperator:
        """Return a pooling of two spatial axes; `method` is MAX or AVE."""

    def batch_norm(self, shape: tuple[int, ...], dtype: Any) -> BatchNormOperator | None:
        """Return the device's normalization of arrays (N, C, ...), or None where it has none.

        Notes
        -----
        Statistics are taken in double precision.
        """

    def channel_scale(self, shape: tuple[int, ...], dtype: Any) -> ScaleOperator | None:
        """Return the device's scaling of arrays (N, C, ...), or None where it has none."""

    def eltwise(
        self, operation: str, coeff: list[float], stable: bool, dtype: Any
    ) -> EltwiseOperator | None:
        """Return the device's SUM, PROD or MAX of bottoms, or None where it has none.

        `stable` asks for a gradient of PROD without a division.
        """

    def sum_of(self, terms: list["Tensor"], out: "Tensor", shape: tuple[int, ...]) -> None:
        """Set `out`, which is none of them, to the sum of tensors that all have this shape."""

    def lrn(
        self,
        shape: tuple[int, ...],
        across: bool,
        size: int,
        alpha: float,
        beta: float,
        k: float,
        dtype: Any,
    ) -> LrnOperator | None:
        """Return the device's local response normalization, or None where it has none.

        Each element is multiplied by ``scale^-beta``.

        Parameters
        ----------
        shape : tuple of int
            (N, C, H, W).
        across : bool
            Whether ``scale = k + alpha / size * (sum of squares over size channels)``, or else
            ``k + alpha / size^2 * (sum over a square of size x size positions)``.
        size : int
            An odd number.
        alpha, beta, k : float
            The constants of the formula.
        dtype : dtype
            Of the blobs.
        """

    def concat(self, axis: int, dtype: Any) -> ConcatOperator | None:
        """Return the device's concatenation along an axis, or None where it has none."""

    def softmax(self, scores: Array, out: Array) -> None:
        """Set ``out = exp(scores) / sum(exp(scores))``, safe for large scores.

        Parameters
        ----------
        scores : ndarray, shape (outer, classes, inner)
            C-contiguous.
        out : ndarray, shaped like scores
            Overwritten; may be `scores`.
        """

    def softmax_loss(
        self,
        probabilities: Array,
        labels: Array,
        ignored: int | None,
        divisor: int | None,
        counted: CountedLabels,
        loss: Array,
    ) -> bool:
        """Set `loss` to the sum of -log of the labels' probabilities, divided by `divisor`.

        False if a label is no class; a device that would have to be waited for never says so.

        Parameters
        ----------
        probabilities : ndarray, shape (outer, classes, inner)
            C-contiguous. Those less than the smallest normal float32 count as that.
        labels : ndarray, shape (outer * inner,)
            Of the same dtype; what is behind the point is dropped.
        ignored, divisor : int, optional
            The label that does not count; by default, how many labels count, or 1 for none.
        counted, loss : CountedLabels, and ndarray of one element
            Overwritten; the loss is NaN if a label is no class.
        """

    def softmax_loss_backward(
        self, probabilities: Array, counted: CountedLabels, weight: float, diff: Array
    ) -> None:
        """Set ``diff = weight / divided_by * (probabilities - [class is label])``.

        It is 0 where a label does not count; the labels are as `softmax_loss` left them.
        """

    def multiply(
        self, source: "Tensor", factors: "Tensor", out: "Tensor", shape: tuple[int, ...]
    ) -> None:
        """Set ``out = source * factors``, element by element; `out` may be `source`."""

    def relu_forward(self, bottom: "Blob", top: "Blob", negative_slope: float) -> None:
        """Set ``top.data = max(x, 0) + negative_slope * min(x, 0)``; the blobs may be one."""

    def relu_backward(self, top: "Blob", bottom: "Blob", negative_slope: float) -> None:
        """Set ``bottom.diff``; needs ``bottom.data`` as it was, or overwritten in place."""

    def add(self, total: "Tensor", term: "Tensor", factor: float) -> None:
        """Add ``factor * term`` to `total`."""

    def scale(self, tensor: "Tensor", factor: float) -> None:
        """Multiply a tensor by a number."""

    def sum_of_squares(self, tensor: "Tensor") -> float:
        """Return the sum of the squares of a tensor's elements."""

    def threshold(self, tensor: "Tensor", limit: float) -> None:
        """Set to 0 each element whose magnitude is less than `limit`."""

    def group_lasso(
        self,
        weights: Array,
        diff: Array,
        ydimen: int,
        xdimen: int,
        decay: float,
        want_value: bool = True,
    ) -> float:
        """Add the gradient of a group lasso to `diff` and return the term.

        The term is ``decay`` times the sum of the L2 norms of the blocks; the gradient of a block
        is ``decay * w / norm``, and 0 where all of it is 0.

        Parameters
        ----------
        weights, diff : ndarray, shape (R, C)
            C-contiguous, of one dtype.
        ydimen, xdimen : int
            Rows and columns of a block; they divide R and C.
        decay : float
            The factor.
        want_value : bool
            Whether the term is of interest: a device that need not return it returns at once.
        """

    def shrink_groups(
        self, weights: Array, past: Array | None, block: tuple[int, int], limit: float, share: float
    ) -> None:
        """Take the proximal step of a group lasso: weights of shape (R, C) change in place.

        Each block of so many rows and columns is multiplied by ``max(0, 1 - limit / norm)``;
        `share` times what that takes away is added to `past`, a history, if there is one.
        """

    def packed_mask(self, mask: Array) -> PackedMask:
        """Return a mask for an `UpdateJob`.

        Parameters
        ----------
        mask : ndarray of bool
            Of the host, in the shape of the blob; false where the update is 0.
        """

    def updates(self) -> UpdateOperator:
        """Return what makes the updates of the parameters of a net.

        Notes
        -----
        61 million parameters (CaffeNet) by SGD with weight decay and two threads: 15 ms; a pass
        for each operation: 24 ms.
        """
