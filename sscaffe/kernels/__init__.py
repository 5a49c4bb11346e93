"""The contract that the kernels of every device keep.

A function stands here only where the version written over `xp` costs a real net more than a few
per cent. Layers reach it as ``self.kernels``; blobs and tensors carry their own layouts.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy.typing as npt

if TYPE_CHECKING:
    from sscaffe.blob import Blob
    from sscaffe.geometry import ConvGeometry, PoolGeometry
    from sscaffe.tensor import Tensor

Array = npt.NDArray[Any]


class ConvolutionOperator(Protocol):
    """A dense convolution of one geometry, in whatever layout the device likes best."""

    @property
    def description(self) -> str:
        """Which code computes it."""

    def forward(self, bottom: "Blob", weights: "Blob", bias: "Blob | None", top: "Blob") -> None:
        """Set ``top.data``."""

    def backward_data(self, top: "Blob", weights: "Blob", bottom: "Blob") -> None:
        """Set ``bottom.diff`` from ``top.diff``."""

    def backward_weights(
        self, top: "Blob", bottom: "Blob", weights: "Blob", bias: "Blob | None"
    ) -> None:
        """Add to ``weights.diff`` and ``bias.diff`` from ``top.diff``."""


class ConcatenatedConvolution(Protocol):
    """A convolution by weights that lost their rows and columns of zeros."""

    @property
    def description(self) -> str:
        """Which code computes it, and how much of the weight matrix is left."""

    def forward(self, bottom: "Blob", bias: "Blob | None", top: "Blob") -> None:
        """Set ``top.data``."""


class SparseConvolution(Protocol):
    """A convolution by weights that have zeros anywhere."""

    @property
    def description(self) -> str:
        """Which code computes it, and how many weights are left."""

    def forward(
        self, bottom: "Blob", bias: "Blob | None", top: "Blob", *, relu: bool = False
    ) -> None:
        """Set ``top.data``; with `relu`, negative results become 0."""


class PoolingOperator(Protocol):
    """A pooling of one geometry; it remembers which element was the largest."""

    def forward(self, bottom: "Blob", top: "Blob") -> None:
        """Set ``top.data``."""

    def backward(self, top: "Blob", bottom: "Blob") -> None:
        """Set ``bottom.diff`` from ``top.diff``, after a forward pass."""


class Kernels(Protocol):
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

    def im2col(
        self, image: Array, geometry: "ConvGeometry", columns: Array, kept: Array | None = None
    ) -> None:
        """Lower one image: lay out each window of it as a column.

        Parameters
        ----------
        image : ndarray, shape (C, *input)
            C-contiguous.
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

    def csrmm(
        self, row_ptr: Array, indices: Array, values: Array, columns: Array, out: Array
    ) -> None:
        """Multiply a sparse matrix in CSR form by a dense one: ``out = W @ columns``.

        Parameters
        ----------
        row_ptr : ndarray of int32, shape (M + 1,)
            First non-zero of each row.
        indices, values : ndarrays of int32 and float, shape (nnz,)
            Column and value of each non-zero, ascending within a row.
        columns : ndarray, shape (K, P)
            C-contiguous.
        out : ndarray, shape (M, P)
            Overwritten. Must not overlap `columns`.

        Notes
        -----
        2 * nnz * P flops.
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
            The weight matrix (out_channels, kernel_dim) in CSR form, as for `csrmm`.
        bias : ndarray, shape (out_channels,), optional
            Where the sums start.
        out : ndarray, shape (out_channels, out_H, out_W)
            Overwritten.

        References
        ----------
        Park et al., "Faster CNNs with Direct Sparse Convolutions and Guided Pruning", ICLR 2017.
        """

    def convolution(
        self, geometry: "ConvGeometry", batch: int, dtype: Any
    ) -> ConvolutionOperator | None:
        """Return the device's dense convolution, or None where it has none for this geometry."""

    def concatenated_convolution(
        self, geometry: "ConvGeometry", dtype: Any
    ) -> Callable[[Array], ConcatenatedConvolution] | None:
        """Return what makes a convolution from weights that are zero in rows and columns.

        It takes the weights (out_channels, kernel_dim), in any C-contiguous shape, and keeps no
        view of them. None where the device has none for this geometry.

        Notes
        -----
        2 * kept rows * kept columns * P flops for each image. On one core, over `im2col` and `gemm`
        of what is left: 4.3 times as fast for conv2 of LeNet with 45 x 75 of its 50 x 500 weights
        left, 1.2 for conv3 of AlexNet with 227 x 530 of 384 x 2304.
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
        self, batch: int, inputs: int, outputs: int, dtype: Any
    ) -> ConvolutionOperator | None:
        """Return the device's dense inner product, or None where `gemm` serves as well."""

    def pooling(
        self, geometry: "PoolGeometry", batch: int, method: str, dtype: Any
    ) -> PoolingOperator:
        """Return a pooling of two spatial axes; `method` is MAX or AVE."""

    def lrn_forward(
        self, x: Array, size: int, alpha: float, beta: float, k: float, scale: Array, y: Array
    ) -> None:
        """Normalize each element by the squares around it in neighbouring channels.

        ``scale = k + alpha / size * (sum of squares over size channels)``, ``y = x scale^-beta``.

        Parameters
        ----------
        x : ndarray, shape (N, C, ...)
            C-contiguous.
        size : int
            Channels of the window, an odd number.
        alpha, beta, k : float
            The constants of the formula.
        scale, y : ndarrays, shaped like x
            Overwritten; must not overlap `x` or each other. `lrn_backward` needs `scale`.

        Notes
        -----
        64 x 96 x 27 x 27 on one core: 10 ms forward and 12 ms backward, over arrays 29 and 26 ms.
        """

    def lrn_backward(
        self,
        x: Array,
        scale: Array,
        top_diff: Array,
        size: int,
        alpha: float,
        beta: float,
        bottom_diff: Array,
    ) -> None:
        """Set the gradient of `lrn_forward`.

        Parameters
        ----------
        x, scale : ndarrays, shape (N, C, ...)
            What `lrn_forward` took and gave.
        top_diff : ndarray, shaped like x
            The gradient of y.
        size, alpha, beta
            As forward.
        bottom_diff : ndarray, shaped like x
            Overwritten; must not overlap the others.
        """

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

    def momentum_step(
        self, diff: "Tensor", history: "Tensor", rate: float, momentum: float
    ) -> None:
        """Set ``history = momentum * history + rate * diff`` and ``diff = history``."""

    def threshold(self, tensor: "Tensor", limit: float) -> None:
        """Set to 0 each element whose magnitude is less than `limit`."""

    def group_lasso(
        self, weights: Array, diff: Array, ydimen: int, xdimen: int, decay: float
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
        """
