"""What kernels remember between calls, and what they are told: parts of the contract."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy.typing as npt

if TYPE_CHECKING:
    from sscaffe.blob import Blob
    from sscaffe.tensor import Tensor

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


class LoweredOperator(ConvolutionOperator, Protocol):
    """A dense convolution that lowers many images at once; any number of images."""

    def lower(self, bottom: "Blob") -> bool:
        """Do no more of a forward pass than lowering; False if there is no such part."""

    def backward_bias(self, top: "Blob", bias: "Blob") -> None:
        """Add to ``bias.diff`` from ``top.diff``."""


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


class MovingSums(NamedTuple):
    """What a batch normalization gathers of the statistics of its batches."""

    blobs: "list[Blob]"  # sums of means (C,), of variances (C,), and the weight of both (1,)
    fraction: Any  # of the sums that is left when a batch is added; of the blobs' dtype
    correction: Any  # of a batch's variance, which is less than that of what it was drawn from

    def add(self, mean: Array, variance: Array) -> None:
        """Add the statistics of a batch."""
        terms = mean, self.correction * variance, 1
        for blob, term in zip(self.blobs, terms, strict=True):
            blob.set_data(blob.const_data * self.fraction + term)

    def statistics(self) -> tuple[Array, Array]:
        """Return mean and variance, arrays (C,): the sums over their weight, or 0 without one."""
        mean, variance, weight = (blob.const_data for blob in self.blobs)
        number = float(weight[0])
        factor = mean.dtype.type(0 if number == 0 else 1 / number)
        return mean * factor, variance * factor


class CountedLabels(NamedTuple):
    """What a loss of labels leaves for its gradient, in arrays of the device."""

    labels: Array  # int32: -1 where they do not count
    divided_by: Array  # float64, (1,): what the sum over the labels was divided by


class AfterNorm(NamedTuple):
    """What is done to normalized values in the same pass.

    They are multiplied by a factor for each channel, and a bias is added (1 and 0 by default);
    then perhaps what is less than 0 becomes 0.
    """

    factor: Array | None = None
    bias: Array | None = None
    rectify: bool = False


_NOTHING = AfterNorm()


class BatchNormOperator(Protocol):
    """The normalization of each channel of an array (N, C, ...)."""

    goes_on: bool  # whether it does an `AfterNorm`

    def forward(
        self, bottom: "Blob", top: "Blob", eps: float, sums: MovingSums, after: AfterNorm = _NOTHING
    ) -> None:
        """Normalize by the batch's own mean and variance, and add both to the sums."""

    def backward(
        self,
        top: "Blob",
        bottom: "Blob",
        after: AfterNorm = _NOTHING,
        diffs: tuple[Array | None, Array | None] = (None, None),
    ) -> None:
        """Set ``bottom.diff`` from ``top.diff``, after `forward` with the same `after`.

        The gradients of its factor and bias are added to those of the two diffs that are there.
        """

    def normalized(self, bottom: "Blob") -> Any:
        """Return what the last forward pass normalized, as `ScaleOperator.recall` takes it."""

    def normalize(self, bottom: "Blob", top: "Blob", sums: MovingSums, eps: float) -> None:
        """Set ``top.data = (bottom.data - mean) / sqrt(variance + eps)`` by the statistics."""

    def backward_normalize(self, top: "Blob", bottom: "Blob", sums: MovingSums, eps: float) -> None:
        """Set ``bottom.diff = top.diff / sqrt(variance + eps)``."""


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

    def recall(self, bottom: Any) -> None:
        """Take this for the bottom of the last forward pass, which a BatchNorm ran instead."""


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


class GroupLassoBlocks(NamedTuple):
    """A group lasso: the size of the blocks that tile the weight matrix, and its factor."""

    ydimen: int
    xdimen: int
    decay: float


class PackedMask(Protocol):
    """A mask of a parameter in the form that `UpdateOperator.apply` likes best."""

    def apply(self, diff: Array) -> None:
        """Set to 0 what of an array in the shape of the blob is masked."""


class UpdateJob(NamedTuple):
    """What `UpdateOperator.apply` does to one parameter.

    The gradients of group lassos are added, then the rule is applied; ``blob.diff`` is the
    update, 0 where the mask says so; what is smaller than the limit in ``blob.data`` is 0.
    """

    step: UpdateStep
    blob: "Blob"
    history: "Sequence[Blob]"  # what the rule remembers; for Adam the averages of g and of g^2
    mask: PackedMask | None = None  # what may change
    lassos: Sequence[GroupLassoBlocks] = ()  # of the matrix with a row for each of the first axis
    name: str = ""  # for errors


class UpdateOperator(Protocol):
    """The updates of the parameters of one net; it remembers where they are.

    Every operation is rounded as if it were a pass of its own.
    """

    def clip_factor(
        self, gradients: "Sequence[Tensor]", limit: float, want_norm: bool = False
    ) -> tuple[Any, float]:
        """Return a factor for gradients, and their norm.

        Parameters
        ----------
        gradients : sequence of Tensor
            All of them.
        limit : float
            What their norm, taken together, should not exceed.
        want_norm : bool
            Whether the norm is of interest: it may be 0 otherwise.

        Returns
        -------
        tuple of number and float
            The factor is for `apply`; it may be an array () of the device.
        """

    def apply(self, jobs: Sequence[UpdateJob], clip: Any = 1.0, want_value: bool = False) -> float:
        """Make updates of gradients and subtract them from the weights, in one pass.

        Parameters
        ----------
        jobs : sequence of UpdateJob
            The parameters, all of one dtype; on the CPU float32.
        clip : number
            From `clip_factor`.
        want_value : bool
            Whether the value is of interest.

        Returns
        -------
        float
            The terms of all group lassos before the update; anything if not wanted.
        """


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
