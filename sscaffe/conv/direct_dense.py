"""Dense weights in the device's best way: the default."""

from typing import Any

from sscaffe.blob import Blob
from sscaffe.conv.base import ConvKernel
from sscaffe.conv.lowered import LoweredGemm
from sscaffe.device import Device
from sscaffe.geometry import ConvGeometry
from sscaffe.proto import caffe_pb2
from sscaffe.weighted.base import NOTHING, Epilogue, Propagate


class DirectDense(ConvKernel):
    """The device's dense convolution, or a lowered one where it has none for the geometry."""

    mode_name = "DIRECT_DCONV"

    def __init__(
        self, geometry: ConvGeometry, batch: int, device: Device, dtype: Any, phase: int
    ) -> None:
        super().__init__(geometry, batch, device, dtype, phase)
        train = phase == caffe_pb2.TRAIN
        self._operator = device.kernels.convolution(geometry, batch, self.dtype, train)
        self._lowered = LoweredGemm(geometry, batch, device, self.dtype, phase)

    @property
    def description(self) -> str:
        """Which code really runs, and why where that is not what was asked for."""
        if self._operator is not None:
            return self._operator.description
        return f"{self._lowered.description}: {self._reason()}"

    def _reason(self) -> str:
        if self.dtype != "float32":
            return str(self.dtype)
        axes = len(self.geometry.input)
        return f"no direct convolution of {axes} spatial axes on {self.device.name}"

    @property
    def replays(self) -> bool:
        """See `WeightedKernel.replays`."""
        return self._operator is not None

    def forward(
        self,
        bottom: Blob,
        weights: Blob,
        bias: Blob | None,
        top: Blob,
        epilogue: Epilogue = NOTHING,
    ) -> None:
        """Set ``top.data``, with what `epilogue` adds."""
        if self._operator is None:
            self._lowered.forward(bottom, weights, bias, top, epilogue)
        else:
            self._operator.forward(bottom, weights, bias, top, *epilogue)

    def backward(
        self, top: Blob, bottom: Blob, weights: Blob, bias: Blob | None, wanted: Propagate
    ) -> None:
        """Set ``bottom.diff`` and add to ``weights.diff`` and ``bias.diff``, as `wanted` says."""
        operator = self._operator
        if operator is None:
            self._lowered.backward(top, bottom, weights, bias, wanted)
            return
        if bias is not None and wanted.weights != wanted.bias:
            # The operator computes both gradients or none.
            self._lowered.backward(top, bottom, weights, bias, wanted._replace(data=False))
        elif wanted.weights:
            operator.backward_weights(top, bottom, weights, bias)
        if wanted.data:
            operator.backward_data(top, weights, bottom)
