"""The C++ core. `sscaffe.kernels` documents what the kernels compute."""

from collections.abc import Callable, Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]  # of float32 or float64, C-contiguous; one dtype a call
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
Sizes = Sequence[int]

has_onednn: bool

def set_num_threads(threads: int) -> None: ...
def get_num_threads() -> int: ...
def cpu_features() -> str: ...
def set_isa(name: str) -> None: ...
def twister_draw(
    state: npt.NDArray[np.uint32], position: int, draws: npt.NDArray[np.uint32]
) -> int: ...
def aligned_array(count: int, dtype: Any) -> Array: ...
def add_scaled(factor: float, x: Floats, y: Floats) -> None: ...
def scale(factor: float, x: Floats) -> None: ...
def sum_of_squares(x: Floats) -> float: ...
def threshold(limit: float, x: Floats) -> None: ...
def relu_forward(slope: float, x: Floats, y: Floats) -> None: ...
def relu_backward(slope: float, x: Floats, dy: Floats, dx: Floats) -> None: ...
def group_lasso(weights: Floats, diff: Floats, ydimen: int, xdimen: int, decay: float) -> float: ...
def group_lasso_factors(
    weights: Floats, factors: Floats, ydimen: int, xdimen: int, decay: float
) -> float: ...
def shrink_groups(
    weights: Floats,
    history: Floats | None,
    ydimen: int,
    xdimen: int,
    limit: float,
    share: float,
) -> None: ...
def gemm(
    a: Array, b: Array, out: Array, transpose_a: bool, transpose_b: bool, accumulate: bool
) -> None: ...
def im2col(
    image: Array,
    input: Sizes,
    kernel: Sizes,
    stride: Sizes,
    pad: Sizes,
    dilation: Sizes,
    columns: Array,
    kept: Ints | None = None,
) -> None: ...
def col2im(
    columns: Array,
    input: Sizes,
    kernel: Sizes,
    stride: Sizes,
    pad: Sizes,
    dilation: Sizes,
    image: Array,
) -> None: ...
def max_pool_forward(
    bottom: Array,
    planes: int,
    input: Sizes,
    output: Sizes,
    kernel: Sizes,
    stride: Sizes,
    pad: Sizes,
    top: Array,
    mask: Ints,
) -> None: ...
def max_pool_backward(
    top_diff: Array,
    mask: Ints,
    planes: int,
    input: Sizes,
    output: Sizes,
    kernel: Sizes,
    stride: Sizes,
    pad: Sizes,
    bottom_diff: Array,
) -> None: ...
def ave_pool_forward(
    bottom: Array,
    planes: int,
    input: Sizes,
    output: Sizes,
    kernel: Sizes,
    stride: Sizes,
    pad: Sizes,
    top: Array,
) -> None: ...
def ave_pool_backward(
    top_diff: Array,
    planes: int,
    input: Sizes,
    output: Sizes,
    kernel: Sizes,
    stride: Sizes,
    pad: Sizes,
    bottom_diff: Array,
) -> None: ...
def transform_images(
    images: npt.NDArray[np.uint8] | Floats,
    image_mean: Floats | None,
    channel_mean: Floats | None,
    scale: float,
    corners: npt.NDArray[np.int64],
    mirrored: npt.NDArray[np.bool_] | None,
    out: Floats,
) -> None: ...
def dense_to_csr(matrix: Array) -> tuple[Ints, Ints, Array]: ...
def sparse_matrix(
    row_ptr: Ints, indices: Ints, values: Array, columns: int, width: int
) -> FloatSparseMatrix | DoubleSparseMatrix: ...
def direct_sparse_conv(
    image: Array,
    group: int,
    input: Sizes,
    kernel: Sizes,
    stride: Sizes,
    pad: Sizes,
    dilation: Sizes,
    row_ptr: Ints,
    indices: Ints,
    values: Array,
    bias: Array | None,
    out: Array,
) -> None: ...
def softmax(x: Floats, y: Floats) -> None: ...
def softmax_loss(
    probabilities: Floats, labels: Floats, ignored: float, indices: Ints
) -> tuple[float, int]: ...
def softmax_loss_backward(
    probabilities: Floats, labels: Ints, factor: float, dx: Floats
) -> None: ...

