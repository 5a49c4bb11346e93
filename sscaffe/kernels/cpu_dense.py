"""Dense convolution and inner product by oneDNN, in the layouts that it likes best."""

from typing import TYPE_CHECKING, Any, NamedTuple

from sscaffe import _core
from sscaffe.kernels import cpu_winograd
from sscaffe.kernels.tape import run

if TYPE_CHECKING:
    from sscaffe.blob import Blob
    from sscaffe.geometry import ConvGeometry
    from sscaffe.tensor import Tensor

Shape = tuple[int, ...]


class _Wanted(NamedTuple):
    """What a primitive is made for."""

    bottom: Shape
    bias: bool
    add: bool
    relu: bool
    train: bool
    blocks: bool = False


class _Weighted:
    """What the two have in common; primitives are made when they are first needed."""

    def __init__(self, train: bool) -> None:
        self._train = train
        self._primitive: _core.WeightedPrimitive | None = None  # of the last forward pass
        self._trainer: _core.WeightedPrimitive | None = None  # for backward passes
        self._made_for: _Wanted | None = None
        self._trained_for: _Wanted | None = None

    def _make(self, wanted: _Wanted) -> "_core.WeightedPrimitive":
        raise NotImplementedError

    def _likes_blocks(self, bottom: "Blob", top: "Blob") -> bool:
        """Whether others gain from a top in whole blocks of channels."""
        return False

    def _prepare(self, wanted: _Wanted) -> "_core.WeightedPrimitive":
        if self._primitive is None or wanted != self._made_for:
            self._primitive = self._make(wanted)
            self._made_for, self._trainer, self._trained_for = wanted, None, None
            self._top_layout = self._primitive.top_layout
            self._weights_layout = self._primitive.weights_layout
        return self._primitive

    def _backward_primitive(
        self, bottom: "Blob", bias: bool | None = None
    ) -> "_core.WeightedPrimitive":
        """Return one with a bias or without; with None, either, preferably the one at hand.

        The forward pass may have been another's: one by folded weights, which have a bias, or none
        at all where a sparse kernel ran.
        """
        if bias is None:
            latest = self._trained_for or self._made_for
            bias = latest is not None and latest.bias
        wanted = _Wanted(bottom.shape, bias, add=False, relu=False, train=True)
        if self._trainer is None or wanted != self._trained_for:
            is_at_hand = self._primitive is not None and wanted == self._made_for
            self._trainer = self._primitive if is_at_hand else self._make(wanted)
            self._trained_for = wanted
        assert self._trainer is not None
        return self._trainer

    @property
    def description(self) -> str:
        """What oneDNN calls the implementation it chose, or what runs in its place."""
        if self._primitive is None:
            return "oneDNN"
        name = self._primitive.implementation
        return name if name.startswith("Winograd") else f"oneDNN {name}"

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
        """See `ConvolutionOperator.forward`."""
        blocks = self._likes_blocks(bottom, top)
        wanted = _Wanted(bottom.shape, bias is not None, add is not None, relu, self._train, blocks)
        primitive = self._prepare(wanted)
        if takes and add is not None and top.data_tensor.may_take_from(add.data_tensor):
            top.data_tensor.take_from(add.data_tensor)
            add = top
        if add is None:
            out = top.data_tensor.output(self._top_layout, top.shape)
        elif add.data_tensor is top.data_tensor:
            out = top.data_tensor.memory_in(self._top_layout, top.shape)
        else:
            out = top.data_tensor.output(self._top_layout, top.shape)
            run(add.data_tensor.memory(add.shape).copy_to, out)
        run(
            primitive.forward,
            bottom.data_tensor.memory(bottom.shape),
            self._operand(primitive, weights),
            None if bias is None else bias.data_tensor.memory(bias.shape),
            out,
        )

    def _operand(self, primitive: "_core.WeightedPrimitive", weights: "Blob") -> "_core.Memory":
        """Return the weights for a forward pass."""
        return weights.data_tensor.settle(self._weights_layout, weights.shape)

    def backward_data(self, top: "Blob", weights: "Blob", bottom: "Blob") -> None:
        """See `ConvolutionOperator.backward_data`."""
        primitive = self._backward_primitive(bottom)
        primitive.backward_data(
            top.diff_tensor.memory(top.shape),
            weights.data_tensor.memory(weights.shape),
            bottom.diff_tensor.output(primitive.bottom_diff_layout, bottom.shape),
        )

    def backward_weights(
        self, top: "Blob", bottom: "Blob", weights: "Blob", bias: "Blob | None"
    ) -> None:
        """See `ConvolutionOperator.backward_weights`."""
        primitive = self._backward_primitive(bottom, bias is not None)
        diffs = [blob.diff_tensor for blob in (weights, bias) if blob is not None]
        accumulate = not all(diff.is_zero for diff in diffs)
        layouts = [primitive.weights_diff_layout, _core.Layout((diffs[-1].count,))]
        shapes = [weights.shape, (diffs[-1].count,)]
        outputs = [
            diff.memory_in(layout, shape) if accumulate else diff.output(layout, shape)
            for diff, layout, shape in zip(diffs, layouts, shapes, strict=False)
        ]
        primitive.backward_weights(
            bottom.data_tensor.memory(bottom.shape),
            top.diff_tensor.memory(top.shape),
            outputs[0],
            outputs[1] if bias is not None else None,
            accumulate,
        )


