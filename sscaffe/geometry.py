"""Sizes of convolutions and poolings: what goes in, what comes out."""

import math
from dataclasses import dataclass

from sscaffe.errors import ShapeError

Sizes = tuple[int, ...]


@dataclass(frozen=True)
class ConvGeometry:
    """A convolution of one image, over any number of spatial axes.

    The weight matrix has ``out_channels`` rows and `kernel_dim` columns; the conv groups are
    stacked along its rows.
    """

    in_channels: int
    out_channels: int
    group: int
    input: Sizes  # spatial axes of the bottom
    kernel: Sizes
    stride: Sizes
    pad: Sizes
    dilation: Sizes

    @property
    def output(self) -> Sizes:
        """The spatial axes of the top: floor((in + 2 pad - extent) / stride) + 1."""
        axes = zip(self.input, self.kernel, self.stride, self.pad, self.dilation, strict=True)
        return tuple((i + 2 * p - (d * (k - 1) + 1)) // s + 1 for i, k, s, p, d in axes)

    @property
    def kernel_dim(self) -> int:
        """Columns of the weight matrix: channels of one group times kernel size."""
        return self.in_channels // self.group * math.prod(self.kernel)

    @property
    def is_1x1(self) -> bool:
        """Whether the lowered image is the image itself."""
        return (
            all(k == 1 for k in self.kernel)
            and all(s == 1 for s in self.stride)
            and not any(self.pad)
        )

    def check(self) -> None:
        """Raise ShapeError, naming the field, if the sizes do not make a convolution."""
        if min(self.kernel, default=1) < 1:
            raise ShapeError(f"kernel_size: expected 1 or more on each axis, got {self.kernel}")
        if min(self.stride, default=1) < 1:
            raise ShapeError(f"stride: expected 1 or more on each axis, got {self.stride}")
        if min(self.dilation, default=1) < 1:
            raise ShapeError(f"dilation: expected 1 or more on each axis, got {self.dilation}")
        if min(self.output, default=1) < 1:
            raise ShapeError(
                f"kernel_size: {self.kernel} with dilation {self.dilation} does not fit into a "
                f"bottom of {self.input} with pad {self.pad}"
            )


@dataclass(frozen=True)
class PoolGeometry:
    """A pooling of one image, over any number of spatial axes."""

    channels: int
    input: Sizes
    kernel: Sizes
    stride: Sizes
    pad: Sizes
    ceil: bool = True  # Caffe rounds pooled sizes up; PoolingParameter.round_mode FLOOR does not
    pad_end: Sizes | None = None  # after the image, where it is not as much as before it

    @property
    def end(self) -> Sizes:
        """The padding after the image."""
        return self.pad if self.pad_end is None else self.pad_end

    @property
    def output(self) -> Sizes:
        """The spatial axes of the top.

        Where there is padding, a last window that would start beyond the image is dropped.
        """
        axes = zip(self.input, self.kernel, self.stride, self.pad, self.end, strict=True)
        return tuple(self._output_size(*axis) for axis in axes)

    def _output_size(self, size: int, kernel: int, stride: int, pad: int, end: int) -> int:
        span = size + pad + end - kernel
        pooled = (-(-span // stride) if self.ceil else span // stride) + 1
        if any(self.pad + self.end) and (pooled - 1) * stride >= size + pad:
            pooled -= 1
        return pooled

    def check(self) -> None:
        """Raise ShapeError, naming the field, if the sizes do not make a pooling."""
        if min(self.kernel, default=1) < 1:
            raise ShapeError(f"kernel_size: expected 1 or more on each axis, got {self.kernel}")
        if min(self.stride, default=1) < 1:
            raise ShapeError(f"stride: expected 1 or more on each axis, got {self.stride}")
        for pad in (self.pad, self.end):
            if any(p >= k for p, k in zip(pad, self.kernel, strict=True)):
                raise ShapeError(f"pad: expected less than the kernel {self.kernel}, got {pad}")
        if min(self.output, default=1) < 1:
            raise ShapeError(
                f"kernel_size: {self.kernel} does not fit into a bottom of {self.input} "
                f"with pad {self.pad}"
            )