class FloatSparseMatrix:
    def multiply(self, x: Array, bias: Array | None, relu: bool, out: Array) -> None: ...
    def multiply_vectors(self, x: Array, bias: Array | None, relu: bool, out: Array) -> None: ...

class DoubleSparseMatrix(FloatSparseMatrix): ...

class ImplicitGemm:
    def __init__(
        self,
        weights: Floats,
        in_channels: int,
        group: int,
        input: Sizes,
        kernel: Sizes,
        stride: Sizes,
        pad: Sizes,
        dilation: Sizes,
    ) -> None: ...
    @property
    def kept(self) -> list[tuple[int, int]]: ...
    def forward(self, bottom: Memory, bias: Floats | None, relu: bool, top: Memory) -> None: ...

class SparseConvolution:
    def __init__(
        self,
        weights: Floats,
        in_channels: int,
        group: int,
        input: Sizes,
        kernel: Sizes,
        stride: Sizes,
        pad: Sizes,
        dilation: Sizes,
    ) -> None: ...
    @staticmethod
    def fits(input: Sizes, kernel: Sizes, stride: Sizes, pad: Sizes, dilation: Sizes) -> bool: ...
    @property
    def nnz(self) -> int: ...
    def forward(self, bottom: Memory, bias: Floats | None, relu: bool, top: Memory) -> None: ...

# Values in a layout of their own, and what oneDNN does with them (bind_memory, bind_onednn).

class Layout:
    def __init__(self, dims: Sizes) -> None: ...
    @property
    def dims(self) -> tuple[int, ...]: ...
    @property
    def is_plain(self) -> bool: ...
    @property
    def count(self) -> int: ...
    @property
    def stored(self) -> int: ...
    @property
    def form(self) -> tuple[int, ...] | None: ...
    @property
    def channel_block(self) -> int: ...
    @property
    def by_channel(self) -> bool: ...
    @property
    def image_block(self) -> int: ...
    @staticmethod
    def with_channel_block(dims: Sizes, block: int) -> Layout: ...
    @staticmethod
    def with_channels_last(dims: Sizes) -> Layout: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

class Memory:
    @overload
    def __init__(self, layout: Layout) -> None: ...
    @overload
    def __init__(self, array: Array, dims: Sizes) -> None: ...
    @overload
    def __init__(self, layout: Layout, array: Array) -> None: ...
    @property
    def layout(self) -> Layout: ...
    @property
    def values(self) -> Floats: ...
    def copy_to(self, other: Memory) -> None: ...
    def move_to(self, other: Memory) -> None: ...

def memory_add_scaled(factor: float, x: Memory, y: Memory) -> None: ...
def memory_scale(factor: float, x: Memory) -> None: ...
def memory_sum_of_squares(x: Memory) -> float: ...
def memory_threshold(limit: float, x: Memory) -> None: ...
def memory_update(
    step: Any,
    weights: Memory,
    diff: Memory,
    history: Sequence[Memory],
    mask: npt.NDArray[np.bool_] | None,
    rows: int,
    lassos: Sequence[tuple[Floats, int, int]],
) -> None: ...
def memory_mask(memory: Memory) -> npt.NDArray[np.bool_]: ...
def memory_relu_forward(slope: float, x: Memory, y: Memory) -> None: ...
def memory_relu_backward(slope: float, x: Memory, dy: Memory, dx: Memory) -> None: ...
def memory_weighted_sum(factors: Sequence[float], x: Sequence[Memory], y: Memory) -> None: ...
def memory_scaled_copies(factors: Sequence[float], x: Memory, y: Sequence[Memory]) -> None: ...
def memory_product(x: Sequence[Memory], y: Memory) -> None: ...
def memory_largest(x: Sequence[Memory], y: Memory, winner: Ints) -> None: ...
def memory_select_winner(index: int, winner: Ints, x: Memory, y: Memory) -> None: ...
def layout_like(layout: Layout, dims: Sizes) -> Layout: ...
def join_channels(parts: Sequence[Memory], whole: Memory) -> None: ...
def are_joined(parts: Sequence[Memory], whole: Memory) -> bool: ...
def part_channels(whole: Memory, parts: Sequence[Memory]) -> None: ...
def batch_norm_forward(
    eps: float,
    factor: Floats | None,
    bias: Floats | None,
    rectify: bool,
    x: Memory,
    y: Memory,
    mean: Floats,
    variance: Floats,
    inverse_std: Floats,
) -> None: ...
def batch_norm_backward(
    mean: Floats,
    inverse_std: Floats,
    factor: Floats | None,
    bias: Floats | None,
    rectify: bool,
    x: Memory,
    dy: Memory,
    factor_diff: Floats | None,
    bias_diff: Floats | None,
    dx: Memory,
) -> None: ...
def channel_affine(
    shift: Floats | None, factor: Floats, bias: Floats | None, x: Memory, y: Memory
) -> None: ...
def channel_scale_backward(
    factor: Floats,
    x: Memory | None,
    dy: Memory,
    factor_diff: Floats | None,
    bias_diff: Floats | None,
    dx: Memory | None,
) -> None: ...
def lrn_across_forward(
    size: int, alpha: float, beta: float, k: float, x: Memory, scale: Memory, y: Memory
) -> None: ...
def lrn_across_backward(
    size: int, alpha: float, beta: float, x: Memory, scale: Memory, dy: Memory, dx: Memory
) -> None: ...
def lrn_within_forward(
    size: int, alpha: float, beta: float, k: float, x: Memory, scale: Memory, y: Memory
) -> None: ...
def lrn_within_backward(
    size: int, alpha: float, beta: float, x: Memory, scale: Memory, dy: Memory, dx: Memory
) -> None: ...
def onednn_version() -> str: ...
def onednn_sgemm(
    a: Array, b: Array, out: Array, transpose_a: bool, transpose_b: bool, accumulate: bool
) -> None: ...