class DenseConvolution(_Weighted):
    """oneDNN's direct convolution of one, two or three spatial axes; or Winograd's of two."""

    def __init__(self, geometry: "ConvGeometry", batch: int, train: bool) -> None:
        super().__init__(train)
        self._geometry, self._batch = geometry, batch
        self._keeps_weights = not train and cpu_winograd.keeps_weights(geometry, batch)
        self._prepared: _core.Memory | None = None  # the weights, as Winograd's algorithm has them
        self._prepared_from: tuple[Tensor, int] | None = None

    def _likes_blocks(self, bottom: "Blob", top: "Blob") -> bool:
        # In a compact net a top may be made where a Concat would copy it to, if the channels of an
        # image lie in one piece. Who reads the Concat had best stay in that layout: SqueezeNet's
        # passes at batch 1 are the faster for it by a tenth.
        x = bottom.data_tensor
        if self._train or self._batch != 1 or (not x.is_passing and not top.data_tensor.is_piece):
            return False
        return top.data_tensor.is_piece or x.memory(bottom.shape).layout.channel_block > 1

    def _operand(self, primitive: "_core.WeightedPrimitive", weights: "Blob") -> "_core.Memory":
        if self._keeps_weights and isinstance(primitive, _core.WinogradConvolution):
            layout = primitive.prepared_layout
            if layout is not None:
                return self._prepare_weights(primitive, layout, weights)
        return super()._operand(primitive, weights)

    def _prepare_weights(
        self, primitive: "_core.WinogradConvolution", layout: "_core.Layout", weights: "Blob"
    ) -> "_core.Memory":
        """Return the weights in a form that is kept until they change."""
        tensor, source = weights.data_tensor, (weights.data_tensor, weights.data_version)
        kept = self._prepared
        if kept is None or source != self._prepared_from or kept.layout != layout:
            kept = _core.Memory(layout, _core.aligned_array(layout.stored, tensor.dtype))
            primitive.prepare(tensor.memory(weights.shape), kept)
            self._prepared, self._prepared_from = kept, source
        return kept

    def _make(self, wanted: _Wanted) -> "_core.WeightedPrimitive":
        g = self._geometry
        passes = cpu_winograd.NONE
        if self._train and not wanted.add:
            passes = cpu_winograd.passes(g, self._batch)
        elif not wanted.train and cpu_winograd.infers(g, self._batch):
            passes = cpu_winograd.FORWARD
        words: dict[str, Any] = {
            "batch": self._batch,
            "in_channels": g.in_channels,
            "out_channels": g.out_channels,
            "group": g.group,
            "input": g.input,
            "output": g.output,
            "kernel": g.kernel,
            "pad": g.pad,
            "bias": wanted.bias,
            "train": wanted.train,
            "add": wanted.add,
            "relu": wanted.relu,
            "blocks": wanted.blocks,
        }
        if any(passes):
            return _core.WinogradConvolution(**words, passes=passes)
        return _core.Convolution(**words, stride=g.stride, dilation=g.dilation)


class DenseInnerProduct(_Weighted):
    """oneDNN's inner product of a flattened bottom.

    Its kernel for two axes is the faster one, though a convolution's own layout is flattened first:
    for fc6 of CaffeNet at batch 32 on one thread 35, 43 and 29 ms (forward, data, weights) against
    32, 78 and 37 ms.
    """

    def __init__(self, batch: int, inputs: int, outputs: int, train: bool) -> None:
        super().__init__(train)
        self._batch, self._inputs, self._outputs = batch, inputs, outputs

    def _make(self, wanted: _Wanted) -> "_core.WeightedPrimitive":
        return _core.InnerProduct(
            bottom=(self._batch, self._inputs),
            outputs=self._outputs,
            bias=wanted.bias,
            train=wanted.train,
            add=wanted.add,
            relu=wanted.relu,
        )
