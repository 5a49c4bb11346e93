"""Convolution by weights that have zeros anywhere, by the core's direct sparse convolution."""

from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from sscaffe import _core

if TYPE_CHECKING:
    from sscaffe.blob import Blob
    from sscaffe.geometry import ConvGeometry

Array = npt.NDArray[Any]


class DirectSparseConvolution:
    """See `SparseConvolution`; the top gets its bottom's kind of layout."""

    def __init__(self, geometry: "ConvGeometry", weights: Array) -> None:
        g = self._geometry = geometry
        self._packed = _core.SparseConvolution(
            weights, g.in_channels, g.group, g.input, g.kernel, g.stride, g.pad, g.dilation
        )

    @property
    def description(self) -> str:
        """How many of the weights are left."""
        g = self._geometry
        left = f"{self._packed.nnz} of {g.out_channels * g.kernel_dim}"
        return f"direct sparse convolution, {left} weights"

    def forward(
        self, bottom: "Blob", bias: "Blob | None", top: "Blob", *, relu: bool = False
    ) -> None:
        """See `SparseConvolution.forward`."""
        g = self._geometry
        bottom_shape = (*bottom.shape[:-3], g.in_channels, *g.input)
        top_shape = (*bottom.shape[:-3], g.out_channels, *g.output)
        source = bottom.data_tensor.memory(bottom_shape)
        if source.layout.channel_block == 0 or not (
            source.layout.is_plain or source.layout.dims == bottom_shape
        ):
            source = bottom.data_tensor.memory_as(_core.Layout(bottom_shape), bottom_shape)
        layout = None
        if not source.layout.is_plain:
            layout = _core.Layout.with_channel_block(top_shape, source.layout.channel_block)
        start_values = None if bias is None else bias.const_data
        self._packed.forward(source, start_values, relu, top.data_tensor.output(layout, top_shape))
