"""Convolution by weights without their rows and columns of zeros, by the core's implicit GEMM."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy.typing as npt

from sscaffe import _core
from sscaffe.kernels.tape import run

if TYPE_CHECKING:
    from sscaffe.blob import Blob
    from sscaffe.geometry import ConvGeometry

Array = npt.NDArray[Any]
Shape = tuple[int, ...]


class _Layouts(NamedTuple):
    """What a forward pass finds, reads and writes."""

    given: "_core.Layout"
    read: "_core.Layout"
    written: "_core.Layout"

    @classmethod
    def of(cls, given: "_core.Layout", bottom: Shape, top: Shape) -> "_Layouts":
        is_known = given.dims == bottom and given.image_block > 0
        read = given if is_known else _core.Layout(bottom)
        # A tile of sums has some channels side by side; so has what dense convolutions write.
        like_dense = _core.Layout.with_channels_last(top)
        return cls(given, read, like_dense if read.is_plain else _core.layout_like(read, top))


class ImplicitGemm:
    """See `ConcatenatedConvolution`; the weights are packed once, when it is made."""

    def __init__(self, geometry: "ConvGeometry", weights: Array) -> None:
        self._layouts: _Layouts | None = None  # of the last forward pass
        g = self._geometry = geometry
        self._packed = _core.ImplicitGemm(
            weights, g.in_channels, g.group, g.input, g.kernel, g.stride, g.pad, g.dilation
        )

    @property
    def description(self) -> str:
        """How much of the weight matrix is left; summed over the conv groups."""
        g, kept = self._geometry, self._packed.kept
        left = f"{sum(rows for rows, _ in kept)} x {sum(columns for _, columns in kept)}"
        groups = f", {g.group} groups" if g.group > 1 else ""
        return f"implicit GEMM of {left} of {g.out_channels} x {g.group * g.kernel_dim}{groups}"

    def forward(self, bottom: "Blob", bias: "Blob | None", top: "Blob", relu: bool = False) -> None:
        """See `ConcatenatedConvolution.forward`."""
        g = self._geometry
        images = bottom.count // (g.in_channels * g.input[0] * g.input[1])
        bottom_shape = (images, g.in_channels, *g.input)
        top_shape = (images, g.out_channels, *g.output)
        source = bottom.data_tensor.memory(bottom_shape)
        if self._layouts is None or source.layout != self._layouts.given:
            self._layouts = _Layouts.of(source.layout, bottom_shape, top_shape)
        if self._layouts.read is not self._layouts.given:
            source = bottom.data_tensor.memory_as(self._layouts.read, bottom_shape)
        target = top.data_tensor.output(self._layouts.written, top_shape)
        start_values = None if bias is None else bias.const_data
        run(self._packed.forward, source, start_values, relu, target)
