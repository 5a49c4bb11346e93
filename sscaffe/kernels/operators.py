"""What kernels remember between calls, and what they are told: parts of the contract."""

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy.typing as npt

if TYPE_CHECKING:
    from sscaffe.blob import Blob

Array = npt.NDArray[Any]


class ConvolutionOperator(Protocol):
    """A dense convolution of one geometry, in whatever layout the device likes best."""

    @property
    def description(self) -> str:
        """Which code computes it."""

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
        """Set ``top.data``: the product, plus the blob `add`, then rectified if `relu`.

        `add` has the top's shape, and may share its data. With `takes` nobody will read it again,
        nor is it the bottom: where both pass through, the top may have its memory.
        """

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

    def forward(self, bottom: "Blob", bias: "Blob | None", top: "Blob", relu: bool = False) -> None:
        """Set ``top.data``; with `relu`, what is below 0 becomes 0."""


class PoolingOperator(Protocol):
    """A pooling of one geometry; it remembers which element was the largest."""

    def forward(self, bottom: "Blob", top: "Blob") -> None:
        """Set ``top.data``."""

    def backward(self, top: "Blob", bottom: "Blob") -> None:
        """Set ``bottom.diff`` from ``top.diff``, after a forward pass."""


class BatchNormOperator(Protocol):
    """The normalization of each channel of an array (N, C, ...)."""

    def forward(self, bottom: "Blob", top: "Blob", eps: float) -> tuple[Array, Array]:
        """Normalize by the batch's own mean and variance, and return both, arrays (C,).

        They are overwritten by the next forward pass.
        """

    def backward(self, top: "Blob", bottom: "Blob") -> None:
        """Set ``bottom.diff`` from ``top.diff``, after `forward`."""

    def normalize(self, bottom: "Blob", top: "Blob", mean: Array, inverse_std: Array) -> None:
        """Set ``top.data = (bottom.data - mean) * inverse_std``."""

    def backward_normalize(self, top: "Blob", bottom: "Blob", inverse_std: Array) -> None:
        """Set ``bottom.diff = top.diff * inverse_std``."""


class ScaleOperator(Protocol):
    """A factor and a bias for each channel of an array (N, C, ...)."""

    def forward(self, bottom: "Blob", factor: Array, bias: Array | None, top: "Blob") -> None:
        """Set ``top.data = bottom.data * factor + bias``; the blobs may be one."""

    def backward(
        self,
        top: "Blob",
        factor: Array,
        factor_diff: Array | None,
        bias_diff: Array | None,
        bottom: "Blob",
        propagate_down: bool,
    ) -> None:
        """Add to those of the two diffs that are there, and set ``bottom.diff`` if wanted."""


class DropoutOperator(Protocol):
    """Elements zeroed at random; it remembers which."""

    def forward(self, bottom: "Blob", top: "Blob") -> None:
        """Draw a mask and set ``top.data``; the blobs may be one."""

    def backward(self, top: "Blob", bottom: "Blob") -> None:
        """Set ``bottom.diff`` from ``top.diff`` by the mask of the last forward pass."""


class EltwiseOperator(Protocol):
    """Bottoms combined element by element."""

    def forward(self, bottom: list["Blob"], top: "Blob") -> None:
        """Set ``top.data``."""

    def backward(self, top: "Blob", propagate_down: list[bool], bottom: list["Blob"]) -> None:
        """Set the diff of each bottom whose flag is true, after a forward pass."""


class ConcatOperator(Protocol):
    """Bottoms (N, C, ...) behind each other along their channels."""

    def forward(self, bottom: list["Blob"], top: "Blob") -> None:
        """Set ``top.data``."""

    def backward(self, top: "Blob", propagate_down: list[bool], bottom: list["Blob"]) -> None:
        """Set the diff of each bottom whose flag is true."""


class LrnOperator(Protocol):
    """A local response normalization; it remembers what backward needs."""

    def forward(self, bottom: "Blob", top: "Blob") -> None:
        """Set ``top.data``; the blobs may be one."""

    def backward(self, top: "Blob", bottom: "Blob") -> None:
        """Set ``bottom.diff`` from ``top.diff``, after a forward pass."""


class UpdateStep(NamedTuple):
    """One step of a solver, as it is for one parameter.

    The gradient becomes ``g = diff * clip * mean + l2 * w + l1 * sign(w)``, and from it
    `sscaffe.solver.updates` says what each rule makes.
    """

    rule: str  # SGD, Nesterov or Adam
    rate: float  # of learning; for Adam, times the correction of its averages
    momentum: float
    momentum2: float = 0.0
    gain: float = 0.0  # 1 - momentum and 1 - momentum2, for Adam alone
    gain2: float = 0.0
    delta: float = 0.0
    clip: float = 1.0
    mean: float = 1.0
    l2: float = 0.0
    l1: float = 0.0
    limit: float = 0.0  # smaller weights become 0


class LassoFactors(NamedTuple):
    """Factors of the weights in the gradient of a group lasso, one for each block."""

    factors: Array  # (R / ydimen, C / xdimen)
    ydimen: int
    xdimen: int


class PackedMask(Protocol):
    """A mask of a parameter in the form that `Kernels.update` likes best."""


class SparseConvolution(Protocol):
    """A convolution by weights that have zeros anywhere."""

    @property
    def description(self) -> str:
        """Which code computes it, and how many weights are left."""

    def forward(
        self, bottom: "Blob", bias: "Blob | None", top: "Blob", *, relu: bool = False
    ) -> None:
        """Set ``top.data``; with `relu`, negative results become 0."""


class SparseProduct(Protocol):
    """A sparse matrix W of shape (M, K), laid out for products with dense ones.

    Notes
    -----
    2 * nnz flops for each column or vector.
    """

    @property
    def description(self) -> str:
        """Which code computes them."""

    def multiply(
        self, x: Array, out: Array, bias: Array | None = None, *, relu: bool = False
    ) -> None:
        """Multiply matrices: ``out[n] = W @ x[n] + bias``, and not less than 0 if `relu`.

        Parameters
        ----------
        x : ndarray, shape (N, K, P)
            C-contiguous.
        out : ndarray, shape (N, M, P)
            Overwritten. Must not overlap `x`.
        bias : ndarray, shape (M,), optional
            Added to each column.
        relu : bool
            Whether what is negative becomes 0.
        """

    def multiply_vectors(
        self, x: Array, out: Array, bias: Array | None = None, *, relu: bool = False
    ) -> None:
        """Multiply vectors: ``out = x @ W.T + bias``, and not less than 0 if `relu`.

        Parameters
        ----------
        x : ndarray, shape (N, K)
            C-contiguous.
        out : ndarray, shape (N, M)
            Overwritten. Must not overlap `x`.
        bias : ndarray, shape (M,), optional
            Added to each vector.
        relu : bool
            Whether what is negative becomes 0.
        """
