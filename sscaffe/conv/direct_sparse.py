"""Sparse weights on the image itself, without lowering it."""

from typing import Any

import numpy.typing as npt

from sscaffe.blob import Blob
from sscaffe.conv.base import ConvKernel
from sscaffe.device import Device
from sscaffe.geometry import ConvGeometry
from sscaffe.weight_matrix import Prepared, compress_rows
from sscaffe.weighted.base import NOTHING, Epilogue

Array = npt.NDArray[Any]


class DirectSparse(ConvKernel):
    """Each non-zero weight adds its window of the image to its output channel.

    References
    ----------
    Park et al., "Faster CNNs with Direct Sparse Convolutions and Guided Pruning", ICLR 2017.
    """

    mode_name = "DIRECT_SCONV"
    trains = False
    holds_weights = True

    def __init__(
        self, geometry: ConvGeometry, batch: int, device: Device, dtype: Any, phase: int
    ) -> None:
        super().__init__(geometry, batch, device, dtype, phase)
        make = device.kernels.sparse_convolution(geometry, self.dtype)
        self._convolution = None if make is None else Prepared(make)
        self._prepared = Prepared(self._compress)

    @property
    def description(self) -> str:
        """Which code really runs; how many weights are left, once they have been used."""
        if self._convolution is None:
            return "direct sparse convolution, one image after the other"
        made = self._convolution.last
        return "direct sparse convolution" if made is None else made.description

    @property
    def replays(self) -> bool:
        """See `WeightedKernel.replays`."""
        return self._convolution is not None

    def resize(self, batch: int) -> bool:
        """See `WeightedKernel.resize`."""
        self.batch = batch
        return True

    @classmethod
    def refusal(cls, geometry: ConvGeometry, phase: int) -> str | None:
        """Return why this kernel cannot run, as the sentence of an error; None if it can."""
        axes = len(geometry.input)
        if axes != 2:
            return f"conv_mode: DIRECT_SCONV expected 2 spatial axes, got {axes}; use LOWERED_CSRMM"
        return super().refusal(geometry, phase)

    def forward(
        self,
        bottom: Blob,
        weights: Blob,
        bias: Blob | None,
        top: Blob,
        epilogue: Epilogue = NOTHING,
    ) -> None:
        """Set ``top.data``, with what `epilogue` adds."""
        if self._convolution is None:
            self._forward_plainly(bottom, weights, bias, top)
        elif epilogue.add is None:
            self._convolution.get(weights).forward(bottom, bias, top, relu=epilogue.relu)
            return
        else:
            self._convolution.get(weights).forward(bottom, bias, top)
        self._finish(top, epilogue)

    def _forward_plainly(self, bottom: Blob, weights: Blob, bias: Blob | None, top: Blob) -> None:
        g = self.geometry
        row_ptr, indices, values = self._prepared.get(weights)
        images = bottom.const_data.reshape(self.batch, g.in_channels, *g.input)
        tops = top.data_tensor.overwrite().reshape(self.batch, g.out_channels, *g.output)
        start_values = None if bias is None else bias.const_data
        for image, out in zip(images, tops, strict=True):
            self.device.kernels.direct_sparse_conv(
                image, g, row_ptr, indices, values, start_values, out
            )

    def _compress(self, weights: Array) -> tuple[Array, Array, Array]:
        matrix = weights.reshape(self.geometry.out_channels, self.geometry.kernel_dim)
        return compress_rows(matrix, self.device)
