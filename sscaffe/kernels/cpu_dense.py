"""Dense convolution and inner product by oneDNN, in the layouts that it likes best."""

from typing import TYPE_CHECKING

from sscaffe import _core

if TYPE_CHECKING:
    from sscaffe.blob import Blob
    from sscaffe.geometry import ConvGeometry

Shape = tuple[int, ...]


class _Weighted:
    """What the two have in common; the primitive is made at the first forward pass."""

    _primitive: "_core.WeightedPrimitive | None" = None
    _made_for: tuple[Shape, bool] | None = None

    def _make(self, bottom: Shape, bias: bool) -> "_core.WeightedPrimitive":
        raise NotImplementedError

    def _prepare(self, bottom: "Blob", bias: "Blob | None") -> "_core.WeightedPrimitive":
        wanted = (bottom.shape, bias is not None)
        if self._primitive is None or wanted != self._made_for:
            self._primitive = self._make(*wanted)
            self._made_for = wanted
            self._top_layout = self._primitive.top_layout
            self._weights_layout = self._primitive.weights_layout
        return self._primitive

    @property
    def description(self) -> str:
        """What oneDNN calls the implementation it chose."""
        if self._primitive is None:
            return "oneDNN"
        return f"oneDNN {self._primitive.implementation}"

    def forward(self, bottom: "Blob", weights: "Blob", bias: "Blob | None", top: "Blob") -> None:
        """See `ConvolutionOperator.forward`."""
        primitive = self._prepare(bottom, bias)
        primitive.forward(
            bottom.data_tensor.memory(bottom.shape),
            weights.data_tensor.memory_as(self._weights_layout, weights.shape),
            None if bias is None else bias.data_tensor.memory(bias.shape),
            top.data_tensor.output(self._top_layout, top.shape),
        )

    def backward_data(self, top: "Blob", weights: "Blob", bottom: "Blob") -> None:
        """See `ConvolutionOperator.backward_data`."""
        assert self._primitive is not None, "backward before forward"
        self._primitive.backward_data(
            top.diff_tensor.memory(top.shape),
            weights.data_tensor.memory(weights.shape),
            bottom.diff_tensor.output(self._primitive.bottom_diff_layout, bottom.shape),
        )

    def backward_weights(
        self, top: "Blob", bottom: "Blob", weights: "Blob", bias: "Blob | None"
    ) -> None:
        """See `ConvolutionOperator.backward_weights`."""
        assert self._primitive is not None, "backward before forward"
        diffs = [blob.diff_tensor for blob in (weights, bias) if blob is not None]
        accumulate = not all(diff.is_zero for diff in diffs)
        layouts = [self._primitive.weights_diff_layout, _core.Layout((diffs[-1].count,))]
        shapes = [weights.shape, (diffs[-1].count,)]
        outputs = [
            diff.memory_in(layout, shape) if accumulate else diff.output(layout, shape)
            for diff, layout, shape in zip(diffs, layouts, shapes, strict=False)
        ]
        self._primitive.backward_weights(
            bottom.data_tensor.memory(bottom.shape),
            top.diff_tensor.memory(top.shape),
            outputs[0],
            outputs[1] if bias is not None else None,
            accumulate,
        )


class DenseConvolution(_Weighted):
    """oneDNN's direct convolution of one, two or three spatial axes."""

    def __init__(self, geometry: "ConvGeometry", batch: int) -> None:
        self._geometry, self._batch = geometry, batch

    def _make(self, bottom: Shape, bias: bool) -> "_core.WeightedPrimitive":
        g = self._geometry
        return _core.Convolution(
            batch=self._batch,
            in_channels=g.in_channels,
            out_channels=g.out_channels,
            group=g.group,
            input=g.input,
            output=g.output,
            kernel=g.kernel,
            stride=g.stride,
            pad=g.pad,
            dilation=g.dilation,
            bias=bias,
            train=True,
        )


class DenseInnerProduct(_Weighted):
    """oneDNN's inner product of a flattened bottom.

    Its kernel for two axes is the faster one, though a convolution's own layout is flattened first:
    for fc6 of CaffeNet at batch 32 on one thread 35, 43 and 29 ms (forward, data, weights) against
    32, 78 and 37 ms.
    """

    def __init__(self, batch: int, inputs: int, outputs: int) -> None:
        self._batch, self._inputs, self._outputs = batch, inputs, outputs

    def _make(self, bottom: Shape, bias: bool) -> "_core.WeightedPrimitive":
        return _core.InnerProduct(
            bottom=(self._batch, self._inputs), outputs=self._outputs, bias=bias, train=True
        )