class Series:
    def __init__(self) -> None: ...
    def __len__(self) -> int: ...
    def note(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> bool: ...
    def run(self) -> None: ...

class WeightedPrimitive:
    @property
    def top_layout(self) -> Layout: ...
    @property
    def weights_layout(self) -> Layout: ...
    @property
    def bottom_diff_layout(self) -> Layout: ...
    @property
    def weights_diff_layout(self) -> Layout: ...
    @property
    def implementation(self) -> str: ...
    def forward(
        self, bottom: Memory, weights: Memory, bias: Memory | None, top: Memory
    ) -> None: ...
    def backward_data(self, top_diff: Memory, weights: Memory, bottom_diff: Memory) -> None: ...
    def backward_weights(
        self,
        bottom: Memory,
        top_diff: Memory,
        weights_diff: Memory,
        bias_diff: Memory | None,
        accumulate: bool,
    ) -> None: ...

class Convolution(WeightedPrimitive):
    def __init__(
        self,
        batch: int,
        in_channels: int,
        out_channels: int,
        group: int,
        input: Sizes,
        output: Sizes,
        kernel: Sizes,
        stride: Sizes,
        pad: Sizes,
        dilation: Sizes,
        bias: bool,
        train: bool,
        add: bool = ...,
        relu: bool = ...,
        blocks: bool = ...,
    ) -> None: ...

class WinogradConvolution(WeightedPrimitive):
    def __init__(
        self,
        batch: int,
        in_channels: int,
        out_channels: int,
        group: int,
        input: Sizes,
        output: Sizes,
        kernel: Sizes,
        pad: Sizes,
        bias: bool,
        train: bool,
        add: bool = ...,
        relu: bool = ...,
        blocks: bool = ...,
        *,
        passes: tuple[bool, bool, bool],
    ) -> None: ...
    @property
    def prepared_layout(self) -> Layout | None: ...
    def prepare(self, weights: Memory, prepared: Memory) -> None: ...

class InnerProduct(WeightedPrimitive):
    def __init__(
        self,
        bottom: Sizes,
        outputs: int,
        bias: bool,
        train: bool,
        add: bool = ...,
        relu: bool = ...,
    ) -> None: ...

class Pooling:
    def __init__(
        self,
        batch: int,
        channels: int,
        input: Sizes,
        output: Sizes,
        kernel: Sizes,
        stride: Sizes,
        pad: Sizes,
        max: bool,
    ) -> None: ...
    def top_layout(self, bottom: Layout) -> Layout: ...
    def forward(self, bottom: Memory, top: Memory) -> None: ...
    def infer(self, bottom: Memory, top: Memory) -> None: ...
    def backward(self, top_diff: Memory, bottom_diff: Memory) -> None: ...
