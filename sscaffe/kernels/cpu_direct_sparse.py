"""Convolution by weights that have zeros anywhere, by the core's direct sparse convolution."""

from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from sscaffe import _core
from sscaffe.kernels.tape import run

if TYPE_CHECKING:
    from sscaffe.blob import Blob
    from sscaffe.geometry import ConvGeometry

Array = npt.NDArray[Any]


class DirectSparseConvolution:
    """See `SparseConvolution`; the top gets the kind of layout that the bottom has."""

    def __init__(self, geometry: "ConvGeometry", weights: Array) -> None:
        g = self._geometry = geometry
        self._packed = _core.SparseConvolution(
            weights, g.in_channels, g.group, g.input, g.kernel, g.stride, g.pad, g.dilation
        )

    @property
    def description(self) -> str:
        """How many of the weights are left."""
        g = self._geometry
        every = g.out_channels * g.kernel_dim
        return f"direct sparse convolution by {self._packed.nnz} of {every} weights"

    def forward(
        self, bottom: "Blob", bias: "Blob | None", top: "Blob", *, relu: bool = False
    ) -> None:
        """See `SparseConvolution.forward`."""
        g = self._geometry
        images = bottom.count // (g.in_channels * g.input[0] * g.input[1])
        bottom_shape = (images, g.in_channels, *g.input)
        top_shape = (images, g.out_channels, *g.output)
        source = bottom.data_tensor.memory(bottom_shape)
        if source.layout.dims != bottom_shape or source.layout.image_block == 0:
            source = bottom.data_tensor.memory_as(_core.Layout(bottom_shape), bottom_shape)
        target = top.data_tensor.output(_core.layout_like(source.layout, top_shape), top_shape)
        start_values = None if bias is None else bias.const_data
        run(self._packed.forward, source, start_values, relu, target)
